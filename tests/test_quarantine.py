"""Quarantine: one hand cannot turn the model, and honest hands are let through."""

import random

from training import quarantine
from training.collect import Row, key
from training.corpora import Example


def review(
    i: int, category: str, reviewer: str = "", source: str = "desk", text: str = "", day: str = ""
) -> Row:
    """A review of a text of its own."""
    chance = random.Random(i)
    text = text or " ".join("".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(12))
    return Row(Example(str(i), text, category), f"r:{i}", "reviews", source, key(text), True, reviewer, day)


def honest(n: int = 300) -> tuple[list[Row], list[str]]:
    """Reviews of three reviewers and three sources who correct the model in one case of twenty."""
    rows, answers = [], []
    for i in range(n):
        answer = ("loan", "romance", "job")[i % 3]
        said = "job" if i % 20 == 0 else answer
        rows.append(review(i, said, f"p{i // 3 % 3}", f"s{i // 9 % 3}"))
        answers.append(answer)
    return rows, answers


def test_honest_reviews_pass() -> None:
    """Reviews of several hands that correct the model now and then are all used."""
    assert quarantine.judge(*honest()) == []


def test_flips_of_one_source_are_held() -> None:
    """A source that turns one category into another is held with those rows and no others."""
    rows, answers = honest()
    for i in range(1000, 1015):
        rows.append(review(i, "romance" if i < 1012 else "loan", f"p{i % 3}", "s1"))
        answers.append("loan")
    held = quarantine.judge(rows, answers)
    assert {h.rule for h in held} == {"flips"}
    assert {h.row.where for h in held} >= {f"r:{i}" for i in range(1000, 1012)}
    assert all(h.row.source == "s1" and h.row.example.category != "loan" for h in held)


def test_flips_into_many_categories_are_held() -> None:
    """Spreading the flips over several categories does not hide them."""
    rows, answers = honest()
    for i in range(1000, 1012):
        rows.append(review(i, ("romance", "job", "prize", "game")[i % 4], f"p{i % 3}", "s2"))
        answers.append("loan")
    assert len(quarantine.judge(rows, answers)) >= 12


def test_two_other_reviewers_outvote_one() -> None:
    """A decision that two others contradict on nearly the same text stays out; theirs stay in."""
    text = "he called from the bank and said that my card would be blocked unless I gave him the code"
    rows = [
        review(1, "loan", "p1", text=text),
        review(2, "account", "p2", text=text + " today"),
        review(3, "account", "p3", text=text + "!"),
        review(4, "loan", "p1"),
    ]
    (held,) = quarantine.judge(rows, ["account"] * 3 + ["loan"])
    assert (held.rule, held.row.where) == ("disagreement", "r:1")


def test_one_reviewer_cannot_be_the_crowd() -> None:
    """Of a category's reviews at most half come from one hand where there are three hands or more."""
    rows = [review(i, "loan", ("p1", "p1", "p1", "p2", "p3")[i % 5]) for i in range(200)]
    held = quarantine.judge(rows, ["loan"] * 200)
    assert len(held) == 120 - 80
    assert {(h.rule, h.row.reviewer) for h in held} == {("crowd", "p1")}
    alone = [review(i, "loan", "p1") for i in range(200)]
    assert quarantine.judge(alone, ["loan"] * 200) == []


def test_nobody_reads_so_fast() -> None:
    """More decisions on a day than a person can read are held."""
    rows = [review(i, "loan", "p1", day="2026-01-01" if i < 700 else "2026-01-02") for i in range(720)]
    held = quarantine.judge(rows, ["loan"] * 720)
    assert len(held) == 700
    assert {h.rule for h in held} == {"pace"}
