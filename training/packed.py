"""The rows of a large fit, packed: a column number and a byte for each n-gram of a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from model import kernel
from model.kernel import Fold
from training import fit, words
from training.fit import Features

CHUNK = 10_000  # texts that the kernel reads at a time


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


def read(
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
