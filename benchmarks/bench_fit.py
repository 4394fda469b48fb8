"""The row of `make bench` about the fit: ours against the same features and loss in scikit-learn.

Both begin with texts and end with weights. scikit-learn makes the n-grams (the same tokens, 1 to 4 of
them, and the letter n-grams of Latin words; the same number of columns, idf, damping and norm, and ours
weighs no n-gram otherwise here) and fits `LogisticRegression` with the same C and weights; its L-BFGS may
take THEIR_STEPS steps and ours OUR_STEPS, after which its loss is still the larger: the row tells how soon
each comes to one loss, and not how long a retraining takes, in which ours goes on to `bulk.STEPS`. Ours knows
no categories here, as scikit-learn's loss does not. The block of meanings, which scikit-learn has no part
for, is given to it: the time that it takes counts for ours only. The record holds the loss of both, each on
its own features.
"""

import re
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import model
from benchmarks import bench_texts
from model import kernel, taxonomy
from model.kernel import Fold
from training import bulk, fit, packed, words
from training.words import Vocabulary

OUR_STEPS, THEIR_STEPS = 20, 60
_TOKENS = re.compile(r"[㐀-鿿]|[a-z]+|[0-9]+|[^\W㐀-鿿a-z0-9]+")


def run(path: Path, count: int, ours: bool, quick: bool) -> dict[str, float]:
    """Seconds and loss of a fit of the first `count` texts; `quick` has few words."""
    table = bench_texts.read(path, count)
    tree = taxonomy.load()
    column = {scheme: at for at, scheme in enumerate(tree.scheme_ids)}
    categories = np.arange(len(column))  # each scheme by itself: scikit-learn knows no groups of classes
    texts, batches = table["text"].to_pylist(), table["batch"].to_pylist()
    targets = np.array([column[scheme] for scheme in table["scheme"].to_pylist()])
    folds = model.load().fold
    vocabulary = _small(texts, folds) if quick else _whole(folds)
    settings = fit.Settings(sizes=(1.0,) * 5, telling=0)
    if ours:  # what numba compiles or reads from its cache is no part of a fit
        _ours(texts[:100], targets[:100], batches[:100], categories, folds, vocabulary, settings)
    work = _ours if ours else _theirs
    seconds, loss = work(texts, targets, batches, categories, folds, vocabulary, settings)
    return {"seconds": seconds, "loss": loss}


def _whole(folds: Fold) -> Vocabulary:
    return words.make([e.text for examples in bench_texts.own().values() for e in examples], folds)


def _small(texts: list[str], folds: Fold) -> Vocabulary:
    chosen = sorted({token for text in texts for token in _TOKENS.findall(text.lower())})[:500]
    vectors = np.random.default_rng(0).normal(size=(len(chosen), 16)).astype(np.float32)
    return words.vocabulary(chosen, np.full(len(chosen), 1e-4), texts, folds, vectors)


def _ours(
    texts: list[str],
    targets: np.ndarray,
    batches: list[str],
    categories: np.ndarray,
    folds: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
) -> tuple[float, float]:
    """Seconds and loss."""
    began = time.perf_counter()
    ones = np.ones(len(texts))
    fitted = bulk.fit_all(texts, targets, batches, ones, categories, folds, vocabulary, settings, OUR_STEPS)
    return time.perf_counter() - began, float(fitted.loss)


def _theirs(
    texts: list[str],
    targets: np.ndarray,
    _: list[str],
    categories: np.ndarray,
    folds: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
) -> tuple[float, float]:
    """Seconds and loss."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    meaning = _meaning(texts, folds, vocabulary, settings.meaning)
    began = time.perf_counter()
    vectors = TfidfVectorizer(
        analyzer=_grams, min_df=settings.least_texts, max_features=settings.most_grams,
        sublinear_tf=True, norm=None, dtype=np.float32,
    )  # fmt: skip
    matrix = vectors.fit_transform(texts)
    matrix = sparse.diags(1 / np.sqrt(np.maximum(np.diff(matrix.indptr), 1))) @ matrix
    matrix *= settings.spelling / np.sqrt(matrix.power(2).sum(axis=1)).mean()
    matrix = sparse.hstack([matrix, sparse.csr_matrix(meaning)], format="csr", dtype=np.float32)
    weights = fit.balanced(targets, categories, settings.balance)
    regression = LogisticRegression(C=settings.strength, max_iter=THEIR_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(matrix, targets, weights)
    seconds = time.perf_counter() - began
    return seconds, _loss(regression, matrix, targets, weights, settings)


def _loss(
    regression: Any, matrix: Any, targets: np.ndarray, weights: np.ndarray, settings: fit.Settings
) -> float:
    """Weighted mean cross-entropy and the penalty, as `training.softmax` has it."""
    scores = regression.decision_function(matrix)
    if scores.ndim == 1:
        scores = np.column_stack([-scores / 2, scores / 2])
    scores -= scores.max(axis=1, keepdims=True)
    at = np.searchsorted(regression.classes_, targets)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(at)), at]
    total = float(weights.sum())
    penalty = float((regression.coef_**2).sum()) / (2 * settings.strength * total)
    return float(losses @ weights) / total + penalty


def _meaning(texts: list[str], folds: Fold, vocabulary: Vocabulary, scale: float) -> np.ndarray:
    """The block of meanings (n_texts, n_dimensions), scaled."""
    table = vocabulary.table()
    parts = []
    for at in range(0, len(texts), packed.CHUNK):
        seen = words.emit(texts[at : at + packed.CHUNK], folds, table)
        parts.append(fit.means(seen, vocabulary))
    block = np.concatenate(parts)
    length = float(np.linalg.norm(block, axis=1).mean())
    return np.asarray(scale / max(length, 1e-12) * block)


def _grams(text: str) -> list[str]:
    """What the kernel makes of a text: n-grams of tokens, and of the letters of Latin words."""
    tokens = _TOKENS.findall(text.lower())
    found = list(tokens)
    for n in range(2, kernel.LONGEST_GRAM + 1):
        found += [" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
    for token in tokens:
        if token[0].isascii() and token.isalpha() and len(token) >= kernel.LETTER_GRAM:
            edged = f"_{token}_"
            size = kernel.LETTER_GRAM
            found += [edged[at : at + size] for at in range(len(edged) - size + 1)]
    return found
