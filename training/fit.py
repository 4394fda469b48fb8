"""Fit: what the kernel sees of the examples, a linear model on it, and the tables it becomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix, hstack

from model import kernel
from model.kernel import Fold
from training import softmax
from training.words import Emitted, Vocabulary, emit

COLUMN_BLOCK = 16  # rows of the tables are padded to a multiple of this
# Texts, copies and cues among them, from which on n-grams weigh by size and by what they tell. Held-out
# categories are 1 point worse for it with 300 reports, .7 to 1.2 points better with 1,500.
WEIGHED = 2_000
DOUBT = 20  # texts of any category that every n-gram is thought to stand in besides, see `told`


@dataclass(frozen=True)
class Settings:
    """What a fit depends on beside its examples. All of it goes into the manifest."""

    strength: float = 6.0  # scikit-learn's C
    spelling: float = 20.0  # the mean length of a text's n-grams, however many it has
    meaning: float = 6.0  # and of its meaning: together the λ between the two blocks
    most_grams: int = 115_800  # rows of the n-gram table
    least_texts: int = 2  # in which an n-gram must stand
    least_batches: int = 2  # an n-gram of one hand is a habit, not a sign
    sizes: tuple[float, ...] = (0.6, 1.2, 1.0, 0.7, 0.5)  # what n-grams of letters, 1, 2, ... tokens weigh
    telling: float = 0.25  # they weigh what they tell of the category to this power, see `told`
    ridge: float = 0.1  # that holds the words' vectors to the encoder's, see `training.meaning`
    balance: float = 1.0  # a category's examples weigh count ** -balance
    schemes: float = 0.05  # share of the loss that asks for the scheme, the rest asks for its category
    caution: float = 0.13  # by how much less "not a fraud" scores in a text of usual length
    sharpening: float = 0.15  # scores grow with a text's tokens to this power, see `kernel.sharper`
    steps: int = 250
    copies: int = 1  # altered copies of each example, see `training.alter`
    cue_weight: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Features:
    """The columns of a fit: n-grams by hash, then the dimensions of meaning."""

    keys: np.ndarray  # uint64 (n_grams,), sorted
    idf: np.ndarray  # float32 (n_grams,), times what each weighs and the scale of the block
    vocabulary: Vocabulary
    meaning_scale: float

    def matrix(self, seen: Emitted) -> csr_matrix:
        """Sparse (n_texts, n_grams + n_dimensions): the n-grams and the meaning."""
        meaning = self.meaning_scale * means(seen, self.vocabulary)
        return hstack([self.grams(seen), csr_matrix(meaning)], format="csr", dtype=np.float32)

    def grams(self, seen: Emitted) -> csr_matrix:
        """Sparse (n_texts, n_grams): idf * (1 + ln(count)) / sqrt(how many of its n-grams are known).

        So a text that says the same again weighs as it did, and one of strange words not less for them.
        """
        n_texts = seen.lengths.size
        at = np.searchsorted(self.keys, seen.keys)
        at[at == self.keys.size] = 0
        hit = self.keys[at] == seen.keys if self.keys.size else np.zeros(seen.keys.size, bool)
        rows = np.repeat(np.arange(n_texts), np.diff(seen.key_ends, prepend=0))[hit]
        columns = at[hit]
        counted = _matrix(rows, columns, n_texts, self.keys.size)
        known = np.maximum(np.bincount(rows, minlength=n_texts), 1)
        rows = np.repeat(np.arange(n_texts), np.diff(counted.indptr))
        values = self.idf[counted.indices] / np.sqrt(known)[rows]
        counted.data = (values * damped(counted.data)).astype(np.float32)
        return counted


def _parts(counts: np.ndarray) -> np.ndarray:
    """What the kernel counts of each occurrence, up to the largest of `counts`."""
    n = np.arange(int(counts.max(initial=1)))
    return kernel.PARTS[np.minimum(n, kernel.PARTS.size - 1)]


def damped(counts: np.ndarray) -> np.ndarray:
    """1 + ln(count), as the kernel's parts add up to it."""
    return np.asarray((np.cumsum(_parts(counts)) / kernel.ONE_PART)[counts.astype(np.int64) - 1])


