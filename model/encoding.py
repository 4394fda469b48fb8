"""Texts as the kernel takes them: code points of all of them in one array, and where each begins."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model import kernel
from model.errors import TextError


def encode(texts: Sequence[str], first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Code points of all texts, uint32, and where each starts, int64 (n_texts + 1,).

    Raises TextError for what is no str; `first` is the number of the first text there.
    """
    if isinstance(texts, str):
        raise TextError("texts is one str; give a list of texts")
    offsets = np.zeros(len(texts) + 1, np.int64)
    try:
        joined = "".join(texts)
    except TypeError:
        at = next(i for i, text in enumerate(texts) if not isinstance(text, str))
        raise TextError(f"texts[{first + at}] is {type(texts[at]).__name__}, not str") from None
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32), offsets


def decode(content: Any, starts: np.ndarray, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What `encode` gives, from texts that lie in one buffer of UTF-8 as `classify_utf8` takes them."""
    encoded = np.frombuffer(content, np.uint8)
    if starts[0] < 0 or starts[-1] > encoded.size or (starts[1:] < starts[:-1]).any():
        raise TextError("starts must rise and lie within the buffer")
    codes, offsets = np.empty(starts[-1] - starts[0], np.uint32), np.empty(starts.size, np.int64)
    wrong = kernel.decode(encoded, starts, codes, offsets)
    if wrong >= 0:
        raise TextError(f"texts[{first + wrong}] in the buffer is not UTF-8; check the column first")
    return codes[: offsets[-1]], offsets
