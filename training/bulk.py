"""The fit of more rows than scikit-learn or a matrix of their copies could hold: half a million.

Words and n-grams come from an even sample of the rows. Then the same loss as in `training.softmax` falls
over all rows: a few times row by row, which is the quickest while it is large, then by L-BFGS. The n-grams
of a row are column numbers, each with the part that this occurrence counts (a byte); the rest of its value,
idf and the root of their number, is multiplied in on the way, and every pass goes through each row once.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numba import njit, prange

from model.kernel import Fold
from training import bars, fit, packed, softmax, words
from training.packed import Packed
from training.words import Vocabulary

LEAST = 50_000  # rows above which a corpus is fitted here
SAMPLE = 50_000  # rows that choose the features
PARTS = 4  # of the rows, each with a gradient of its own; fixed, so that sums do not depend on threads
ROUNDS, RATE = 3, np.float32(0.05)  # times through all rows one by one, and how far each moves a weight
STEPS = 60  # of L-BFGS after that; after 20 a model of our own corpus is 3 points worse
SEED = 0  # of the order of the rows
SETTLED = np.float32(1e-9)  # squared slope of a row that need not move anything
FIRST_SLOPE = np.float32(1e-3)  # squared; so that the first row does not move a weight by the whole rate


@njit(parallel=True, nogil=True, cache=True, fastmath=softmax.FAST)
def _pass(
    ends, columns, parts_of, share, weights, bias, targets, importance, groups, own, scores, gradients, losses
):
    """One pass: scores (n, k) hold the meaning's part and become the losses' slopes along them;
    gradients (parts, n_grams, k) are added to; losses (parts,) filled."""
    n, k = scores.shape
    parts = losses.size
    for p in prange(parts):
        row = np.empty(k, np.float32)
        total_loss = 0.0
        for i in range(n * p // parts, n * (p + 1) // parts):
            for c in range(k):
                row[c] = 0
            for at in range(ends[i], ends[i + 1]):
                j = columns[at]
                part = np.float32(parts_of[at])
                for c in range(k):
                    row[c] += part * weights[j, c]
            for c in range(k):
                row[c] = row[c] * share[i] + scores[i, c] + bias[c]
            total_loss += softmax.residuals(row, targets[i], importance[i], groups, own)
            for c in range(k):
                scores[i, c] = row[c]
                row[c] = row[c] * share[i]
            for at in range(ends[i], ends[i + 1]):
                j = columns[at]
                part = np.float32(parts_of[at])
                for c in range(k):
                    gradients[p, j, c] += part * row[c]
        losses[p] = total_loss


@njit(nogil=True, cache=True, fastmath=softmax.FAST)
def _round(
    order, ends, columns, parts, share, meaning, idf, targets, importance, groups, own, weights, bias, slopes
):
    """Move weights and bias after each row in turn; `slopes` (n_grams + n_dimensions,) are summed up.

    The step along a column is RATE times the row's slope over the root of the sum of all squared slopes
    there so far, as in AdaGrad.
    """
    n_grams, k = idf.size, bias.size
    row = np.empty(k, np.float32)
    for i in order:
        for c in range(k):
            row[c] = bias[c]
        for at in range(ends[i], ends[i + 1]):
            j = columns[at]
            value = np.float32(parts[at]) * share[i] * idf[j]
            for c in range(k):
                row[c] += value * weights[j, c]
        for d in range(meaning.shape[1]):
            value = meaning[i, d]
            for c in range(k):
                row[c] += value * weights[n_grams + d, c]
        softmax.residuals(row, targets[i], importance[i], groups, own)
        size = np.float32(0)
        for c in range(k):
            size += row[c] * row[c]
        if size < SETTLED:
            continue
        for at in range(ends[i], ends[i + 1]):
            j = columns[at]
            _move(j, np.float32(parts[at]) * share[i] * idf[j], row, size, weights, slopes)
        for d in range(meaning.shape[1]):
            _move(n_grams + d, meaning[i, d], row, size, weights, slopes)
        for c in range(k):
            bias[c] -= RATE * row[c]


@njit(nogil=True, cache=True, inline="always")
def _move(j, value, row, size, weights, slopes):
    """Move the weights of column `j` along a row's slopes, `row` (k,) times its value there."""
    slopes[j] += value * value * size
    step = RATE * value / np.sqrt(slopes[j])
    for c in range(row.size):
        weights[j, c] -= step * row[c]


