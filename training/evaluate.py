"""Evaluate: how right the answers are, with intervals, on sets that no model was fitted on."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.classifier import Classifier, Prediction
from training import calibrate
from training.corpora import Example

LEAST_ROWS = 5  # macro-F1 is over categories with at least so many rows
SAMPLES = 1000  # of the bootstrap
CORE = (
    "fake_loan", "customer_service_impersonation", "fake_investment", "part_time_job",
    "online_gambling", "law_enforcement_impersonation",
)  # fmt: skip


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval (percentile bootstrap over the rows)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def truths(examples: Sequence[Example], answers: Sequence[str], second: bool) -> list[str]:
    """The true categories; where `second` is allowed and was answered, it counts as the truth."""
    return [
        answer if second and answer == example.second else example.category
        for example, answer in zip(examples, answers, strict=True)
    ]


def f1_by_category(true: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """F1 of every category that occurs among the truths or the answers."""
    right = Counter(t for t, a in zip(true, answers, strict=True) if t == a)
    asked, given = Counter(true), Counter(answers)
    return {name: 2 * right[name] / (asked[name] + given[name]) for name in asked | given}


def macro_f1(
    examples: Sequence[Example], answers: Sequence[str], second: bool, names: Sequence[str]
) -> float:
    """Mean F1 over `names`; NaN where there are none."""
    found = f1_by_category(truths(examples, answers, second), answers)
    return float(np.mean([found.get(name, 0.0) for name in names])) if names else math.nan


def large_enough(examples: Sequence[Example], least: int = LEAST_ROWS) -> list[str]:
    """The categories with at least `least` rows, sorted."""
    counts = Counter(example.category for example in examples)
    return sorted(name for name, n in counts.items() if n >= least)


def accuracy(examples: Sequence[Example], answers: Sequence[str], second: bool) -> float:
    """Share of right answers."""
    true = truths(examples, answers, second)
    return float(np.mean([t == a for t, a in zip(true, answers, strict=True)]))


def summarise(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, Any]:
    """Macro-F1 and accuracy, strict and with the second category allowed, and F1 by category."""
    names = large_enough(examples)
    counts = Counter(e.category for e in examples)
    every = sorted(counts)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(examples), np.full(len(examples), 1 / len(examples)), SAMPLES)
    result: dict[str, Any] = {"rows": len(examples), "categories": len(names)}
    for second, key in ((True, "second"), (False, "strict")):
        true = np.array(truths(examples, answers, second))
        sampled = _figures(drawn, true, np.array(answers), every, names)
        low, high = np.quantile(sampled, (0.025, 0.975), axis=0)
        whole = _figures(np.ones((1, len(examples))), true, np.array(answers), every, names)[0]
        intervals = [Interval(*map(float, row)) for row in zip(whole, low, high, strict=True)]
        result[f"macro_f1_{key}"], result[f"accuracy_{key}"] = intervals[:2]
        result[f"f1_{key}"] = {
            name: (counts[name], interval) for name, interval in zip(every, intervals[2:], strict=True)
        }
    return result


def _figures(
    drawn: np.ndarray, true: np.ndarray, given: np.ndarray, every: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """Macro-F1 over `names`, accuracy and F1 of `every` category, a row for each row of `drawn`.

    `drawn` (n_samples, n_rows) says how often each row was drawn.
    """
    asked = drawn @ (true[:, None] == np.array(every))
    answered = drawn @ (given[:, None] == np.array(every))
    right = drawn @ ((true == given)[:, None] & (true[:, None] == np.array(every)))
    f1 = 2 * right / np.maximum(asked + answered, 1)
    large = [list(every).index(name) for name in names]
    macro = f1[:, large].mean(axis=1) if large else np.full(len(drawn), math.nan)
    return np.column_stack([macro, (drawn @ (true == given)) / drawn.sum(axis=1), f1])


def confusions(examples: Sequence[Example], answers: Sequence[str], most: int = 8) -> list[str]:
    """The most frequent errors as `true -> answered (n)`, without any text."""
    wrong = Counter(
        (e.category, a) for e, a in zip(examples, answers, strict=True) if a not in (e.category, e.second)
    )
    return [f"{true} → {answered} ({n})" for (true, answered), n in wrong.most_common(most)]


def report(classifier: Classifier, measured: dict[str, list[Example]]) -> dict[str, Any]:
    """Everything measured of one model: by set, by language, over all, and the core categories pooled."""
    answered = {name: _answers(classifier, examples) for name, examples in measured.items()}
    pools: dict[str, list[str]] = {}
    for name, examples in measured.items():
        pools.setdefault(examples[0].language if examples else "", []).append(name)

    def pooled(names: Sequence[str]) -> dict[str, Any]:
        return _set([e for n in names for e in measured[n]], [p for n in names for p in answered[n]])

    return {
        "model": classifier.manifest.version,
        "sets": {name: pooled([name]) for name in measured},
        "languages": {language: pooled(names) for language, names in pools.items()},
        "together": {"all": pooled(list(measured))} if measured else {},
        "core": _core(measured, answered),
    }


def _answers(classifier: Classifier, examples: Sequence[Example]) -> list[Prediction]:
    return classifier.classify([example.text for example in examples])


def _set(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Any]:
    answers = [p.category for p in predictions]
    chances = np.array([p.category_probability for p in predictions])
    all_right = np.array(truths(examples, answers, True)) == np.array(answers)
    given = [i for i, p in enumerate(predictions) if not p.needs_review]
    right = all_right[given]
    return summarise(examples, answers) | {
        "calibration": calibrate.check(chances, all_right),
        "coverage": len(given) / max(1, len(examples)),
        "right_where_answered": float(np.mean(right)) if given else math.nan,
        "confusions": confusions(examples, answers),
    }


def _core(
    measured: dict[str, list[Example]], answered: dict[str, list[Prediction]]
) -> dict[str, tuple[int, float]]:
    """F1 of the six core categories, all sets pooled, second category allowed."""
    examples = [e for rows in measured.values() for e in rows]
    answers = [p.category for rows in answered.values() for p in rows]
    found = f1_by_category(truths(examples, answers, True), answers)
    counts = Counter(e.category for e in examples)
    return {name: (counts[name], found.get(name, 0.0)) for name in CORE if counts[name]}
