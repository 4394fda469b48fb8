"""Multinomial logistic regression on a sparse matrix, with L-BFGS.

The loss is scikit-learn's: weighted mean cross-entropy plus `|W|^2 / (2 C sum(weights))`, the bias free.
Where classes come in groups (schemes in categories), only a share of the cross-entropy is that of the
class; the rest is that of its group, whose probability is the sum of its classes'. scikit-learn's own
solver takes float64 copies of everything; this one works in float32, on as many threads as numba has. A
test holds its loss against `LogisticRegression`'s.
"""

from collections import deque
from collections.abc import Callable

import numpy as np
from numba import njit, prange
from scipy.sparse import csr_matrix

MEMORY = 8  # pairs that L-BFGS keeps
# Without the flags that let a compiler reorder sums or divide by multiplying: with them the same code has
# other bits when it was just compiled than when it comes from numba's cache.
FAST = {"nnan", "ninf", "nsz", "contract"}
LEAST_PROGRESS = 1e-4  # relative fall of the loss over ten steps at which it stops
LEAST_CHANCE = np.float32(1e-12)


@njit(nogil=True, cache=True, inline="always")
def residuals(row, target, weight, groups, shares):
    """Turn a row of scores (k,) into the loss's slopes along them; return the loss.

    The loss is `-weight * (share * ln p(class) + (1 - share) * ln p(group of the class))`, with the share
    of the class in `shares` (k,).
    """
    k = row.size
    highest = row[0]
    for c in range(k):
        highest = max(highest, row[c])
    total = np.float32(0)
    for c in range(k):
        row[c] = np.exp(row[c] - highest)
        total += row[c]
    group, share = groups[target], shares[target]
    mine = np.float32(0)
    for c in range(k):
        row[c] /= total
        mine += row[c] * np.float32(groups[c] == group)
    mine = max(mine, LEAST_CHANCE)
    own = max(row[target], LEAST_CHANCE)
    shared = (np.float32(1) - share) / mine
    for c in range(k):
        row[c] *= weight * (np.float32(1) - shared * np.float32(groups[c] == group))
    row[target] -= weight * share
    return -weight * (share * np.log(own) + (np.float32(1) - share) * np.log(mine))


@njit(parallel=True, nogil=True, cache=True, fastmath=FAST)
def _forward(indptr, indices, data, weights, bias, targets, sample_weights, groups, shares, slopes):
    """Fill slopes (n, k) of the losses along the scores; return each row's weighted loss."""
    n, k = slopes.shape
    losses = np.empty(n, np.float64)
    for i in prange(n):
        row = np.empty(k, np.float32)  # a view of the slopes would keep the loops from becoming vectors
        for c in range(k):
            row[c] = bias[c]
        for at in range(indptr[i], indptr[i + 1]):
            value = data[at]
            j = indices[at]
            for c in range(k):
                row[c] += value * weights[j, c]
        losses[i] = residuals(row, targets[i], sample_weights[i], groups, shares)
        for c in range(k):
            slopes[i, c] = row[c]
    return losses


@njit(parallel=True, nogil=True, cache=True, fastmath=FAST)
def _backward(indptr, indices, data, slopes, weights, ridge, gradient):
    """Fill gradient (m, k) = X^T slopes + ridge * weights; X in columns."""
    m, k = gradient.shape
    for j in prange(m):
        row = np.empty(k, np.float32)
        for c in range(k):
            row[c] = ridge * weights[j, c]
        for at in range(indptr[j], indptr[j + 1]):
            value = data[at]
            i = indices[at]
            for c in range(k):
                row[c] += value * slopes[i, c]
        for c in range(k):
            gradient[j, c] = row[c]


def fit(
    matrix: csr_matrix,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    n_classes: int,
    strength: float,
    steps: int = 200,
    watch: Callable[[int, float], None] | None = None,
    groups: np.ndarray | None = None,
    shares: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit; returns weights float32 (n_features, n_classes), bias (n_classes,) and the mean loss.

    `strength` is scikit-learn's C. `watch(step, loss)` is called after every step. `groups` (n_classes,)
    is the group of each class and `shares` (n_classes,), 0 to 1, how much of its examples' loss is its
    own; all of it by default.
    """
    groups = np.arange(n_classes) if groups is None else groups.astype(np.int64)
    rows = matrix.astype(np.float32).tocsr()
    columns = rows.tocsc()
    total = float(sample_weights.sum())
    importance = (sample_weights / total).astype(np.float32)
    own = np.ones(n_classes, np.float32) if shares is None else shares.astype(np.float32)
    ridge = np.float32(1.0 / (strength * total))
    n, m = rows.shape
    targets = targets.astype(np.int64)
    slopes = np.empty((n, n_classes), np.float32)

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        weights = point[: m * n_classes].reshape(m, n_classes)
        bias = point[m * n_classes :]
        losses = _forward(
            rows.indptr, rows.indices, rows.data, weights, bias, targets, importance, groups, own, slopes
        )
        gradient = np.empty_like(point)
        _backward(
            columns.indptr, columns.indices, columns.data, slopes, weights, ridge,
            gradient[: m * n_classes].reshape(m, n_classes),
        )  # fmt: skip
        gradient[m * n_classes :] = slopes.sum(axis=0)
        flat = point[: m * n_classes]
        return float(losses.sum()) + 0.5 * float(ridge) * float(flat @ flat), gradient

    point = np.zeros(m * n_classes + n_classes, np.float32)
    point, loss = descend(evaluate, point, steps, watch)
    return point[: m * n_classes].reshape(m, n_classes), point[m * n_classes :], loss


def descend(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    point: np.ndarray,
    steps: int,
    watch: Callable[[int, float], None] | None,
) -> tuple[np.ndarray, float]:
    """L-BFGS with backtracking (Nocedal and Wright, Numerical Optimization, algorithm 7.5)."""
    loss, gradient = evaluate(point)
    pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=MEMORY)
    history = [loss]
    for step in range(steps):
        direction = -gradient
        alphas = []
        for s, y, rho in reversed(pairs):
            alpha = rho * float(s @ direction)
            direction -= np.float32(alpha) * y
            alphas.append(alpha)
        if pairs:
            s, y, rho = pairs[-1]
            direction *= np.float32(1 / (rho * float(y @ y)))
        for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
            direction += np.float32(alpha - rho * float(y @ direction)) * s
        slope = float(gradient @ direction)
        if slope >= 0:  # the memory no longer fits; start again from the gradient
            pairs.clear()
            direction, slope = -gradient, -float(gradient @ gradient)
        length = 1.0 if pairs else 1.0 / max(1e-12, float(np.abs(gradient).sum()))
        moved = False
        for _ in range(20):
            new_point = point + np.float32(length) * direction
            new_loss, new_gradient = evaluate(new_point)
            if new_loss <= loss + 1e-4 * length * slope:
                moved = True
                break
            length *= 0.5
        if not moved:
            break
        s, y = new_point - point, new_gradient - gradient
        curvature = float(s @ y)
        if curvature > 1e-12 * float(s @ s):
            pairs.append((s, y, 1 / curvature))
        point, loss, gradient = new_point, new_loss, new_gradient
        history.append(loss)
        if watch:
            watch(step + 1, loss)
        if len(history) > 10 and history[-11] - loss < LEAST_PROGRESS * abs(loss):
            break
    return point, loss
