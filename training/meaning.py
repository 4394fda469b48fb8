"""Word vectors moved so that the mean over a text comes near what the encoder makes of the text.

A word's own vector knows nothing of how reports use the word. A ridge regression finds the change of
all words' vectors after which the weighted means of the texts lie nearest to the encoder's vectors of
the same texts, both centred and of one size; the ridge holds a word back that few texts have. It is
solved by a few steps of conjugate gradients, all dimensions at once.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from training import fit
from training.words import Emitted, Vocabulary

STEPS = 8


def adjust(vocabulary: Vocabulary, seen: Emitted, meanings: np.ndarray, ridge: float) -> Vocabulary:
    """The vocabulary with vectors moved towards the encoder's `meanings` of the texts seen.

    `meanings` are float32 (n_texts, as many as the encoder has). Without texts or without
    `vocabulary.axes` nothing is moved.
    """
    if not len(meanings) or vocabulary.axes is None:
        return vocabulary
    mixture = fit.mixture(seen, vocabulary)
    before = mixture @ vocabulary.vectors
    before -= before.mean(axis=0)
    wanted = (meanings - meanings.mean(axis=0)) @ vocabulary.axes
    size = np.linalg.norm(wanted)
    if not size:
        return vocabulary
    wanted *= np.linalg.norm(before) / size
    moved = _solve(mixture, (wanted - before).astype(np.float32), np.float32(ridge))
    return replace(vocabulary, vectors=vocabulary.vectors + moved)


def _solve(mixture: csr_matrix, wanted: np.ndarray, ridge: np.float32) -> np.ndarray:
    """The x with the least |mixture x - wanted|² + ridge |x|², a column for each dimension."""
    across = mixture.T.tocsr()
    found = np.zeros((mixture.shape[1], wanted.shape[1]), np.float32)
    left = across @ wanted
    way = left.copy()
    square = (left * left).sum(axis=0)
    for _ in range(STEPS):
        bent = across @ (mixture @ way) + ridge * way
        step = square / np.maximum((way * bent).sum(axis=0), 1e-20)
        found += step * way
        left -= step * bent
        following = (left * left).sum(axis=0)
        way = left + (following / np.maximum(square, 1e-20)) * way
        square = following
    return found
