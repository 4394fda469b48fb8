"""The only compiled code: it folds, tokenises, hashes, looks up and adds.

A batch is one array of code points (UTF-32) with offsets; every function below works on one text of
it at a time, so a batch equals its single calls bit for bit: all sums are sums of integers.

    codes -> tokenise, join -> tokens -> grams -> n-gram hashes -> look_up -> rows -> scores
                                    \\-> words -> word rows (Chinese by the best path) -> scores

The same functions serve training (`emit`), prediction (`score`) and evidence (`book`), so they
cannot differ. Nothing is compiled at import; numba keeps the machine code in its cache.

Numba widens `uint32 * uint32` and makes `uint64 + 1` signed, so every literal carries its type.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

# Kinds of code point. A mark of NOTHING vanishes even inside a word; a BREAK ends a Chinese word.
NOTHING, SYMBOL, BREAK, CJK, LATIN, OTHER, DIGIT = range(7)

LONGEST_GRAM = 4  # tokens
LONGEST_WORD = 4  # Chinese characters
LETTER_GRAM = 4  # letters, the marks of a word's edges included
LEAST_JOINED = 6  # letters of a word put together from a single letter and another part
WEIGHT_ONE = 255  # a word's weight of 1.0
# What the first, second, ... occurrence of an n-gram in a text counts, in sixteenths: together they
# are 1 + ln(count), scikit-learn's sublinear tf, in whole numbers.
PARTS = np.array([16, 11, 7, 4, 4, 3, 2, 2, 2, 2, 1], np.int32)
ONE_PART = 16
UNSEEN_LOG_FREQUENCY = -20.0  # of a Chinese character that is no word of the vocabulary

# Columns of the statistics of a text.
TOKENS, CJK_TOKENS, LATIN_WORDS, OTHER_LETTERS, KNOWN_LATIN, LATIN_LETTERS, CHARACTERS, FOREIGN = range(8)
RUNS, CJK_IN_WORDS = 8, 9  # runs of tokens between spaces; Chinese characters in longer words
N_STATISTICS = 10

_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_EDGE = np.uint64(0x1FFFF1)
_DIGITS = np.uint64(0x1FFFF2)
_LETTERS = np.uint64(0x1FFFF3)
_ONE = np.uint64(1)


class Fold(NamedTuple):
    """Code point below `len(kinds)` -> the code point it stands for, and its kind."""

    targets: np.ndarray  # uint32 (n_codes,)
    kinds: np.ndarray  # uint8 (n_codes,)


class Table(NamedTuple):
    """Rows found by hash: `slots` is open-addressed, each `fingerprint << 32 | row + 1`, 0 empty."""

    slots: np.ndarray  # uint64 (a power of two,)
    rows: np.ndarray  # int8 (n_rows, n_columns)


class Words(NamedTuple):
    """The word table: a row, a log-frequency and a weight for each word.

    A word of weight 0 is one of another language: it is counted, and says nothing.
    """

    slots: np.ndarray  # uint64 (a power of two,)
    rows: np.ndarray  # int8 (n_words, n_columns)
    log_frequencies: np.ndarray  # float32 (n_words,), natural
    weights: np.ndarray  # uint8 (n_words,), of WEIGHT_ONE


class _Space(NamedTuple):
    """Room for one text: tokens, their letters, n-grams and words. Positions count code points."""

    hashes: np.ndarray  # uint64, of tokens
    starts: np.ndarray  # int32, of tokens, in the text
    ends: np.ndarray
    kinds: np.ndarray  # uint8, of tokens
    breaks: np.ndarray  # uint8: a BREAK stands before this token
    letters: np.ndarray  # uint32, the folded letters of the text
    firsts: np.ndarray  # int32, where a token's letters start
    grams: np.ndarray  # uint64
    gram_starts: np.ndarray  # int32, first token
    gram_ends: np.ndarray  # int32, one past the last token
    word_rows: np.ndarray  # int32
    word_starts: np.ndarray  # int32, first token
    word_ends: np.ndarray
    best: np.ndarray  # float32, the best path's log-frequency
    back: np.ndarray  # int32, length of the best path's last word
    found: np.ndarray  # int32, its row or -1


@njit(nogil=True, cache=True, inline="always")
def _mix(first, second):
    mixed = (first ^ (second * _SEED)) * _MULTIPLIER
    return mixed ^ (mixed >> _SHIFT)


@njit(nogil=True, cache=True)
def _space(longest):
    n = longest + 1
    m = n * (LONGEST_GRAM + 2)
    return _Space(
        np.empty(n, np.uint64), np.empty(n, np.int32), np.empty(n, np.int32),
        np.empty(n, np.uint8), np.empty(n, np.uint8), np.empty(n, np.uint32),
        np.empty(n, np.int32), np.empty(m, np.uint64), np.empty(m, np.int32),
        np.empty(m, np.int32), np.empty(n, np.int32), np.empty(n, np.int32),
        np.empty(n, np.int32), np.empty(n + 1, np.float32), np.empty(n + 1, np.int32),
        np.empty(n + 1, np.int32),
    )  # fmt: skip


@njit(nogil=True, cache=True, inline="always")
def _kind(code, fold):
    if code < np.uint32(fold.kinds.size):
        return fold.kinds[code]
    if np.uint32(0x20000) <= code < np.uint32(0x32000):
        return np.uint8(CJK)
    if code >= np.uint32(0xE0000):  # tags and variation marks
        return np.uint8(NOTHING)
    return np.uint8(SYMBOL)


@njit(nogil=True, cache=True, inline="always")
def _leet(digit):
    """The letter that a digit inside a Latin word stands for, 0 if none."""
    if digit == 48:
        return np.uint32(111)  # o
    if digit == 49:
        return np.uint32(105)  # i
    if digit == 51:
        return np.uint32(101)  # e
    if digit == 52:
        return np.uint32(97)  # a
    if digit == 53:
        return np.uint32(115)  # s
    if digit == 55:
        return np.uint32(116)  # t
    return np.uint32(0)


@njit(nogil=True, cache=True)
def tokenise(codes, begin, end, fold, space, statistics):
    """Fill the space with the tokens of `codes[begin:end]`; return how many there are.

    A CJK character is a token, a run of letters is a token, a run of digits is a token that knows
    only its length.
    """
    n = 0
    n_letters = 0
    open_kind = np.uint8(SYMBOL)
    broken = np.uint8(1)
    spaced = 1
    statistics[:] = 0
    for i in range(begin, end):
        code = codes[i]
        kind = _kind(code, fold)
        if kind == NOTHING:
            continue
        folded = fold.targets[code] if code < np.uint32(fold.kinds.size) else code
        if kind == DIGIT and open_kind == LATIN and i + 1 < end:
            letter = _leet(folded)
            if letter != 0 and _kind(codes[i + 1], fold) == LATIN:
                kind = np.uint8(LATIN)
                folded = letter
        if kind <= BREAK:
            open_kind = np.uint8(SYMBOL)
            if kind == BREAK:
                broken = np.uint8(1)
            if folded == 32 or 9 <= folded <= 13:
                spaced = 1
            continue
        if kind == OTHER:
            statistics[OTHER_LETTERS] += 1
        if kind == LATIN:
            statistics[LATIN_LETTERS] += 1
        if kind == CJK or kind != open_kind:
            space.starts[n] = i - begin
            space.firsts[n] = n_letters
            space.kinds[n] = kind
            space.breaks[n] = broken
            broken = np.uint8(0)
            statistics[RUNS] += spaced
            spaced = 0
            if kind == CJK:
                space.hashes[n] = _mix(_SEED, np.uint64(folded))
                statistics[CJK_TOKENS] += 1
            elif kind == DIGIT:
                space.hashes[n] = _mix(_DIGITS, _ONE)
            else:
                space.hashes[n] = _mix(_LETTERS, np.uint64(folded))
                if kind == LATIN:
                    statistics[LATIN_WORDS] += 1
            open_kind = np.uint8(SYMBOL) if kind == CJK else kind
            n += 1
        elif kind == DIGIT:
            # 1, 2, 3, 4, 5-6, 7-10, 11 and more digits: sums and telephone numbers, not values
            length = n_letters - space.firsts[n - 1] + 1
            size = np.int64(length)
            if length >= 11:
                size = 7
            elif length >= 7:
                size = 6
            elif length >= 5:
                size = 5
            space.hashes[n - 1] = _mix(_DIGITS, np.uint64(size))
        else:
            space.hashes[n - 1] = _mix(space.hashes[n - 1], np.uint64(folded))
        space.letters[n_letters] = folded
        n_letters += 1
        space.ends[n - 1] = i - begin + 1
    space.firsts[n] = n_letters
    statistics[TOKENS] = n
    statistics[CHARACTERS] = n_letters
    return n


@njit(nogil=True, cache=True)
def grams(n, space):
    """Hash the n-grams of `n` tokens, 1 to 4 long, and the letter 4-grams of Latin words."""
    m = 0
    one = np.uint64(0)
    two = np.uint64(0)
    three = np.uint64(0)
    for t in range(n):
        this = space.hashes[t]
        four = _mix(three, this)
        three = _mix(two, this)
        two = _mix(one, this)
        one = this
        space.grams[m] = one
        space.gram_starts[m] = t
        space.gram_ends[m] = t + 1
        m += 1
        if t >= 1:
            space.grams[m] = two
            space.gram_starts[m] = t - 1
            space.gram_ends[m] = t + 1
            m += 1
        if t >= 2:
            space.grams[m] = three
            space.gram_starts[m] = t - 2
            space.gram_ends[m] = t + 1
            m += 1
        if t >= 3:
            space.grams[m] = four
            space.gram_starts[m] = t - 3
            space.gram_ends[m] = t + 1
            m += 1
        if space.kinds[t] == LATIN:
            first = space.firsts[t]
            length = space.firsts[t + 1] - first
            if length >= LETTER_GRAM:
                for k in range(-1, length + 2 - LETTER_GRAM):
                    mixed = _EDGE
                    for j in range(k, k + LETTER_GRAM):
                        if 0 <= j < length:
                            mixed = _mix(mixed, np.uint64(space.letters[first + j]))
                        else:
                            mixed = _mix(mixed, _EDGE)
                    space.grams[m] = mixed
                    space.gram_starts[m] = t
                    space.gram_ends[m] = t + 1
                    m += 1
    return m


@njit(nogil=True, cache=True, inline="always")
def _look_up(key, slots):
    """The row of a hash, or -1 where nobody has it."""
    mask = np.uint64(slots.size - 1)
    at = key & mask
    fingerprint = key >> _SHIFT
    while slots[at] != np.uint64(0):
        if slots[at] >> _SHIFT == fingerprint:
            return np.int64(slots[at] & _LOW) - 1
        at = (at + _ONE) & mask
    return np.int64(-1)


@njit(nogil=True, cache=True, inline="always")
def _part(row, counts):
    """What this occurrence of a row counts, in sixteenths; `counts` (n_rows,) goes on counting."""
    so_far = counts[row]
    if so_far < np.uint8(PARTS.size - 1):
        counts[row] = so_far + np.uint8(1)
    return PARTS[so_far]


@njit(nogil=True, cache=True, inline="always")
def _weight(row, weights, counts):
    """What this occurrence of a word weighs: its part of the word's weight, a whole number."""
    return (np.int32(weights[row]) * _part(row, counts) + np.int32(ONE_PART // 2)) // np.int32(ONE_PART)


@njit(nogil=True, cache=True)
def join(n, slots, space, statistics):
    """Join neighbours that are one word when no mark stands between them: `acc ount`, `sca-m`.

    Only where one of them is no word of the vocabulary. Returns how many tokens are left.
    """
    kept = 0
    t = 0
    while t < n:
        merged = False
        if (
            t + 1 < n
            and space.kinds[t] == LATIN
            and space.kinds[t + 1] == LATIN
            and space.breaks[t + 1] == 0
            and space.starts[t + 1] - space.ends[t] == 1
        ):
            first = space.firsts[t]
            middle = space.firsts[t + 1]
            last = space.firsts[t + 2]
            single = middle - first == 1 or last - middle == 1
            if last - first >= (LEAST_JOINED if single else LEAST_JOINED - 2) and (
                _look_up(space.hashes[t], slots) < 0 or _look_up(space.hashes[t + 1], slots) < 0
            ):
                joined = space.hashes[t]
                for k in range(middle, last):
                    joined = _mix(joined, np.uint64(space.letters[k]))
                if _look_up(joined, slots) >= 0:
                    space.hashes[kept] = joined
                    space.ends[kept] = space.ends[t + 1]
                    merged = True
        if not merged:
            space.hashes[kept] = space.hashes[t]
            space.ends[kept] = space.ends[t]
        space.starts[kept] = space.starts[t]
        space.kinds[kept] = space.kinds[t]
        space.breaks[kept] = space.breaks[t]
        space.firsts[kept] = space.firsts[t]
        kept += 1
        t += 2 if merged else 1
    space.firsts[kept] = space.firsts[n]
    statistics[LATIN_WORDS] -= n - kept
    statistics[TOKENS] = kept
    return kept


@njit(nogil=True, cache=True)
def words(n, table, space, statistics):
    """Find the words of `n` tokens: Latin ones as they stand, Chinese by the best path.

    The best path over log-frequencies is jieba's method without its hidden Markov model.
    Returns the number of words, unknown Chinese characters left out.
    """
    m = 0
    t = 0
    while t < n:
        if space.kinds[t] != CJK:
            if space.kinds[t] == LATIN:
                row = _look_up(space.hashes[t], table.slots)
                if row >= 0 and table.weights[row] == 0:
                    statistics[FOREIGN] += 1
                elif row >= 0:
                    statistics[KNOWN_LATIN] += 1
                    space.word_rows[m] = row
                    space.word_starts[m] = t
                    space.word_ends[m] = t + 1
                    m += 1
            t += 1
            continue
        stop = t + 1
        while stop < n and space.kinds[stop] == CJK and space.breaks[stop] == 0:
            stop += 1
        space.best[t] = np.float32(0)
        for i in range(t + 1, stop + 1):
            space.best[i] = np.float32(-1e30)
        for i in range(t, stop):
            key = np.uint64(0)
            for length in range(1, min(LONGEST_WORD, stop - i) + 1):
                this = space.hashes[i + length - 1]
                key = this if length == 1 else _mix(key, this)
                row = _look_up(key, table.slots)
                if row >= 0:
                    value = space.best[i] + table.log_frequencies[row]
                elif length == 1:
                    value = space.best[i] + np.float32(UNSEEN_LOG_FREQUENCY)
                else:
                    continue
                if value > space.best[i + length]:
                    space.best[i + length] = value
                    space.back[i + length] = length
                    space.found[i + length] = row
        first = m
        at = stop
        while at > t:
            length = space.back[at]
            if space.found[at] >= 0:
                space.word_rows[m] = space.found[at]
                space.word_starts[m] = at - length
                space.word_ends[m] = at
                m += 1
                if length > 1 and space.hashes[at - length] != space.hashes[at - 1]:  # no 哈哈
                    statistics[CJK_IN_WORDS] += length
            at -= length
        last = m - 1
        while first < last:  # the path was walked backwards
            for column in (space.word_rows, space.word_starts, space.word_ends):
                kept = column[first]
                column[first] = column[last]
                column[last] = kept
            first += 1
            last -= 1
        t = stop
    return m


@njit(nogil=True, cache=True)
def score(codes, offsets, fold, gram_table, word_table, gram_scale, word_scale, bias, scores, statistics):
    """Fill `scores` (n_texts, n_columns) and `statistics` (n_texts, N_STATISTICS).

    `bias + gram_scale * sum((1 + ln(count)) * row) / sqrt(n_tokens)
    + word_scale * sum(weight * row) / sum(weight)`, the weights of repeated words damped likewise.
    """
    n_texts = offsets.size - 1
    n_columns = bias.size
    longest = 0
    for i in range(n_texts):
        longest = max(longest, offsets[i + 1] - offsets[i])
    space = _space(longest)
    gram_sum = np.empty(n_columns, np.int32)
    word_sum = np.empty(n_columns, np.int32)
    counts = np.zeros(gram_table.rows.shape[0], np.uint8)
    word_counts = np.zeros(word_table.weights.size, np.uint8)
    for i in range(n_texts):
        n = tokenise(codes, offsets[i], offsets[i + 1], fold, space, statistics[i])
        n = join(n, word_table.slots, space, statistics[i])
        m = grams(n, space)
        gram_sum[:] = 0
        word_sum[:] = 0
        for g in range(m):
            row = _look_up(space.grams[g], gram_table.slots)
            space.gram_starts[g] = row
            if row >= 0:
                part = _part(row, counts)
                for c in range(n_columns):
                    gram_sum[c] += part * np.int32(gram_table.rows[row, c])
        for g in range(m):
            if space.gram_starts[g] >= 0:
                counts[space.gram_starts[g]] = np.uint8(0)
        m = words(n, word_table, space, statistics[i])
        total = np.int64(0)
        for w in range(m):
            row = space.word_rows[w]
            weight = _weight(row, word_table.weights, word_counts)
            total += weight
            for c in range(n_columns):
                word_sum[c] += weight * np.int32(word_table.rows[row, c])
        for w in range(m):
            word_counts[space.word_rows[w]] = np.uint8(0)
        by_length = 1.0 / (ONE_PART * np.sqrt(max(n, 1)))
        by_weight = 1.0 / max(total, 1)
        for c in range(n_columns):
            scores[i, c] = (
                bias[c] + gram_scale[c] * gram_sum[c] * by_length + word_scale[c] * word_sum[c] * by_weight
            )


@njit(nogil=True, cache=True)
def softmax(scores, temperature, probabilities):
    """Fill `probabilities` (n_texts, n_schemes) from the first columns of `scores`."""
    n_texts, n_schemes = probabilities.shape
    for i in range(n_texts):
        highest = scores[i, 0]
        for c in range(1, n_schemes):
            highest = max(highest, scores[i, c])
        total = 0.0
        for c in range(n_schemes):
            total += np.exp((scores[i, c] - highest) / temperature)
        for c in range(n_schemes):
            probabilities[i, c] = np.exp((scores[i, c] - highest) / temperature) / total


@njit(nogil=True, cache=True)
def roll_up(probabilities, category_index, categories):
    """Fill `categories` (n_texts, n_categories): the sums of their schemes' probabilities."""
    n_texts, n_schemes = probabilities.shape
    total = np.empty(categories.shape[1], np.float64)
    for i in range(n_texts):
        total[:] = 0.0
        for c in range(n_schemes):
            total[category_index[c]] += probabilities[i, c]
        for k in range(total.size):
            categories[i, k] = min(total[k], 1.0)


@njit(nogil=True, cache=True)
def emit(codes, offsets, fold, word_table, keys, key_ends, word_rows, word_ends, lengths):
    """Write what the fit sees: n-gram hashes and word rows, text after text.

    `keys` and `word_rows` take all texts; `key_ends` and `word_ends` (n_texts,) say where each
    text's part ends; `lengths` (n_texts,) counts its tokens.
    """
    n_texts = offsets.size - 1
    longest = 0
    for i in range(n_texts):
        longest = max(longest, offsets[i + 1] - offsets[i])
    space = _space(longest)
    statistics = np.empty(N_STATISTICS, np.int32)
    at = 0
    word_at = 0
    for i in range(n_texts):
        n = tokenise(codes, offsets[i], offsets[i + 1], fold, space, statistics)
        n = join(n, word_table.slots, space, statistics)
        m = grams(n, space)
        keys[at : at + m] = space.grams[:m]
        at += m
        key_ends[i] = at
        m = words(n, word_table, space, statistics)
        word_rows[word_at : word_at + m] = space.word_rows[:m]
        word_at += m
        word_ends[i] = word_at
        lengths[i] = n


@njit(nogil=True, cache=True)
def name(codes, offsets, fold, keys):
    """Fill `keys` (n_texts,) with the hash that a word has as a whole, 0 where it is not a word:
    one Latin token, or 1 to 4 Chinese characters."""
    n_texts = offsets.size - 1
    longest = 0
    for i in range(n_texts):
        longest = max(longest, offsets[i + 1] - offsets[i])
    space = _space(longest)
    statistics = np.empty(N_STATISTICS, np.int32)
    for i in range(n_texts):
        n = tokenise(codes, offsets[i], offsets[i + 1], fold, space, statistics)
        keys[i] = np.uint64(0)
        if n == 1 and (space.kinds[0] == LATIN or space.kinds[0] == CJK):
            keys[i] = space.hashes[0]
        elif 1 < n <= LONGEST_WORD and statistics[CJK_TOKENS] == n:
            key = space.hashes[0]
            for t in range(1, n):
                key = _mix(key, space.hashes[t])
            keys[i] = key


@njit(nogil=True, cache=True)
def book(codes, fold, gram_table, word_table, gram_direction, word_direction):
    """Book every addition of one text on its words.

    The directions (n_columns,) turn a row into log-odds, scales included. An n-gram's part is
    split evenly over its tokens. Returns (starts, ends, weights) of the spans, whole words each;
    the weights sum to the margin without its bias.
    """
    space = _space(codes.size)
    statistics = np.empty(N_STATISTICS, np.int32)
    n = tokenise(codes, 0, codes.size, fold, space, statistics)
    n = join(n, word_table.slots, space, statistics)
    by_token = np.zeros(n + 1, np.float64)
    m = grams(n, space)
    counts = np.zeros(gram_table.rows.shape[0], np.uint8)
    by_length = 1.0 / (ONE_PART * np.sqrt(max(n, 1)))
    for g in range(m):
        row = _look_up(space.grams[g], gram_table.slots)
        if row >= 0:
            part = 0.0
            for c in range(gram_direction.size):
                part += gram_direction[c] * gram_table.rows[row, c]
            part *= _part(row, counts)
            first = space.gram_starts[g]
            last = space.gram_ends[g]
            for t in range(first, last):
                by_token[t] += part * by_length / (last - first)
    m = words(n, word_table, space, statistics)
    word_counts = np.zeros(word_table.weights.size, np.uint8)
    word_weights = np.empty(m, np.int32)
    for w in range(m):
        word_weights[w] = _weight(space.word_rows[w], word_table.weights, word_counts)
    total = max(word_weights.sum(), 1)
    starts = np.empty(n, np.int32)
    ends = np.empty(n, np.int32)
    weights = np.zeros(n, np.float64)
    spans = 0
    t = 0
    w = 0
    while t < n:
        stop = t + 1
        if w < m and space.word_starts[w] == t:
            row = space.word_rows[w]
            part = 0.0
            for c in range(word_direction.size):
                part += word_direction[c] * word_table.rows[row, c]
            weights[spans] = part * word_weights[w] / total
            stop = space.word_ends[w]
            w += 1
        starts[spans] = space.starts[t]
        ends[spans] = space.ends[stop - 1]
        for k in range(t, stop):
            weights[spans] += by_token[k]
        spans += 1
        t = stop
    return starts[:spans], ends[:spans], weights[:spans]


@njit(nogil=True, cache=True)
def index(keys):
    """The slots of a table whose row `i` has the hash `keys[i]`; at most half of them are full."""
    size = 2
    while size < 2 * keys.size:
        size *= 2
    slots = np.zeros(size, np.uint64)
    mask = np.uint64(size - 1)
    for i in range(keys.size):
        at = keys[i] & mask
        while slots[at] != np.uint64(0):
            at = (at + _ONE) & mask
        slots[at] = (keys[i] >> _SHIFT) << _SHIFT | np.uint64(i + 1)
    return slots
