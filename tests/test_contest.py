"""The contest: scikit-learn's figures, paired differences, what only one model can know."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

import model
from training import contest
from training.contest import Answers
from training.corpora import Example


def answers(
    true: list[str], new: list[str], old: list[str | None], schemes: list[str] | None = None
) -> Answers:
    """Answers to texts nobody sees."""
    rows = [
        Example(str(i), f"secret {i}", t, s, language="en")
        for i, (t, s) in enumerate(zip(true, schemes or [""] * len(true), strict=True))
    ]
    return Answers(rows, ["desk"] * len(rows), new, old, schemes or [""] * len(rows))


def test_figures_are_those_of_scikit_learn(classifier: model.Classifier) -> None:
    """Macro-F1 of both and their difference are scikit-learn's, inside their intervals."""
    generator = np.random.default_rng(0)
    names = ["fake_loan", "romance", "extortion"]
    true = [str(n) for n in generator.choice(names, 400)]
    new, old = (
        [t if generator.random() < share else str(generator.choice(names)) for t in true]
        for share in (0.9, 0.5)
    )
    found = contest.report({"set": answers(true, new, list(old))}, classifier, classifier)
    overall = found["overall"]
    ours, theirs = (f1_score(true, given, average="macro") for given in (new, old))
    assert overall["challenger"]["macro_f1"]["value"] == pytest.approx(ours)
    assert overall["champion"]["macro_f1"]["value"] == pytest.approx(theirs)
    change = overall["difference"]
    assert change["value"] == pytest.approx(ours - theirs)
    assert 0 < change["low"] < change["value"] < change["high"]
    assert all(part["p_worse"] > 0.99 for part in overall["categories"].values())
    assert found["sources"]["desk"]["rows"] == found["languages"]["en"]["rows"] == 400
    assert "secret" not in str(found)


def test_equal_answers_have_no_difference(classifier: model.Classifier) -> None:
    """Where both say the same the difference is nothing and no category is worse."""
    true = ["fake_loan", "romance"] * 20
    given = true[:30] + ["romance"] * 10
    overall = contest.report({"set": answers(true, given, list(given))}, classifier, classifier)["overall"]
    assert (overall["difference"]["low"], overall["difference"]["high"]) == (0, 0)
    assert {part["p_worse"] for part in overall["categories"].values()} == {1.0}


def test_a_category_that_fell_is_seen(classifier: model.Classifier) -> None:
    """A category whose answers became wrong has a small p, the others do not."""
    true = ["fake_loan", "romance", "extortion"] * 60
    new = [("extortion" if t == "romance" and i % 2 else t) for i, t in enumerate(true)]
    parts = contest.report({"set": answers(true, new, list(true))}, classifier, classifier)["overall"][
        "categories"
    ]
    assert parts["romance"]["p_worse"] < 0.001
    assert parts["fake_loan"]["p_worse"] == 1.0


def test_rows_that_the_champion_did_not_answer_stay_out_of_the_difference(
    classifier: model.Classifier,
) -> None:
    """Rows of a new scheme count for the challenger alone."""
    true = ["fake_loan", "romance"] * 20
    old: list[str | None] = [*true[:30], *[None] * 10]
    overall = contest.report({"set": answers(true, true, old)}, classifier, classifier)["overall"]
    assert overall["rows"] == 40
    assert overall["difference"]["rows"] == 30


def test_near_domain_cases_are_counted(classifier: model.Classifier) -> None:
    """Harmless cases that are told like frauds are counted for each model that answered them."""
    a = answers(["not_fraud"] * 4, ["not_fraud"] * 3 + ["romance"], ["romance", None, "not_fraud", None])
    rows = [replace(e, scheme="consumer_dispute") for e in a.examples]
    found = contest.report({"set": replace(a, examples=rows)}, classifier, classifier)["near_domain"]
    assert found == {"challenger": {"rows": 4, "right": 3}, "champion": {"rows": 2, "right": 1}}