def mixture(seen: Emitted, vocabulary: Vocabulary) -> csr_matrix:
    """What share of a text each word is by weight, float32 (n_texts, n_words).

    A word that stands there again weighs less each time, as in the kernel.
    """
    n_texts = seen.lengths.size
    rows = np.repeat(np.arange(n_texts), np.diff(seen.word_ends, prepend=0))
    counted = _matrix(rows, seen.word_rows, n_texts, vocabulary.keys.size)
    weights = np.arange(kernel.WEIGHT_ONE + 1)[:, None]
    parts = (weights * _parts(counted.data) + kernel.ONE_PART // 2) // kernel.ONE_PART
    counts = counted.data.astype(np.int64)
    weighed = np.cumsum(parts, axis=1)[vocabulary.weights[counted.indices], counts - 1]
    rows = np.repeat(np.arange(n_texts), np.diff(counted.indptr))
    total = np.bincount(rows, weighed, minlength=n_texts)
    counted.data = (weighed / np.maximum(total, 1)[rows]).astype(np.float32)
    return counted


def means(seen: Emitted, vocabulary: Vocabulary) -> np.ndarray:
    """Weighted mean of the word vectors of each text, float32 (n_texts, n_dimensions)."""
    return np.asarray(mixture(seen, vocabulary) @ vocabulary.vectors, np.float32)


def _matrix(rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int) -> csr_matrix:
    """How often each pair of row and column is there, float32 (n_rows, n_columns)."""
    counted = csr_matrix((np.ones(rows.size, np.float32), (rows, columns)), shape=(n_rows, n_columns))
    counted.sum_duplicates()
    return counted


def told(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How much each n-gram tells of the category, (n_grams,): the Kullback-Leibler divergence of the
    categories of the texts that have it, `counts` (n_categories, n_grams), from those of all texts,
    `sizes` (n_categories,). Texts by chance, `DOUBT` of them, keep a rare n-gram from telling too much.

    Term weighting by what the classes are: Debole and Sebastiani 2003, "Supervised term weighting for
    automated text categorization".
    """
    prior = np.maximum(sizes / max(1, sizes.sum()), 1e-12)[:, None]
    shares = (counts + DOUBT * prior) / (counts.sum(axis=0) + DOUBT)
    return np.maximum((shares * np.log(shares / prior)).sum(axis=0), 0)


def choose_features(
    seen: Emitted, truths: np.ndarray, batches: Sequence[str], vocabulary: Vocabulary, settings: Settings
) -> Features:
    """Keep the n-grams that stand in enough texts of enough batches; weigh them; scale both blocks.

    `truths` (n_texts,) is the category of each text.
    """
    n_texts = seen.lengths.size
    encoded = pa.array(seen.keys).dictionary_encode()  # by a hash table: NumPy would sort
    keys, column = encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
    sizes = np.zeros(keys.size, np.uint8)
    sizes[column] = seen.sizes
    there = _matrix(
        np.repeat(np.arange(n_texts), np.diff(seen.key_ends, prepend=0)), column, n_texts, keys.size
    )
    there.data[:] = 1
    text_counts = np.bincount(there.indices, minlength=keys.size)
    _, batch = np.unique(np.asarray(batches), return_inverse=True)
    spread = _matrix(batch, np.arange(n_texts), int(batch.max(initial=0)) + 1, n_texts) @ there
    batch_counts = np.bincount(spread.indices, minlength=keys.size)
    good = np.flatnonzero(
        (text_counts >= settings.least_texts)
        & (batch_counts >= min(settings.least_batches, len(set(batches))))
    )
    order = good[np.lexsort((keys[good], -text_counts[good]))[: settings.most_grams]]
    order = order[np.argsort(keys[order])]
    idf = 1 + np.log((1 + n_texts) / (1 + text_counts[order]))
    if n_texts >= WEIGHED:
        by_category = _matrix(truths, np.arange(n_texts), int(truths.max(initial=0)) + 1, n_texts)
        counts = (by_category @ there[:, order]).toarray()
        telling = told(counts, np.bincount(truths, minlength=len(counts)))
        idf *= np.array(settings.sizes)[sizes[order]] * telling**settings.telling
    length = np.linalg.norm(means(seen, vocabulary), axis=1).mean()
    scale = settings.meaning / max(float(length), 1e-12)
    plain = Features(keys[order], idf.astype(np.float32), vocabulary, scale)
    spelled = np.sqrt(np.asarray(plain.grams(seen).power(2).sum(axis=1))).mean()
    idf *= settings.spelling / max(float(spelled), 1e-12)
    return replace(plain, idf=idf.astype(np.float32))


@dataclass(frozen=True)
class Fitted:
    """A fit before it is compiled: weights float32 (n_columns of Features, n_schemes)."""

    features: Features
    weights: np.ndarray
    bias: np.ndarray
    loss: float
    sharpening: float = 0.0

    def scores(self, seen: Emitted) -> np.ndarray:
        """Uncompiled scores, float32 (n_texts, n_schemes)."""
        factors = kernel.sharper(seen.lengths, self.sharpening)
        plain = self.features.matrix(seen) @ self.weights + self.bias
        return np.asarray(factors[:, None] * plain, np.float32)

    def tables(self) -> dict[str, np.ndarray]:
        """Compile: idf and vectors multiplied out, rows rounded to int8 with a scale a column."""
        n_grams = self.features.keys.size
        vocabulary = self.features.vocabulary
        grams = self.weights[:n_grams] * self.features.idf[:, None]
        meanings = self.features.meaning_scale * (vocabulary.vectors @ self.weights[n_grams:])
        gram_rows, gram_scale = quantise(_pad(grams))
        # The words of other languages stand at the end, weigh nothing and need no row.
        n_heard = int(np.flatnonzero(vocabulary.weights).max(initial=-1)) + 1
        word_rows, word_scale = quantise(_pad(meanings[:n_heard]))
        return {
            "gram_keys": self.features.keys,
            "gram_rows": gram_rows,
            "gram_scale": gram_scale,
            "word_keys": vocabulary.keys,
            "word_rows": word_rows,
            "word_scale": word_scale,
            "word_log_frequencies": vocabulary.log_frequencies,
            "word_weights": vocabulary.weights,
            "bias": _pad(self.bias[None, :])[0].astype(np.float32),
        }


def _pad(rows: np.ndarray) -> np.ndarray:
    missing = -rows.shape[1] % COLUMN_BLOCK
    return np.pad(rows, ((0, 0), (0, missing)))


def quantise(rows: np.ndarray, clipped: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Round to int8 with one float32 scale a column; the share `clipped` of outliers is clipped.

    Few, for what is clipped are the weights of what is frequent and tells most: texts add up hundreds of
    rows, so that finer steps for the others are worth less than those.
    """
    if not rows.size:
        return rows.astype(np.int8), np.full(rows.shape[1], 1e-6, np.float32)
    scale = np.maximum(np.quantile(np.abs(rows), 1 - clipped, axis=0) / 127, 1e-6)
    return np.clip(np.rint(rows / scale), -127, 127).astype(np.int8), scale.astype(np.float32)


def balanced(targets: np.ndarray, categories: np.ndarray, balance: float, few: int = 1) -> np.ndarray:
    """What each example weighs, (n_texts,): its category's `count ** -balance`, 1 on average.

    `targets` (n_texts,) are schemes, `categories` (n_schemes,) the category of each. A category of fewer
    than `few` examples counts as one of so many.
    """
    mine = categories[targets]
    weights = np.maximum(np.bincount(mine), few).astype(float)[mine] ** -balance
    return np.asarray(weights / weights.mean())


def shares(targets: np.ndarray, categories: np.ndarray, mean: float) -> np.ndarray:
    """How much of its examples' loss asks for the scheme, (n_schemes,): more, the rarer it is.

    So that schemes of one category weigh the same beside each other; over a category it is `mean`.
    """
    counts = np.bincount(targets, minlength=categories.size)
    there = np.maximum(np.bincount(categories, counts > 0), 1)
    even = np.bincount(categories, counts)[categories] / there[categories]
    return np.minimum(mean * even / np.maximum(counts, 1), 1.0)


def fit(
    texts: Sequence[str],
    targets: np.ndarray,
    batches: Sequence[str],
    weights: np.ndarray,
    categories: np.ndarray,
    fold: Fold,
    vocabulary: Vocabulary,
    settings: Settings,
    watch: Callable[[int, float], None] | None = None,
) -> Fitted:
    """Fit schemes `targets` (n_texts,) on texts, with a weight each.

    `categories` (n_schemes,) is the category of each scheme.
    """
    seen = emit(texts, fold, vocabulary.table())
    features = choose_features(seen, categories[targets], batches, vocabulary, settings)
    found, bias, loss = softmax.fit(
        features.matrix(seen), targets, weights * balanced(targets, categories, settings.balance),
        categories.size, settings.strength, settings.steps, watch, categories,
        shares(targets, categories, settings.schemes),
    )  # fmt: skip
    return Fitted(features, found, bias, loss, settings.sharpening)