def sample(targets: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """Indices of at most `most` rows: rare classes whole, the others cut to the same number."""
    if targets.size <= most:
        return np.arange(targets.size)
    counts = sorted(Counter(targets.tolist()).values())
    left, limit = most, most
    for place, n in enumerate(counts):  # fill the classes evenly, the smallest first
        limit = left // (len(counts) - place)
        if n > limit:
            break
        left -= n
    taken = []
    for name in np.unique(targets):
        mine = np.flatnonzero(targets == name)
        taken.append(mine[np.linspace(0, mine.size - 1, min(mine.size, limit)).astype(np.int64)])
    return np.sort(np.concatenate(taken))


def descend(
    rows: Packed,
    targets: np.ndarray,
    importance: np.ndarray,
    idf: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    categories: np.ndarray,
    settings: fit.Settings,
    steps: int,
    watch: Callable[[int, float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """From first weights (n_grams + n_dimensions, k) and bias (k,) to better ones; loss of the last.

    The loss is that of `training.softmax`; `categories` (k,) is the category of each scheme.
    """
    n, k = targets.size, bias.size
    n_grams, size = idf.size, weights.size
    total = float(importance.sum())
    relative = (importance / total).astype(np.float32)
    ridge = np.float32(1 / (settings.strength * total))
    own = fit.shares(targets, categories, settings.schemes).astype(np.float32)
    scores = np.empty((n, k), np.float32)
    gradients = np.empty((PARTS, n_grams, k), np.float32)
    losses = np.empty(PARTS)
    targets = targets.astype(np.int64)
    scale = idf[:, None].astype(np.float32)

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        now = point[:size].reshape(-1, k)
        np.matmul(rows.meaning, now[n_grams:], out=scores)
        gradients[:] = 0
        _pass(
            rows.ends, rows.columns, rows.parts, rows.share, scale * now[:n_grams], point[size:], targets,
            relative, categories, own, scores, gradients, losses,
        )  # fmt: skip
        slope = np.empty_like(point)
        slope[: n_grams * k] = (scale * gradients.sum(axis=0)).ravel()
        slope[n_grams * k : size] = (rows.meaning.T @ scores).ravel()
        slope[:size] += ridge * point[:size]
        slope[size:] = scores.sum(axis=0)
        return float(losses.sum()) + 0.5 * float(ridge) * float(point[:size] @ point[:size]), slope

    point = np.concatenate([weights.ravel(), bias]).astype(np.float32)
    point, loss = softmax.descend(evaluate, point, steps, watch)
    return point[:size].reshape(-1, k), point[size:], loss


def begin(
    rows: Packed,
    targets: np.ndarray,
    importance: np.ndarray,
    idf: np.ndarray,
    categories: np.ndarray,
    settings: fit.Settings,
    watch: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """First weights (n_grams + n_dimensions, k) and bias (k,): each row moves them, ROUNDS times.

    Stochastic gradient descent with a rate for each column (Duchi, Hazan and Singer 2011, "Adaptive
    subgradient methods", AdaGrad). On one core, so that the same rows give the same bits.
    """
    k = categories.size
    weights = np.zeros((idf.size + rows.meaning.shape[1], k), np.float32)
    bias = np.zeros(k, np.float32)
    slopes = np.full(len(weights), FIRST_SLOPE, np.float32)
    relative = (importance / importance.mean()).astype(np.float32)
    own = fit.shares(targets, categories, settings.schemes).astype(np.float32)
    targets, categories = targets.astype(np.int64), categories.astype(np.int64)
    chance = np.random.default_rng(SEED)
    for done in range(ROUNDS):
        _round(
            chance.permutation(targets.size), rows.ends, rows.columns, rows.parts, rows.share, rows.meaning,
            idf, targets, relative, categories, own, weights, bias, slopes,
        )  # fmt: skip
        if watch:
            watch(done + 1)
    return weights, bias


def scores(fitted: fit.Fitted, texts: Sequence[str], table: Fold) -> np.ndarray:
    """Uncompiled scores float32 (n_texts, n_schemes), some thousand texts at a time."""
    known = fitted.features.vocabulary.table()
    parts = [
        fitted.scores(words.emit(texts[at : at + packed.CHUNK], table, known))
        for at in range(0, len(texts), packed.CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty((0, fitted.bias.size), np.float32)


def fit_all(
    texts: Sequence[str],
    targets: np.ndarray,
    batches: Sequence[str],
    weights: np.ndarray,
    categories: np.ndarray,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
    steps: int = STEPS,
) -> fit.Fitted:
    """Fit schemes `targets` (n_texts,) on texts, with a weight each.

    `categories` (n_schemes,) is the category of each scheme.
    """
    with bars.step("choose n-grams from a sample"):
        chosen = sample(targets)
        seen = words.emit([texts[i] for i in chosen], table, vocabulary.table())
        some = [batches[i] for i in chosen]
        features = fit.choose_features(seen, categories[targets[chosen]], some, vocabulary, settings)
    with bars.step("read all rows", len(texts)) as move:
        rows = packed.read(texts, features, table, move)
    importance = weights * fit.balanced(targets, categories, settings.balance)
    with bars.step("fit row by row", ROUNDS) as move:
        first = begin(rows, targets, importance, features.idf, categories, settings, move)
    with bars.step("fit all rows at once", steps) as move:
        found, bias, loss = descend(
            rows, targets, importance, features.idf, *first, categories, settings, steps,
            lambda step, loss: move(step),
        )  # fmt: skip
    return fit.Fitted(features, found, bias, loss, settings.sharpening)
