"""The solver: scikit-learn's loss, reached."""

import numpy as np
import pytest
from scipy.sparse import random as random_sparse
from sklearn.linear_model import LogisticRegression

from training import softmax


@pytest.mark.parametrize("strength", [0.5, 5.0])
def test_the_loss_is_that_of_scikit_learn(strength: float) -> None:
    """On the same data the loss is within 1 % of `LogisticRegression`'s, and answers agree."""
    generator = np.random.default_rng(3)
    matrix = random_sparse(600, 80, 0.2, "csr", np.float32, generator)
    truth = generator.normal(size=(80, 5))
    targets = (matrix @ truth + generator.gumbel(size=(600, 5))).argmax(axis=1)
    weights = generator.uniform(0.5, 2.0, 600)
    found, bias, loss = softmax.fit(matrix, targets, weights, 5, strength, steps=500)
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-8)
    reference.fit(matrix, targets, sample_weight=weights)

    def objective(w: np.ndarray, b: np.ndarray) -> float:
        scores = matrix @ w + b
        scores -= scores.max(axis=1, keepdims=True)
        losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(600), targets]
        return float((weights * losses).sum() / weights.sum() + (w**2).sum() / (2 * strength * weights.sum()))

    theirs = objective(reference.coef_.T, reference.intercept_)
    assert loss == pytest.approx(objective(found, bias), rel=1e-3)
    assert objective(found, bias) <= theirs * 1.01
    agree = ((matrix @ found + bias).argmax(1) == reference.predict(matrix)).mean()
    assert agree > 0.98


def test_slopes_of_a_loss_with_groups_are_its_derivatives() -> None:
    """What `residuals` leaves in a row is how the loss changes with each score."""
    scores = np.random.default_rng(1).normal(size=6).astype(np.float32)
    groups, share, weight = np.array([0, 0, 1, 1, 1, 2]), np.float32(0.3), np.float32(1.7)

    def loss(row: np.ndarray) -> float:
        chances = np.exp(row.astype(float)) / np.exp(row.astype(float)).sum()
        return float(-weight * (share * np.log(chances[3]) + (1 - share) * np.log(chances[2:5].sum())))

    row = scores.copy()
    shares = np.full(6, share)
    assert softmax.residuals(row, 3, weight, groups, shares) == pytest.approx(loss(scores), rel=1e-5)
    for c, step in enumerate(1e-4 * np.eye(6)):
        assert row[c] == pytest.approx((loss(scores + step) - loss(scores - step)) / 2e-4, abs=1e-3)


def test_a_share_for_the_group_finds_the_group_more_often() -> None:
    """Where classes of a group cannot be told apart, asking for the group too costs no group answer."""
    generator = np.random.default_rng(5)
    matrix = random_sparse(800, 60, 0.2, "csr", np.float32, generator)
    groups = np.array([0, 0, 0, 1, 1, 1])
    side = (np.asarray(matrix @ generator.normal(size=60)) + generator.normal(size=800) > 0).astype(int)
    targets = 3 * side + generator.integers(0, 3, 800)
    losses = []
    for share in (1.0, 0.1):
        weights, bias, _ = softmax.fit(
            matrix, targets, np.ones(800), 6, 2.0, 300, None, groups, np.full(6, share)
        )
        scores = np.exp(matrix @ weights + bias)
        chance = scores @ np.eye(2)[groups]
        chance = (chance / chance.sum(axis=1, keepdims=True))[np.arange(800), side]
        losses.append(float(-np.log(chance).mean()))
    assert losses[1] <= losses[0]


def test_the_same_data_give_the_same_bits() -> None:
    """Two fits of the same data are identical."""
    generator = np.random.default_rng(0)
    matrix = random_sparse(200, 50, 0.2, "csr", np.float32, generator)
    targets = generator.integers(0, 4, 200)
    one, two = (softmax.fit(matrix, targets, np.ones(200), 4, 1.0, 50)[0] for _ in range(2))
    assert one.tobytes() == two.tobytes()
