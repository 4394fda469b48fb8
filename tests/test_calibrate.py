"""Calibration: temperature, the promise, the error."""

import numpy as np
import pytest
from scipy.stats import binom

from training import calibrate


def simulated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of four schemes in two categories, truths drawn from them."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(scale=2, size=(n, 4))
    chances = calibrate.softmax(scores, 1.0)
    schemes = (chances.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)
    index = np.array([0, 0, 1, 1])
    return scores, index, index[schemes]


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_scaling(factor: float) -> None:
    """Scores multiplied by a factor get that factor as their temperature."""
    scores, index, truths = simulated(4000, 0)
    assert calibrate.temperature(scores * factor, index, truths) == pytest.approx(factor, rel=0.1)


def test_clopper_pearson_needs_29_without_an_error() -> None:
    """The one-sided 95 % lower bound passes .90 at 29 right of 29, as tables say."""
    assert calibrate.lower_bound(28, 28) < 0.90 <= calibrate.lower_bound(29, 29)
    assert calibrate.lower_bound(0, 10) == 0.0
    bound = calibrate.lower_bound(45, 50)
    assert binom.sf(44, 50, bound) == pytest.approx(0.05)  # so many right by chance, were it the truth


def test_the_promise_is_kept_where_it_is_given() -> None:
    """In simulated categories of known precision the promise is broken in at most 5 % of the draws."""
    generator = np.random.default_rng(1)
    broken = 0
    for _ in range(200):
        chances = generator.uniform(0.3, 1.0, 400)
        right = generator.random(400) < chances  # precision at t is the mean of chances above t
        kept = calibrate.promises(chances, right, np.zeros(400, int), ["only"])["only"]
        if kept.threshold < 1:
            broken += (kept.threshold + 1.0) / 2 < calibrate.PROMISE - 1e-9
    assert broken <= 10


def test_a_category_with_too_few_rows_is_never_answered() -> None:
    """Twenty right answers are no promise."""
    kept = calibrate.promises(np.full(20, 0.99), np.ones(20, bool), np.zeros(20, int), ["few", "none"])
    assert kept["few"].threshold == kept["none"].threshold == calibrate.NEVER


def test_the_calibration_error_of_a_perfect_model_is_small() -> None:
    """Probabilities that are true have a small error, over-confident ones a large one."""
    generator = np.random.default_rng(2)
    chances = generator.uniform(0.2, 1.0, 5000)
    right = generator.random(5000) < chances
    assert calibrate.calibration_error(chances, right) < 0.03
    assert calibrate.calibration_error(np.sqrt(chances), right) > 0.08
