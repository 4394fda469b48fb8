"""Evaluation: the figures are scikit-learn's, the second category counts where allowed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from model.classifier import load
from training import card, evaluate
from training.corpora import ROOT, Example

EXAM = ROOT.parent / "shared" / "exam"


def examples(true: list[str], second: str | None = None) -> list[Example]:
    """Rows with these true categories."""
    return [Example(str(i), "t", name, second=second) for i, name in enumerate(true)]


def test_macro_f1_is_that_of_scikit_learn() -> None:
    """Strict macro-F1 over all categories equals scikit-learn's."""
    generator = np.random.default_rng(0)
    true, answers = (list(generator.choice(list("abcd"), 200)) for _ in range(2))
    ours = evaluate.macro_f1(examples(true), answers, False, list("abcd"))
    assert ours == pytest.approx(f1_score(true, answers, average="macro"))


def test_the_second_category_counts_where_allowed() -> None:
    """An answer that a careful colleague could defend is right when allowed and wrong when strict."""
    rows = examples(["a"] * 4, second="b")
    answers = ["a", "a", "b", "c"]
    assert evaluate.accuracy(rows, answers, second=True) == 0.75
    assert evaluate.accuracy(rows, answers, second=False) == 0.5
    assert evaluate.confusions(rows, answers) == ["a → c (1)"]


def test_small_categories_are_left_out_of_the_mean() -> None:
    """Only categories with at least five rows enter macro-F1."""
    assert evaluate.large_enough(examples(["a"] * 5 + ["b"] * 4)) == ["a"]


def test_intervals_hold_their_value() -> None:
    """A bootstrap interval lies around the figure."""
    rows = examples(["a", "b"] * 30)
    found = evaluate.summarise(rows, ["a", "b"] * 20 + ["a", "a"] * 10)
    for key in ("macro_f1_second", "accuracy_strict"):
        assert found[key].low <= found[key].value <= found[key].high
    answers = ["a", "b"] * 20 + ["a", "a"] * 10
    assert found["macro_f1_strict"].value == pytest.approx(
        evaluate.macro_f1(rows, answers, False, ["a", "b"])
    )
    assert found["accuracy_second"].value == evaluate.accuracy(rows, answers, True)
    assert found["f1_strict"]["a"][1].value == pytest.approx(
        evaluate.f1_by_category([e.category for e in rows], answers)["a"]
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m training evaluate`."""
    return subprocess.run(
        [sys.executable, "-m", "training", "evaluate", *arguments],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_all_sets_are_measured_together(small_model: Path) -> None:
    """Beside each set and language there is a figure over all rows, and none where there are no sets."""
    sets = {
        language: [Example(str(i), text, "fake_loan", language=language) for i, text in enumerate(texts)]
        for language, texts in (("en", ["a loan with a fee", "the fee again"]), ("zh", ["贷款要先交钱"]))
    }
    classifier = load(small_model)
    found = evaluate.report(classifier, sets)
    parts = [found["sets"][name]["accuracy_second"].value * len(rows) for name, rows in sets.items()]
    assert found["together"]["all"]["rows"] == 3
    assert found["together"]["all"]["accuracy_second"].value == pytest.approx(sum(parts) / 3)
    suites = {key: {} for key in ("evasion", "false_alarms", "deletions", "strangers")}
    assert "**all**" in card.figures(found | suites)
    assert evaluate.report(classifier, {})["together"] == {}


def test_absent_sets_are_named_and_skipped(tmp_path: Path) -> None:
    """Where the measured sets are not there the command says so and ends well."""
    listed = tmp_path / "corpora.toml"
    listed.write_text(
        '[[corpus]]\nname = "gone"\npath = "no/such.jsonl"\nuse = "measure"\nlicence = "l"\norigin = "o"\n'
    )
    done = run("--corpora", str(listed))
    assert done.returncode == 0, done.stderr
    assert "skipped gone" in done.stderr


@pytest.mark.skipif(not EXAM.is_dir(), reason="the measured sets are not on this machine")
def test_real_reports_are_understood() -> None:
    """On real reports macro-F1 is above 0.55 in both languages; below that something is broken."""
    done = run("--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for language in ("en", "zh"):
        assert report["languages"][language]["macro_f1_second"]["value"] > 0.55
    assert report["together"]["all"]["rows"] == sum(found["rows"] for found in report["languages"].values())
    for row in EXAM.joinpath("dev_en.jsonl").read_text("utf-8").splitlines()[:20]:
        assert json.loads(row)["text"][:40] not in done.stdout
