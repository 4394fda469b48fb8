"""Near-duplicates: MinHash over character 5-grams (Broder 1997), grouped through bands.

Compiled, since a desk brings half a million texts.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit, prange

from model.encoding import encode
from training.corpora import bare

SHINGLE = 5
N_HASHES = 32
BAND = 4  # hashes that two texts must share to be compared at all
ALIKE = 0.6  # Jaccard of the shingles from which two texts are near-duplicates
COMPARED = 20  # neighbours within a band


@njit(parallel=True, nogil=True, cache=True)
def _fill(codes, offsets, factors, found):
    """Fill found (n_texts, n_hashes) with the least hash of every text's shingles."""
    for i in prange(found.shape[0]):
        first = offsets[i]
        last = max(first + 1, offsets[i + 1] - SHINGLE + 1)
        for k in range(found.shape[1]):
            found[i, k] = np.uint64(0xFFFFFFFFFFFFFFFF)
        for at in range(first, last):
            value = np.uint64(1469598103934665603)
            for j in range(at, min(at + SHINGLE, offsets[i + 1])):
                value = (value ^ np.uint64(codes[j])) * np.uint64(1099511628211)
            for k in range(found.shape[1]):
                mixed = (value * factors[k]) >> np.uint64(16)
                if mixed < found[i, k]:
                    found[i, k] = mixed


def signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures uint64 (n_texts, N_HASHES)."""
    factors = np.random.default_rng(0).integers(1, 2**31, N_HASHES, dtype=np.uint64)
    codes, offsets = encode([bare(text) for text in texts])
    found = np.empty((len(texts), N_HASHES), np.uint64)
    _fill(codes, offsets, factors, found)
    return found


@njit(nogil=True, cache=True)
def _root(parents, i):
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(nogil=True, cache=True)
def _join(found, order, starts, alike, parents):
    """Join what is alike within each run of `order`; the least index becomes the root."""
    n_hashes = found.shape[1]
    for run in range(starts.size - 1):
        for a in range(starts[run], starts[run + 1]):
            for b in range(a + 1, min(a + COMPARED, starts[run + 1])):
                one, two = _root(parents, order[a]), _root(parents, order[b])
                if one == two:
                    continue
                same = 0
                for k in range(n_hashes):
                    same += found[order[a], k] == found[order[b], k]
                if same >= alike * n_hashes:
                    parents[max(one, two)] = min(one, two)


def groups(texts: Sequence[str], alike: float = ALIKE) -> np.ndarray:
    """The group of each text, int64 (n_texts,): the index of its first member."""
    found = signatures(texts)
    parents = np.arange(len(texts))
    for band in range(0, N_HASHES, BAND):
        part = np.ascontiguousarray(found[:, band : band + BAND])
        mixed = part[:, 0].copy()
        for k in range(1, BAND):
            mixed = mixed * np.uint64(0x9E3779B97F4A7C15) ^ part[:, k]
        order = np.argsort(mixed, kind="stable")
        edges = np.flatnonzero(np.diff(mixed[order])) + 1
        starts = np.concatenate([[0], edges, [len(texts)]]).astype(np.int64)
        _join(found, order, starts, alike, parents)
    return np.array([_root(parents, i) for i in range(len(texts))], np.int64)
