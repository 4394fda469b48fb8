"""The compiled code that reads texts: it folds, tokenises, hashes, looks up and adds.

A batch is one array of code points (UTF-32) with offsets; every function below works on one text of
it at a time, so a batch equals its single calls bit for bit: all sums are sums of integers.

    codes -> tokenise, join -> tokens -> grams -> hashes -> find -> n-gram rows -> scores
                                                                \\-> words (the best path) -> scores

A Chinese word of two to four characters has the hash of the same n-gram, so one look-up finds both.
The same functions serve training (`emit`), prediction (`score`) and evidence (`book`), so they
cannot differ. Nothing is compiled at import; numba keeps the machine code in its cache.

Numba widens `uint32 * uint32` and makes `uint64 + 1` signed, so every literal carries its type.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from model import vector

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
_EDGE = np.uint64(0x1FFFF1)
_DIGITS = np.uint64(0x1FFFF2)
_LETTERS = np.uint64(0x1FFFF3)
_ONE = np.uint64(1)
_THREE = np.uint64(3)
_SEVEN = np.uint64(7)
_ROW_BITS = np.uint64(20)
_ROW = np.uint64((1 << 20) - 1)
_BOTH_BITS = np.uint64(40)
_BOTH = np.uint64((1 << 40) - 1)
_SIEVE_SHIFT = np.uint64(18)
_ONE32 = np.uint32(1)
_SPREAD = np.uint32(0x9E3779B1)
_SPREAD_SHIFT = np.uint32(7)
_NO_SIEVE = np.full(1, 255, np.uint8)
MOST_ROWS = (1 << 20) - 1  # that a slot can name


class Fold(NamedTuple):
    """Code point below `len(kinds)` -> the code point it stands for, and its kind."""

    targets: np.ndarray  # uint32 (n_codes,)
    kinds: np.ndarray  # uint8 (n_codes,)


class Index(NamedTuple):
    """Rows by hash: `slots` is open-addressed, 0 empty.

    A slot is, from the top, 24 bits of the hash that keep strangers out, and in 20 bits each the
    word's row + 1 and the n-gram's row + 1, 0 where it has none. Half of all hashes are nobody's; one
    bit of `sieve` says so for nearly all of them, out of a cache that the slots do not fit into.
    """

    slots: np.ndarray  # uint64 (a power of two,)
    sieve: np.ndarray  # uint8 (a power of two,)


class Tables(NamedTuple):
    """The rows of n-grams and of words, and a log-frequency and a weight for each word.

    A word of weight 0 is one of another language: it is counted, and says nothing.
    """

    index: Index
    grams: np.ndarray  # int8 (n_grams, n_columns)
    words: np.ndarray  # int8 (n_words, n_columns)
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
    slots: np.ndarray  # uint64, what the index has of each token
    grams: np.ndarray  # uint64
    gram_starts: np.ndarray  # int32, first token
    gram_ends: np.ndarray  # int32, one past the last token
    word_rows: np.ndarray  # int32
    word_starts: np.ndarray  # int32, first token
    word_ends: np.ndarray
    best: np.ndarray  # float32, the best path's log-frequency
    back: np.ndarray  # int32, length of the best path's last word
    found: np.ndarray  # int32, its row or -1
    rows: np.ndarray  # int32, of the n-grams that have one
    places: np.ndarray  # int32, which those are; -1 - t for token t itself
    words_at: np.ndarray  # int32 (LONGEST_WORD a token): rows of words from here on by length, or -1
    parts: np.ndarray  # int32, what each of those counts
    seen: np.ndarray  # int32 (a power of two,), rows already counted
    times: np.ndarray  # uint8, how often


@njit(nogil=True, cache=True, inline="always")
def _mix(first, second):
    mixed = (first ^ (second * _SEED)) * _MULTIPLIER
    return mixed ^ (mixed >> _SHIFT)


@njit(nogil=True, cache=True)
def counters(most):
    """Room in which `count` counts up to `most` rows."""
    size = 2
    while size < 2 * most:
        size *= 2
    return np.empty(size, np.int32), np.empty(size, np.uint8)


@njit(nogil=True, cache=True)
def _space(longest):
    n = longest + 1
    m = n * (LONGEST_GRAM + 2)
    seen, times = counters(m)
    return _Space(
        np.empty(n, np.uint64), np.empty(n, np.int32), np.empty(n, np.int32),
        np.empty(n, np.uint8), np.empty(n, np.uint8), np.empty(n, np.uint32),
        np.empty(n, np.int32), np.empty(n, np.uint64), np.empty(m, np.uint64),
        np.empty(m, np.int32), np.empty(m, np.int32), np.empty(n, np.int32),
        np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n + 1, np.float32),
        np.empty(n + 1, np.int32), np.empty(n + 1, np.int32), np.empty(m, np.int32),
        np.empty(m, np.int32), np.empty(n * LONGEST_WORD, np.int32),
        np.empty(m, np.int32), seen, times,
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
    n_chinese = 0
    n_words = 0
    n_latin = 0
    n_other = 0
    n_runs = 0
    open_kind = np.uint8(SYMBOL)
    open_hash = _SEED
    broken = np.uint8(1)
    spaced = 1
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
        n_other += kind == OTHER
        n_latin += kind == LATIN
        if kind == CJK or kind != open_kind:
            space.starts[n] = i - begin
            space.firsts[n] = n_letters
            space.kinds[n] = kind
            space.breaks[n] = broken
            broken = np.uint8(0)
            n_runs += spaced
            spaced = 0
            open_kind = kind
            if kind == CJK:
                open_hash = _mix(_SEED, np.uint64(folded))
                n_chinese += 1
                open_kind = np.uint8(SYMBOL)
            elif kind == DIGIT:
                open_hash = _mix(_DIGITS, _ONE)
            else:
                open_hash = _mix(_LETTERS, np.uint64(folded))
                n_words += kind == LATIN
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
            open_hash = _mix(_DIGITS, np.uint64(size))
        else:
            open_hash = _mix(open_hash, np.uint64(folded))
        space.hashes[n - 1] = open_hash
        space.letters[n_letters] = folded
        n_letters += 1
        space.ends[n - 1] = i - begin + 1
    space.firsts[n] = n_letters
    statistics[:] = 0
    statistics[TOKENS] = n
    statistics[CJK_TOKENS] = n_chinese
    statistics[LATIN_WORDS] = n_words
    statistics[OTHER_LETTERS] = n_other
    statistics[LATIN_LETTERS] = n_latin
    statistics[CHARACTERS] = n_letters
    statistics[RUNS] = n_runs
    return n


@njit(nogil=True, cache=True, inline="always")
def _keep(key, first, end, m, sieve, space):
    """Note an n-gram unless the sieve rules it out; return how many there are now."""
    space.grams[m] = key
    space.gram_starts[m] = first
    space.gram_ends[m] = end
    return m + _passes(key, sieve)


@njit(nogil=True, cache=True)
def grams(n, sieve, space):
    """Hash the n-grams of `n` tokens, 2 to 4 long, then the letter 4-grams of Latin words.

    Notes those that the sieve lets through; returns how many n-grams, and how many in all.
    """
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
        if t >= 1:
            m = _keep(two, t - 1, t + 1, m, sieve, space)
        if t >= 2:
            m = _keep(three, t - 2, t + 1, m, sieve, space)
        if t >= 3:
            m = _keep(four, t - 3, t + 1, m, sieve, space)
    of_tokens = m
    for t in range(n):
        if space.kinds[t] == LATIN:
            begin = space.firsts[t]
            end = space.firsts[t + 1]
            if end - begin >= LETTER_GRAM:
                a = _EDGE
                b = np.uint64(space.letters[begin])
                c = np.uint64(space.letters[begin + 1])
                for k in range(begin + 2, end + 1):
                    d = np.uint64(space.letters[k]) if k < end else _EDGE
                    key = _mix(_mix(_mix(_mix(_EDGE, a), b), c), d)
                    m = _keep(key, t, t + 1, m, sieve, space)
                    a = b
                    b = c
                    c = d
    return of_tokens, m


@njit(nogil=True, cache=True, inline="always")
def _passes(key, sieve):
    """1 where the sieve cannot rule a hash out, else 0."""
    at = (key >> _SIEVE_SHIFT) & np.uint64(8 * sieve.size - 1)
    return np.int64((sieve[at >> _THREE] >> (at & _SEVEN)) & _ONE)


@njit(nogil=True, cache=True, inline="always")
def _look_up(key, index):
    """The rows of a hash as a slot has them, 0 where nobody has it."""
    mask = np.uint64(index.slots.size - 1)
    at = key & mask
    own = key >> _BOTH_BITS
    while True:
        slot = index.slots[at]
        if slot == np.uint64(0):
            return slot
        if slot >> _BOTH_BITS == own:
            return slot & _BOTH
        at = (at + _ONE) & mask


@njit(nogil=True, cache=True, inline="always")
def _gram(slot):
    return np.int64(slot & _ROW) - 1


@njit(nogil=True, cache=True, inline="always")
def _word(slot):
    return np.int64(slot >> _ROW_BITS) - 1


@njit(nogil=True, cache=True)
def gram_row(key, index):
    """The row of an n-gram's hash, or -1 where it has none."""
    return _gram(_look_up(key, index))


