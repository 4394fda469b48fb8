"""Which reports nearly repeat each other: min-wise hashes of what a text consists of, in bands.

Two texts share a min-wise hash with the probability that is the share of their common four-character
pieces (Broder 1997). A band is three hashes as one; of six bands one in common is enough. So texts
with 80 % in common are found to 99 %, with 50 % to 55 %, with 10 % to 1 %.
"""

import numpy as np

PIECE = 4
BANDS, ROWS = 6, 3
_GENERATOR = np.random.default_rng(20_26)
_PIECE_FACTORS = _GENERATOR.integers(1, 2**63, PIECE, np.uint64) | np.uint64(1)
_HASH_FACTORS = _GENERATOR.integers(1, 2**63, BANDS * ROWS, np.uint64) | np.uint64(1)
_BAND_FACTORS = _GENERATOR.integers(1, 2**63, ROWS, np.uint64) | np.uint64(1)
_DIGITS = dict.fromkeys(map(ord, "0123456789０１２３４５６７８９"), "0")


def bands(text: str) -> list[int]:
    """The bands of a text, each of 63 bits; digits count as one, for amounts and numbers vary."""
    plain = " ".join(text.lower().translate(_DIGITS).split()).ljust(PIECE)
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    pieces = np.zeros(len(codes) - PIECE + 1, np.uint64)
    for at, factor in enumerate(_PIECE_FACTORS):
        pieces += codes[at : at + len(pieces)] * factor
    pieces ^= pieces >> np.uint64(29)
    hashes = (pieces[None, :] * _HASH_FACTORS[:, None] >> np.uint64(11)).min(axis=1)
    mixed = (hashes.reshape(BANDS, ROWS) * _BAND_FACTORS).sum(axis=1)
    places = np.arange(BANDS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return [int(band) for band in (mixed ^ places) >> np.uint64(1)]
