"""Calibrate: a temperature, and the promise of each category's answers.

Both rest on out-of-batch scores: every report is scored by a fit that saw no text of its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import beta

PROMISE = 0.90  # least share of right answers among those given, per category
CONFIDENCE = 0.95  # one-sided
GRID = (*(round(0.30 + 0.05 * k, 2) for k in range(14)), 0.97, 0.99)
SIMULATIONS = 2000  # of the null of a calibration check
NEVER = 2.0  # a threshold that no probability reaches


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Rows of probabilities (n, k)."""
    scaled = (scores - scores.max(axis=1, keepdims=True)) / temperature
    powers = np.exp(scaled.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def roll_up(probabilities: np.ndarray, category_index: np.ndarray, n_categories: int) -> np.ndarray:
    """Category probabilities (n, n_categories) from scheme probabilities."""
    return np.asarray(probabilities @ np.eye(n_categories)[category_index])


def temperature(scores: np.ndarray, category_index: np.ndarray, truths: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood of the true categories (Guo et al. 2017)."""
    n_categories = int(category_index.max()) + 1
    rows = np.arange(len(truths))

    def loss(log_temperature: float) -> float:
        chances = roll_up(softmax(scores, float(np.exp(log_temperature))), category_index, n_categories)
        return -float(np.log(np.maximum(chances[rows, truths], 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def lower_bound(right: int, answered: int, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson lower bound of a share, one-sided."""
    if right == 0:
        return 0.0
    return float(beta.ppf(1 - confidence, right, answered - right + 1))


@dataclass(frozen=True)
class Promise:
    """What is promised of one category: at or above `threshold`, `right` of `answered` were right."""

    threshold: float
    answered: int
    right: int
    bound: float


def promises(
    chances: np.ndarray, right: np.ndarray, answers: np.ndarray, names: Sequence[str]
) -> dict[str, Promise]:
    """The least threshold of each category whose answers keep the promise.

    `chances` (n,) of the answers (n,), `right` (n,) whether they were. The bound is corrected for
    the search over the grid (Bonferroni). A category with too few rows is never answered.
    """
    confidence = 1 - (1 - CONFIDENCE) / len(GRID)
    found = {}
    for index, name in enumerate(names):
        mine = answers == index
        found[name] = Promise(NEVER, 0, 0, 0.0)
        for threshold in GRID:
            given = mine & (chances >= threshold)
            answered, good = int(given.sum()), int(right[given].sum())
            bound = lower_bound(good, answered, confidence)
            if bound >= PROMISE:
                found[name] = Promise(threshold, answered, good, bound)
                break
    return found


def calibration_error(chances: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass."""
    order = np.argsort(chances, kind="stable")
    return float(
        sum(
            abs(chances[part].mean() - right[part].mean()) * part.size
            for part in np.array_split(order, bins)
            if part.size
        )
        / len(order)
    )


@dataclass(frozen=True)
class Check:
    """Observed calibration error against what a perfect model of these probabilities would show."""

    error: float
    null_median: float
    p_value: float


def check(chances: np.ndarray, right: np.ndarray) -> Check:
    """A simulated test: outcomes drawn from the model's own probabilities, 15 equal-mass bins."""
    observed = calibration_error(chances, right)
    generator = np.random.default_rng(0)
    null = np.array(
        [calibration_error(chances, generator.random(chances.size) < chances) for _ in range(SIMULATIONS)]
    )
    return Check(observed, float(np.median(null)), float((null >= observed).mean()))