@njit(nogil=True, cache=True)
def count(rows, n, seen, times, parts):
    """Fill `parts` (n,): what each of the first `n` rows counts, in sixteenths, by its occurrence.

    `seen` and `times` are the room that `counters` makes.
    """
    size = 2
    while size < 2 * n:
        size *= 2
    mask = np.uint32(size - 1)
    seen[:size] = -1
    last = np.uint8(PARTS.size - 1)
    for k in range(n):
        row = rows[k]
        at = ((np.uint32(row) * _SPREAD) >> _SPREAD_SHIFT) & mask
        while seen[at] != row and seen[at] != -1:
            at = (at + _ONE32) & mask
        if seen[at] == -1:
            seen[at] = row
            times[at] = np.uint8(0)
        so_far = times[at]
        parts[k] = PARTS[so_far]
        if so_far < last:
            times[at] = so_far + np.uint8(1)


@njit(nogil=True, cache=True, inline="always")
def _weight(weight, part):
    """What an occurrence of a word weighs: its part of the word's weight, a whole number."""
    return (np.int32(weight) * part + np.int32(ONE_PART // 2)) // np.int32(ONE_PART)


@njit(nogil=True, cache=True)
def join(n, index, space, statistics):
    """Join neighbours that are one word when no mark stands between them: `acc ount`, `sca-m`.

    Only where one of them is no known word. Looks every token up and returns how many are left.
    """
    for t in range(n):
        space.slots[t] = _look_up(space.hashes[t], index)
    kept = 0
    t = 0
    while t < n:
        merged = False
        if (
            space.kinds[t] == LATIN
            and t + 1 < n
            and space.kinds[t + 1] == LATIN
            and (_word(space.slots[t]) < 0 or _word(space.slots[t + 1]) < 0)
            and space.breaks[t + 1] == 0
            and space.starts[t + 1] - space.ends[t] == 1
        ):
            first = space.firsts[t]
            middle = space.firsts[t + 1]
            last = space.firsts[t + 2]
            single = middle - first == 1 or last - middle == 1
            if last - first >= (LEAST_JOINED if single else LEAST_JOINED - 2):
                joined = space.hashes[t]
                for k in range(middle, last):
                    joined = _mix(joined, np.uint64(space.letters[k]))
                slot = _look_up(joined, index)
                if _word(slot) >= 0:
                    space.hashes[kept] = joined
                    space.ends[kept] = space.ends[t + 1]
                    space.slots[kept] = slot
                    merged = True
        if kept < t or merged:
            if not merged:
                space.hashes[kept] = space.hashes[t]
                space.ends[kept] = space.ends[t]
                space.slots[kept] = space.slots[t]
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
def find(n, of_tokens, m, index, space):
    """Note the rows of `n` tokens and of the `m` n-grams that `grams` noted.

    Returns how many tokens and n-grams have a row in the table of n-grams.

    Nothing here branches on whether a hash was found, for that nobody can predict.
    """
    found = 0
    for t in range(n):
        slot = space.slots[t]
        space.rows[found] = _gram(slot)
        space.places[found] = -1 - t
        found += np.int64(_gram(slot) >= 0)
        space.words_at[LONGEST_WORD * t] = _word(slot)
        for k in range(1, LONGEST_WORD):
            space.words_at[LONGEST_WORD * t + k] = -1
    for g in range(of_tokens):
        slot = _look_up(space.grams[g], index)
        space.rows[found] = _gram(slot)
        space.places[found] = g
        found += np.int64(_gram(slot) >= 0)
        start = space.gram_starts[g]
        space.words_at[LONGEST_WORD * start + space.gram_ends[g] - start - 1] = _word(slot)
    for g in range(of_tokens, m):
        row = _gram(_look_up(space.grams[g], index))
        space.rows[found] = row
        space.places[found] = g
        found += np.int64(row >= 0)
    return found


@njit(nogil=True, cache=True)
def words(n, tables, space, statistics):
    """Choose the words of `n` tokens: Latin ones as they stand, Chinese by the best path.

    The best path over log-frequencies is jieba's method without its hidden Markov model.
    Returns the number of words, unknown Chinese characters left out.
    """
    m = 0
    t = 0
    n_foreign = 0
    n_known = 0
    n_inside = 0
    while t < n:
        if space.kinds[t] != CJK:
            if space.kinds[t] == LATIN:
                row = space.words_at[LONGEST_WORD * t]
                if row >= 0 and tables.weights[row] == 0:
                    n_foreign += 1
                elif row >= 0:
                    n_known += 1
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
            row = space.words_at[LONGEST_WORD * i]
            value = space.best[i] + (
                tables.log_frequencies[row] if row >= 0 else np.float32(UNSEEN_LOG_FREQUENCY)
            )
            if value > space.best[i + 1]:
                space.best[i + 1] = value
                space.back[i + 1] = 1
                space.found[i + 1] = row
            for length in range(2, min(LONGEST_WORD, stop - i) + 1):
                row = space.words_at[LONGEST_WORD * i + length - 1]
                if row >= 0:
                    value = space.best[i] + tables.log_frequencies[row]
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
                    n_inside += length
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
    statistics[FOREIGN] = n_foreign
    statistics[KNOWN_LATIN] = n_known
    statistics[CJK_IN_WORDS] = n_inside
    return m


@njit(nogil=True, cache=True)
def add(rows, parts, n, table, total):
    """Fill `total` (n_columns,) with the sum of `part * row`, exactly: |part| is at most 255."""
    for begin in range(0, total.size, vector.WIDTH):
        vector.add(rows, parts, n, table, begin, total)


@njit(nogil=True, cache=True)
def score(codes, offsets, fold, tables, gram_scale, word_scale, bias, scores, statistics):
    """Fill `scores` (n_texts, n_columns) and `statistics` (n_texts, N_STATISTICS).

    The rows of the tables are padded to a multiple of `vector.WIDTH` columns.

    `bias + gram_scale * sum((1 + ln(count)) * row) / sqrt(n_tokens)
    + word_scale * sum(weight * row) / sum(weight)`, the weights of repeated words damped likewise.
    """
    n_texts = offsets.size - 1
    n_columns = bias.size
    longest = 0
    for i in range(n_texts):
        longest = max(longest, offsets[i + 1] - offsets[i])
    space = _space(longest)
    gram_sum = np.empty(tables.grams.shape[1], np.int32)
    word_sum = np.empty(tables.words.shape[1], np.int32)
    for i in range(n_texts):
        n = tokenise(codes, offsets[i], offsets[i + 1], fold, space, statistics[i])
        n = join(n, tables.index, space, statistics[i])
        of_tokens, m = grams(n, tables.index.sieve, space)
        m = find(n, of_tokens, m, tables.index, space)
        count(space.rows, m, space.seen, space.times, space.parts)
        add(space.rows, space.parts, m, tables.grams, gram_sum)
        m = words(n, tables, space, statistics[i])
        count(space.word_rows, m, space.seen, space.times, space.parts)
        total = np.int64(0)
        for w in range(m):
            space.parts[w] = _weight(tables.weights[space.word_rows[w]], space.parts[w])
            total += space.parts[w]
        add(space.word_rows, space.parts, m, tables.words, word_sum)
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
    powers = np.empty(n_schemes, np.float64)
    for i in range(n_texts):
        highest = scores[i, 0]
        for c in range(1, n_schemes):
            highest = max(highest, scores[i, c])
        total = 0.0
        for c in range(n_schemes):
            powers[c] = np.exp((scores[i, c] - highest) / temperature)
            total += powers[c]
        for c in range(n_schemes):
            probabilities[i, c] = powers[c] / total


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
def emit(codes, offsets, fold, tables, keys, key_ends, word_rows, word_ends, lengths):
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
        n = join(n, tables.index, space, statistics)
        of_tokens, m = grams(n, _NO_SIEVE, space)
        find(n, of_tokens, m, tables.index, space)
        keys[at : at + n] = space.hashes[:n]
        at += n
        keys[at : at + m] = space.grams[:m]
        at += m
        key_ends[i] = at
        m = words(n, tables, space, statistics)
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
def book(codes, fold, tables, gram_direction, word_direction):
    """Book every addition of one text on its words.

    The directions (n_columns,) turn a row into log-odds, scales included. An n-gram's part is
    split evenly over its tokens. Returns (starts, ends, weights) of the spans, whole words each;
    the weights sum to the margin without its bias.
    """
    space = _space(codes.size)
    statistics = np.empty(N_STATISTICS, np.int32)
    n = tokenise(codes, 0, codes.size, fold, space, statistics)
    n = join(n, tables.index, space, statistics)
    by_token = np.zeros(n + 1, np.float64)
    by_length = 1.0 / (ONE_PART * np.sqrt(max(n, 1)))
    of_tokens, m = grams(n, tables.index.sieve, space)
    found = find(n, of_tokens, m, tables.index, space)
    count(space.rows, found, space.seen, space.times, space.parts)
    for g in range(found):
        part = 0.0
        for c in range(gram_direction.size):
            part += gram_direction[c] * tables.grams[space.rows[g], c]
        part *= space.parts[g]
        place = space.places[g]
        first = space.gram_starts[place] if place >= 0 else -1 - place
        last = space.gram_ends[place] if place >= 0 else -place
        for t in range(first, last):
            by_token[t] += part * by_length / (last - first)
    m = words(n, tables, space, statistics)
    count(space.word_rows, m, space.seen, space.times, space.parts)
    word_weights = np.empty(m, np.int32)
    for w in range(m):
        word_weights[w] = _weight(tables.weights[space.word_rows[w]], space.parts[w])
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
                part += word_direction[c] * tables.words[row, c]
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
def index(gram_keys, word_keys):
    """The Index of n-grams and words whose rows `i` have the hashes `keys[i]`; it is at most half full.

    There may be MOST_ROWS of either. Of equal hashes the first row counts.
    """
    size = 2
    while size < 2 * (gram_keys.size + word_keys.size):
        size *= 2
    slots = np.zeros(size, np.uint64)
    sieve = np.zeros(max(size // 2, 1), np.uint8)
    mask = np.uint64(size - 1)
    sieve_mask = np.uint64(8 * sieve.size - 1)
    for keys, shift in ((gram_keys, np.uint64(0)), (word_keys, _ROW_BITS)):
        for i in range(keys.size):
            key = keys[i]
            at = key & mask
            while slots[at] != np.uint64(0) and slots[at] >> _BOTH_BITS != key >> _BOTH_BITS:
                at = (at + _ONE) & mask
            if (slots[at] >> shift) & _ROW == np.uint64(0):  # of two that look the same the first one has it
                slots[at] |= (key >> _BOTH_BITS) << _BOTH_BITS | np.uint64(i + 1) << shift
            bit = (key >> _SIEVE_SHIFT) & sieve_mask
            sieve[bit >> _THREE] |= np.uint8(_ONE << (bit & _SEVEN))
    return Index(slots, sieve)
