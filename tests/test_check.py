"""Check: groups stay whole, frozen rows stay frozen, nothing of a test set is fitted."""

import random

import pytest

from training import check
from training.collect import Row, key
from training.corpora import CorpusError, Example


def row(i: int, label: str, text: str = "", corpus: str = "mine", batch: str = "") -> Row:
    """A row with a text of its own."""
    chance = random.Random(i)
    text = text or " ".join("".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(12))
    return Row(Example(str(i), text, label, batch=batch), f"f:{i}", corpus, corpus, key(text))


def test_a_fifth_of_each_label_is_frozen_and_stays_so() -> None:
    """Each label gives a fifth of its rows to the test, and later runs keep those there."""
    rows = [row(i, "ab"[i % 2]) for i in range(100)]
    first = check.check(rows, {})
    frozen = {r.key for r in first.frozen["mine"]}
    assert len(frozen) == 20
    assert sum(r.example.category == "a" for r in first.frozen["mine"]) == 10
    assert len(first.rows) == 80
    assert not frozen & {r.key for r in first.rows}
    again = check.check(rows[::-1], {})
    assert [r.key for r in again.rows] == [r.key for r in first.rows]
    more = check.check([row(i, "ab"[i % 2]) for i in range(300)], {}, known_frozen=frozen)
    assert frozen < {r.key for r in more.frozen["mine"]}


def test_near_duplicates_never_straddle() -> None:
    """Copies of a frozen text are frozen too, and copies among the rows to fit share a batch."""
    rows = [row(i, "ab"[i % 2]) for i in range(60)]
    rows += [row(1000 + i, "ab"[i % 2], rows[i].example.text + " indeed") for i in range(60)]
    found = check.check(rows, {})
    original = {r.where: f"f:{int(r.where[2:]) % 1000}" for r in rows}
    test = {original[r.where] for r in found.frozen["mine"]}
    assert test
    assert not test & {original[r.where] for r in found.rows}
    batches: dict[str, set[str]] = {}
    for r in found.rows:
        batches.setdefault(original[r.where], set()).add(r.example.batch)
    assert all(len(names) == 1 for names in batches.values())
    assert found.report["near_duplicates"] == 60


def test_rows_near_a_measured_set_are_left_out() -> None:
    """What nearly equals a row of a test set is not fitted, and the report counts it."""
    rows = [row(i, "ab"[i % 2]) for i in range(50)]
    measured = [Example("m", rows[7].example.text.upper() + "!", "a")]
    found = check.check(rows, {"exam": measured}, whole={"mine"})
    assert found.report["left_out_as_near_a_test_row"] == 1
    assert rows[7].key not in {r.key for r in found.rows}
    assert found.frozen == {}


def test_named_groups_stay_whole() -> None:
    """Where a group column is named, such as a source or a month, a group is on one side only."""
    rows = [row(i, "ab"[i % 2], batch=f"month {i % 12}") for i in range(240)]
    found = check.check(rows, {})
    fit, test = {r.example.batch for r in found.rows}, {r.example.batch for r in found.frozen["mine"]}
    assert test
    assert not fit & test


def test_changes_since_the_last_run_are_told() -> None:
    """A new category, one that is gone and one whose share doubled are named."""
    last = check.check([row(i, "ab"[i % 10 == 0]) for i in range(200)], {}).report
    now = check.check([row(i, "bc"[i % 2]) for i in range(200)], {}, last=last).report
    assert {change.split(":")[0] for change in now["changes"][1:]} == {"a", "b", "c"}


def test_one_category_is_not_enough() -> None:
    """A corpus with one category is refused before anything is fitted."""
    with pytest.raises(CorpusError, match="1 categories"):
        check.check([row(i, "a") for i in range(30)], {})
