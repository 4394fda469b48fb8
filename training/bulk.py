"""The fit of more rows than scikit-learn or a matrix of their copies could hold: half a million.

Words, n-grams and first weights come from an even sample of the rows; then the same loss as in
`training.softmax` falls over all rows. The n-grams of a row are column numbers, each with the part that
this occurrence counts (a byte); the rest of its value, idf and the root of their number, is multiplied
in on the way, and every pass goes through each row once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit, prange

from model import kernel
from model.kernel import Fold
from training import bars, fit, softmax, words
from training.fit import Features
from training.words import Vocabulary

LEAST = 50_000  # rows above which a corpus is fitted here
SAMPLE = 25_000  # rows that choose the features
CHUNK = 10_000  # texts that the kernel reads at a time
PARTS = 4  # of the rows, each with a gradient of its own; fixed, so that sums do not depend on threads
SAMPLE_STEPS, STEPS = 60, 30


@dataclass(frozen=True)
class Packed:
    """Rows as the pass reads them."""

    ends: np.ndarray  # int64 (n_rows + 1,): where each row's columns are
    columns: np.ndarray  # int32: n-grams of all rows, one after the other
    parts: np.ndarray  # uint8: what each counts, in sixteenths; see `kernel.PARTS`
    share: np.ndarray  # float32 (n_rows,): 1 / (16 sqrt(how many columns))
    meaning: np.ndarray  # float32 (n_rows, n_dimensions), scaled


@njit(nogil=True, cache=True)
def _columns(keys, ends, index, found, parts, kept):
    """Write the columns of the known n-grams and their parts; return how many.

    `kept` (n_rows,) counts each row's.
    """
    longest = 0
    for i in range(ends.size):
        longest = max(longest, ends[i] - (ends[i - 1] if i else 0))
    counts = kernel.counters(longest)
    m = 0
    first = 0
    for i in range(ends.size):
        before = m
        for at in range(first, ends[i]):
            row = kernel.gram_row(keys[at], index)
            if row >= 0:
                found[m] = row
                m += 1
        kernel.count(found[before:m], m - before, counts, parts[before:m])
        kept[i] = m - before
        first = ends[i]
    return m


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


def pack(
    texts: Sequence[str],
    features: Features,
    table: Fold,
    move: Callable[[float], None] = lambda done: None,
) -> Packed:
    """Read all texts once, some thousands at a time."""
    index = kernel.index(features.keys, np.empty(0, np.uint64))
    known = features.vocabulary.table()
    ends = np.zeros(len(texts) + 1, np.int64)
    share = np.empty(len(texts), np.float32)
    meaning = np.empty((len(texts), features.vocabulary.vectors.shape[1]), np.float32)
    columns, shares_of = [], []
    for start in range(0, len(texts), CHUNK):
        seen = words.emit(texts[start : start + CHUNK], table, known)
        stop = start + seen.lengths.size
        found, of = np.empty(seen.keys.size, np.int32), np.empty(seen.keys.size, np.uint8)
        kept = np.empty(seen.lengths.size, np.int64)
        m = _columns(seen.keys, seen.key_ends, index, found, of, kept)
        columns.append(found[:m].copy())
        shares_of.append(of[:m].copy())
        ends[start + 1 : stop + 1] = kept
        share[start:stop] = 1 / (kernel.ONE_PART * np.sqrt(np.maximum(kept, 1)))
        meaning[start:stop] = features.meaning_scale * fit.means(seen, features.vocabulary)
        move(stop)
    np.cumsum(ends, out=ends)
    return Packed(ends, _joined(columns, np.int32), _joined(shares_of, np.uint8), share, meaning)


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    """The parts as one array; each is freed once it is copied."""
    whole = np.empty(sum(part.size for part in parts), kind)
    at = 0
    while parts:
        part = parts.pop(0)
        whole[at : at + part.size] = part
        at += part.size
    return whole


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


def scores(fitted: fit.Fitted, texts: Sequence[str], table: Fold) -> np.ndarray:
    """Uncompiled scores float32 (n_texts, n_schemes), some thousand texts at a time."""
    known = fitted.features.vocabulary.table()
    parts = [
        fitted.scores(words.emit(texts[at : at + CHUNK], table, known)) for at in range(0, len(texts), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty((0, fitted.bias.size), np.float32)


def fit_all(
    texts: Sequence[str],
    targets: np.ndarray,
    batches: Sequence[str],
    categories: np.ndarray,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
) -> fit.Fitted:
    """Fit schemes `targets` (n_texts,); `categories` (n_schemes,) is the category of each scheme."""
    chosen = sample(targets)
    few = replace(settings, steps=min(SAMPLE_STEPS, settings.steps))
    with bars.step("fit: a sample", few.steps) as move:
        first = fit.fit(
            [texts[i] for i in chosen], targets[chosen], [batches[i] for i in chosen], np.ones(chosen.size),
            categories, table, vocabulary, few, lambda step, loss: move(step),
        )  # fmt: skip
    with bars.step("read all rows", len(texts)) as move:
        rows = pack(texts, first.features, table, move)
    importance = fit.balanced(targets, categories, settings.balance)
    with bars.step("fit: all rows", STEPS) as move:
        found, bias, loss = descend(
            rows, targets, importance, first.features.idf, first.weights, first.bias, categories, settings,
            STEPS, lambda step, loss: move(step),
        )  # fmt: skip
    return fit.Fitted(first.features, found, bias, loss)
