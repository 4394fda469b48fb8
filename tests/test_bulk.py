"""The fit of many rows: scikit-learn's loss, from any first weights; the same bits each time."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from model.kernel import Fold
from training import bulk, fit, packed, words

KINDS = (
    "loan fee bank advance",
    "parcel customs police drugs",
    "game account coins buyer",
    "job task prepaid",
)
NOISE = "the a they said me my then paid call and lost money phone"


@pytest.fixture(scope="module")
def made(table: Fold) -> tuple[list[str], np.ndarray, fit.Features]:
    """Texts of four kinds with their features, words with random vectors."""
    generator = np.random.default_rng(5)
    targets = generator.integers(0, 4, 900)
    texts = [
        " ".join([*generator.choice(KINDS[k].split(), 2), *generator.choice(NOISE.split(), 6)])
        for k in targets
    ]
    chosen = sorted({word for text in texts for word in text.split() if len(word) > 1})
    vectors = generator.normal(size=(len(chosen), 16)).astype(np.float32)
    vocabulary = words.vocabulary(chosen, np.full(len(chosen), 1e-4), texts, table, vectors)
    settings = fit.Settings(least_batches=1, most_grams=400)
    seen = words.emit(texts[::3], table, vocabulary.table())
    features = fit.choose_features(seen, targets[::3], ["x"] * len(texts[::3]), vocabulary, settings)
    return texts, targets, features


def test_the_loss_over_all_rows_is_that_of_scikit_learn(
    made: tuple[list[str], np.ndarray, fit.Features], table: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any first weights the loss is within 1 % of `LogisticRegression`'s on the same matrix."""
    texts, targets, features = made
    monkeypatch.setattr(packed, "CHUNK", 200)  # rows are read in several parts
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(texts))
    rows = packed.read(texts, features, table)
    matrix = features.matrix(words.emit(texts, table, features.vocabulary.table()))
    first = np.zeros((matrix.shape[1], 4), np.float32)
    settings = fit.Settings(strength=2.0, schemes=1.0)
    bias = np.zeros(4, np.float32)
    known = (rows, targets, weights, features.idf, first, bias, np.arange(4), settings, 400)
    found, bias, loss = bulk.descend(*known)
    reference = LogisticRegression(C=2.0, max_iter=5000, tol=1e-8)
    reference.fit(matrix, targets, sample_weight=weights)

    def objective(w: np.ndarray, b: np.ndarray) -> float:
        scores = matrix @ w + b
        scores -= scores.max(axis=1, keepdims=True)
        losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(texts)), targets]
        return float((weights * losses).sum() / weights.sum() + (w**2).sum() / (4.0 * weights.sum()))

    assert loss == pytest.approx(objective(found, bias), rel=1e-3)
    assert objective(found, bias) <= 1.01 * objective(reference.coef_.T, reference.intercept_)
    assert ((matrix @ found + bias).argmax(1) == reference.predict(matrix)).mean() > 0.98
    assert bulk.descend(*known)[0].tobytes() == found.tobytes()


def test_the_first_weights_leave_little_to_do(
    made: tuple[list[str], np.ndarray, fit.Features], table: Fold
) -> None:
    """A few rounds row by row leave a hundredth of the loss of no weights; the same bits each time."""
    texts, targets, features = made
    rows, kinds, settings = packed.read(texts, features, table), np.arange(4), fit.Settings()
    ones = np.ones(len(texts))
    first = bulk.begin(rows, targets, ones, features.idf, kinds, settings)
    again = bulk.begin(rows, targets, ones, features.idf, kinds, settings)
    assert [part.tobytes() for part in again] == [part.tobytes() for part in first]
    none = np.zeros_like(first[0]), np.zeros_like(first[1])
    before, after = (
        bulk.descend(rows, targets, ones, features.idf, *point, kinds, settings, 0)[2]
        for point in (none, first)
    )
    assert after < before / 100


def test_the_sample_is_even() -> None:
    """Rare classes come whole into the sample, large ones in equal numbers, and no row twice."""
    targets = np.array([0] * 5000 + [1] * 900 + [2] * 30)
    chosen = bulk.sample(targets, 1000)
    counts = np.bincount(targets[chosen])
    assert len(set(chosen.tolist())) == chosen.size <= 1000
    assert counts[2] == 30
    assert abs(int(counts[0]) - int(counts[1])) <= 1
    assert bulk.sample(targets, 10_000).size == targets.size
