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


def test_the_same_data_give_the_same_bits() -> None:
    """Two fits of the same data are identical."""
    generator = np.random.default_rng(0)
    matrix = random_sparse(200, 50, 0.2, "csr", np.float32, generator)
    targets = generator.integers(0, 4, 200)
    one, two = (softmax.fit(matrix, targets, np.ones(200), 4, 1.0, 50)[0] for _ in range(2))
    assert one.tobytes() == two.tobytes()
