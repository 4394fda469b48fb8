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
# Two neighbours are one word when it is so much more frequent than the two by chance: `e` to this.
JOINED_GAIN = 5.0
LEAST_JOINED = 4  # letters of it
RARE = -11.0  # the log-frequency that one of the two has at most: most parts of words are no words
LEAST_SPELT = 3  # letters of a word known in spite of digits in it
WEIGHT_ONE = 255  # a word's weight of 1.0
# What the first, second, ... occurrence of an n-gram in a text counts, in sixteenths: together they
# are 1 + ln(count), scikit-learn's sublinear tf, in whole numbers.
PARTS = np.array([16, 11, 7, 4, 4, 3, 2, 2, 2, 2, 1], np.int32)
ONE_PART = 16
# Scores are as they are at so many tokens; in a longer text they are worth more, see `sharper`.
USUAL_TOKENS = 85.0
UNSEEN_LOG_FREQUENCY = -20.0  # of a Chinese character or a Latin token that is no word of the vocabulary

# Columns of the statistics of a text.
TOKENS, CJK_TOKENS, LATIN_WORDS, OTHER_LETTERS, KNOWN_LATIN, LATIN_LETTERS, CHARACTERS, FOREIGN = range(8)
RUNS, CJK_IN_WORDS = 8, 9  # runs of tokens between spaces; Chinese characters in longer words
N_STATISTICS = 10

_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
_EDGE = np.uint64(1)  # before and after the letters of a word
_DIGITS = np.uint64(0x1FFFF2)
_LETTERS = np.uint64(0x1FFFF3)
_LETTER_GRAM = np.uint64(0x1FFFF4)
_BREAKS = np.uint64(32)
_TURN, _TURN_BACK = np.uint64(11), np.uint64(53)
_SIXTY_THREE, _SIXTY_FOUR = np.uint64(63), np.uint64(64)
_ZERO, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)
_THREE, _FOUR, _SIX, _SEVEN, _NINE = (np.uint64(n) for n in (3, 4, 6, 7, 9))
_SIXTEEN = np.uint64(16)
_AHEAD = np.uint64(LONGEST_WORD * LONGEST_WORD)
_ROW_BITS = np.uint64(20)
_ROW = np.uint64((1 << 20) - 1)
_BOTH_BITS = np.uint64(vector.ROW_BITS)
_SIEVE_SHIFT = np.uint64(18)
_ONE32 = np.uint32(1)
_SPREAD = np.uint32(0x9E3779B1)
_SPREAD_SHIFT = np.uint32(7)
_COUNT_BITS, _COUNT = np.uint32(4), np.uint32(15)
LEAST_POWER = -80.0  # what is less probable by e to this is as improbable
_NEVER, _UNSEEN = np.float32(-1e30), np.float32(UNSEEN_LOG_FREQUENCY)
# 1, 2, 3, 4, 5-6, 7-10, 11 and more digits: sums and telephone numbers, not values.
_SIZES = np.array([0, 1, 2, 3, 4, 5, 5, 6, 6, 6, 6, 7], np.uint64)
# In the fold's entries white space has kinds of its own: as a SYMBOL, and as a BREAK.
SPACE, LINE = np.uint32(7), np.uint32(8)
KIND_SHIFT, _KIND = np.uint32(24), np.uint32(15)
_TARGET = np.uint32(0x1FFFFF)


def _turns():
    """What happens between characters of two kinds (16 * first + second): 1 if a token begins with the
    second, 2 if one ends with the first, 4 if a letter and a digit meet; above, what is added to `gaps`."""
    turns = np.zeros(256, np.uint64)
    inside = (CJK, LATIN, OTHER, DIGIT)
    for first in range(LINE + 1):
        for second in range(LINE + 1):
            parted = first != second or first == CJK
            turns[16 * first + second] = (
                (second in inside and parted)
                + 2 * (first in inside and parted)
                + 4 * ({first, second} == {LATIN, DIGIT})
                + 8 * (second in (SPACE, LINE))
                + (8 << 32) * (second in (BREAK, LINE))
            )
    return turns


_TURNS = _turns()
_NO_SIEVE = np.full(1, 255, np.uint8)
MOST_ROWS = (1 << 20) - 1  # that a slot can name


class Fold(NamedTuple):
    """Code point below `len(kinds)` -> the code point it stands for, and its kind."""

    targets: np.ndarray  # uint32 (n_codes,)
    kinds: np.ndarray  # uint8 (n_codes,)
    entries: np.ndarray  # uint32 (n_codes,): the target, from bit 24 on the kind, white space apart


class Index(NamedTuple):
    """Rows by hash: `slots` are buckets of `vector.SLOTS`, each filled from its first on, 0 empty; what does
    not fit into a full one is in the next.

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


class Characters(NamedTuple):
    """The characters of a text but for marks of NOTHING, folded, and a white space after them."""

    letters: np.ndarray  # uint32, the fold's entries
    places: np.ndarray  # int32, in the text
    sums: np.ndarray  # uint64, the hash of all characters before this one


class Tokens(NamedTuple):
    """The tokens of a text."""

    hashes: np.ndarray  # uint64
    firsts: np.ndarray  # uint32, first character
    lasts: np.ndarray  # uint32, one past the last character
    gaps: np.ndarray  # uint64, how many BREAKs (from bit 32 on) and how many white spaces stand before
    slots: np.ndarray  # uint64, what the index has of each


class Grams(NamedTuple):
    """The n-grams of a text that the sieve lets through."""

    keys: np.ndarray  # uint64
    at: np.ndarray  # uint32, LONGEST_GRAM * first token + tokens - 1


class Hits(NamedTuple):
    """Rows of a table that a text has, and what each counts."""

    rows: np.ndarray  # int32
    at: np.ndarray  # uint32, LONGEST_GRAM * first token + tokens - 1
    parts: np.ndarray  # int32, in sixteenths; of words, in sixteenths of their weights
    counts: np.ndarray  # uint32 (a power of two,), rows already counted and how often


class Path(NamedTuple):
    """The best path over the words of a Chinese text. There is room for LONGEST_WORD tokens before it."""

    words: np.ndarray  # int32 (LONGEST_WORD a token): rows of words from here on by length, or -1
    gains: np.ndarray  # float32, their log-frequencies
    lengths: np.ndarray  # int32 (one a token), of the last word of the best path that ends here


class _Space(NamedTuple):
    """Room for one text.

    Each function below is given only what it needs of it: to pass on two dozen arrays takes as long as
    to tokenise a sentence.
    """

    characters: Characters
    tokens: Tokens
    by_kind: np.ndarray  # int64 (2, 16): how many tokens, and characters of tokens, of each kind
    grams: Grams
    hits: Hits
    path: Path
    words: Hits


@njit(nogil=True, cache=True, inline="always")
def _mix(first, second):
    mixed = (first ^ (second * _SEED)) * _MULTIPLIER
    return mixed ^ (mixed >> _SHIFT)


@njit(nogil=True, cache=True)
def counters(most):
    """Room in which `count` counts up to `most` rows."""
    size = 4
    while size < 4 * most:
        size *= 2
    return np.empty(size, np.uint32)


@njit(nogil=True, cache=True)
def longest(offsets):
    """How many code points the longest text has."""
    most = 0
    for i in range(offsets.size - 1):
        most = max(most, offsets[i + 1] - offsets[i])
    return most


@njit(nogil=True, cache=True)
def _space(most):
    n = most + 2
    m = n * (LONGEST_GRAM + 2)
    room = LONGEST_WORD * (n + LONGEST_WORD)
    return _Space(
        Characters(np.empty(n, np.uint32), np.empty(n, np.int32), np.empty(n, np.uint64)),
        Tokens(
            np.empty(n, np.uint64), np.empty(n, np.uint32), np.empty(n, np.uint32),
            np.empty(n, np.uint64), np.empty(n, np.uint64),
        ),
        np.empty((2, 16), np.int64),
        Grams(np.empty(m, np.uint64), np.empty(m, np.uint32)),
        Hits(np.empty(m, np.int32), np.empty(m, np.uint32), np.empty(m, np.int32), counters(m)),
        Path(np.empty(room, np.int32), np.empty(room, np.float32), np.empty(n, np.int32)),
        Hits(np.empty(n, np.int32), np.empty(n, np.uint32), np.empty(n, np.int32), counters(n)),
    )  # fmt: skip


@njit(nogil=True, cache=True, inline="always")
def _entry(code, fold):
    if code < np.uint32(fold.entries.size):
        return fold.entries[code]
    if np.uint32(0x20000) <= code < np.uint32(0x32000):
        return code | np.uint32(CJK) << KIND_SHIFT
    if code >= np.uint32(0xE0000):  # tags and variation marks
        return code | np.uint32(NOTHING) << KIND_SHIFT
    return code | np.uint32(SYMBOL) << KIND_SHIFT


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


@njit(nogil=True, cache=True, inline="always")
def _turned(sum_, letters):
    """The hash of characters, turned as so many letters after them turn it."""
    by = _TURN * np.uint64(letters)
    return sum_ << (by & _SIXTY_THREE) | sum_ >> ((_SIXTY_FOUR - by) & _SIXTY_THREE)


@njit(nogil=True, cache=True, inline="always")
def _further(sum_, letter):
    """The hash of characters with one more: a cyclic polynomial (Cohen 1997, Recursive hashing functions
    for n-grams), so that the hash of a few follows from the hashes of all before and with them."""
    return (sum_ << _TURN | sum_ >> _TURN_BACK) ^ (np.uint64(letter) * _MULTIPLIER)


@njit(nogil=True, cache=True)
def decode(encoded, starts, codes, offsets):
    """Fill `codes` with the code points of texts in UTF-8, `offsets` (n_texts + 1,) with where each begins.

    Text i is the bytes `starts[i]` to `starts[i + 1]`; `codes` has room for as many as there are bytes.
    Returns -1, or the number of the first text that is not UTF-8 (RFC 3629).
    """
    m = _ZERO
    offsets[0] = 0
    for i in range(starts.size - 1):
        at = np.uint64(starts[i])
        stop = np.uint64(starts[i + 1])
        while at < stop:
            first = np.uint32(encoded[at])
            code = first
            more = _ZERO
            if first >= 0x80:
                least = np.uint32(0x80)
                if 0xE0 <= first < 0xF0:
                    more, code, least = _TWO, first & np.uint32(0x0F), np.uint32(0x800)
                elif 0xC2 <= first < 0xE0:
                    more, code = _ONE, first & np.uint32(0x1F)
                elif 0xF0 <= first < 0xF5:
                    more, code, least = _THREE, first & np.uint32(0x07), np.uint32(0x10000)
                else:
                    return i
                if stop - at <= more:
                    return i
                for k in range(at + _ONE, at + more + _ONE):
                    byte = encoded[k]
                    if byte & np.uint8(0xC0) != 0x80:
                        return i
                    code = code << np.uint32(6) | np.uint32(byte & np.uint8(0x3F))
                if code < least or code > 0x10FFFF or 0xD800 <= code < 0xE000:
                    return i
            codes[m] = code
            m += _ONE
            at += more + _ONE
        offsets[i + 1] = m
    return -1


@njit(nogil=True, cache=True, inline="always")
def _kind(letter):
    return letter >> KIND_SHIFT & _KIND


@njit(nogil=True, cache=True)
def _read(codes, begin, end, fold, characters):
    """Note the characters of `codes[begin:end]`; return how many."""
    letters, places, sums = characters
    m = _ZERO  # numba looks after negative indices, unless they have no sign
    sum_ = _SEED
    for i in range(np.uint64(begin), np.uint64(end)):
        letter = _entry(codes[i], fold)
        if letter <= _TARGET:  # NOTHING
            continue
        letters[m] = letter
        places[m] = i - np.uint64(begin)
        sums[m] = sum_
        sum_ = _further(sum_, letter)
        m += _ONE
    sums[m] = sum_
    letters[m] = SPACE << KIND_SHIFT
    return m


@njit(nogil=True, cache=True)
def _spell(n, m, index, weights, characters, firsts, lasts):
    """Turn digits into the letters they stand for, where a digit is between letters, and where letters and
    digits together are a word that way; return whether there were any.
    """
    letters, _, sums = characters
    spelt = False
    t = _ZERO
    while t + _ONE < n:
        first, stop = np.uint64(firsts[t]), np.uint64(lasts[t])
        either = _kind(letters[first])
        t += _ONE
        if either != LATIN and either != DIGIT:
            continue
        begun = stop
        while t < n and firsts[t] == stop and _kind(letters[stop]) in (LATIN, DIGIT):
            stop = np.uint64(lasts[t])
            t += _ONE
        if stop == begun:
            continue
        whole = stop - first >= np.uint64(LEAST_SPELT)
        sum_ = _ZERO
        for k in range(first, stop):
            letter = _spelling(letters[k])
            whole &= letter != 0
            sum_ = _further(sum_, letter)
        if whole:
            row = _word(_look_up(_mix(_LETTERS, sum_), index))
            whole = row >= 0 and weights[row] > 0
        for k in range(first, stop):
            letter = _spelling(letters[k])
            between = (
                first < k < stop - _ONE
                and _kind(letters[k - _ONE]) == LATIN
                and _kind(letters[k + _ONE]) == LATIN
            )
            if letter != letters[k] and letter != 0 and (whole or between):
                letters[k] = letter
                spelt = True
    if spelt:
        for k in range(_ZERO, m):
            sums[k + _ONE] = _further(sums[k], letters[k])
    return spelt


@njit(nogil=True, cache=True, inline="always")
def _spelling(letter):
    """A Latin letter itself; that which a digit stands for, 0 if none."""
    if _kind(letter) == LATIN:
        return letter
    stands_for = _leet(letter & _TARGET)
    return stands_for | np.uint32(LATIN) << KIND_SHIFT if stands_for != 0 else stands_for


@njit(nogil=True, cache=True)
def _part(m, letters, firsts, lasts, gaps):
    """Part characters into tokens; return how many, and whether there are digits beside letters.

    Whether a token begins or ends at a character is read from a table, for nobody can predict it.
    """
    n = _ZERO
    ended = _ZERO
    gap = _ZERO
    either = _ZERO
    before = np.uint32(SYMBOL)
    for k in range(_ZERO, m + _ONE):
        kind = _kind(letters[k])
        turn = _TURNS[before << np.uint32(4) | kind]
        before = kind
        lasts[ended] = k
        ended += turn >> _ONE & _ONE
        firsts[n] = k
        gaps[n] = gap
        n += turn & _ONE
        either |= turn
        gap += turn >> _THREE
    return n, either & _FOUR != _ZERO


@njit(nogil=True, cache=True)
def _hash(n, letters, sums, firsts, lasts, gaps, hashes, by_kind):
    """Hash the tokens and count them by kind; return how many runs of them stand between spaces."""
    n_runs = 0
    spaces = np.uint32(0xFFFFFFFF)
    by_kind[:] = 0
    for t in range(_ZERO, n):
        first = firsts[t]
        last = lasts[t]
        kind = _kind(letters[first])
        length = np.uint64(last) - np.uint64(first)
        key = _mix(_LETTERS, sums[last] ^ _turned(sums[first], length))
        if kind == DIGIT:
            key = _mix(_DIGITS, _SIZES[min(length, np.uint64(_SIZES.size - 1))])
        hashes[t] = key
        by_kind[0, kind] += 1
        by_kind[1, kind] += np.int64(length)
        n_runs += spaces != np.uint32(gaps[t])
        spaces = np.uint32(gaps[t])
    return n_runs


@njit(nogil=True, cache=True, inline="always")
def tokenise(codes, begin, end, fold, tables, space, statistics):
    """Fill the space with the tokens of `codes[begin:end]`; return how many there are.

    A CJK character is a token, a run of letters is a token, a run of digits is a token that knows
    only its length.
    """
    letters, tokens = space.characters.letters, space.tokens
    m = _read(codes, begin, end, fold, space.characters)
    n, mixed = _part(m, letters, tokens.firsts, tokens.lasts, tokens.gaps)
    if mixed and _spell(n, m, tables.index, tables.weights, space.characters, tokens.firsts, tokens.lasts):
        n, _ = _part(m, letters, tokens.firsts, tokens.lasts, tokens.gaps)
    statistics[:] = 0
    sums, by_kind = space.characters.sums, space.by_kind
    statistics[RUNS] = _hash(
        n, letters, sums, tokens.firsts, tokens.lasts, tokens.gaps, tokens.hashes, by_kind
    )
    statistics[TOKENS] = n
    statistics[CJK_TOKENS] = by_kind[0, CJK]
    statistics[LATIN_WORDS] = by_kind[0, LATIN]
    statistics[OTHER_LETTERS] = by_kind[1, OTHER]
    statistics[LATIN_LETTERS] = by_kind[1, LATIN]
    statistics[CHARACTERS] = by_kind[1].sum()
    return np.int64(n)


@njit(nogil=True, cache=True, inline="always")
def _keep(key, at, m, sieve, grams):
    """Note an n-gram unless the sieve rules it out; return how many there are now."""
    grams.keys[m] = key
    grams.at[m] = at
    return m + _passes(key, sieve)


@njit(nogil=True, cache=True)
def _grams_of_tokens(n, hashes, sieve, grams):
    """Hash the n-grams of `n` tokens, 2 to 4 long; return how many the sieve lets through."""
    m = _ZERO
    one = two = three = _ZERO
    for t in range(_ZERO, min(np.uint64(n), _THREE)):
        this = hashes[t]
        three = _mix(two, this)
        two = _mix(one, this)
        one = this
        at = _FOUR * t
        if t >= _ONE:
            m = _keep(two, at - _THREE, m, sieve, grams)
        if t >= _TWO:
            m = _keep(three, at - _SIX, m, sieve, grams)
    for t in range(_THREE, np.uint64(n)):
        this = hashes[t]
        four = _mix(three, this)
        three = _mix(two, this)
        two = _mix(one, this)
        one = this
        at = _FOUR * t
        m = _keep(two, at - _THREE, m, sieve, grams)
        m = _keep(three, at - _SIX, m, sieve, grams)
        m = _keep(four, at - _NINE, m, sieve, grams)
    return m


@njit(nogil=True, cache=True)
def _grams_of_letters(n, m, letters, firsts, lasts, sieve, grams):
    """Hash the letter 4-grams of Latin words after `m` other n-grams; return how many there are now."""
    for t in range(_ZERO, np.uint64(n)):
        first = np.uint64(firsts[t])
        last = np.uint64(lasts[t])
        if last - first >= _FOUR and _kind(letters[first]) == LATIN:
            four = _EDGE
            for k in range(first, first + _TWO):
                four = four << _SIXTEEN ^ np.uint64(letters[k])
            for k in range(first + _TWO, last):
                four = four << _SIXTEEN ^ np.uint64(letters[k])
                m = _keep(_mix(_LETTER_GRAM, four), _FOUR * t, m, sieve, grams)
            m = _keep(_mix(_LETTER_GRAM, four << _SIXTEEN ^ _EDGE), _FOUR * t, m, sieve, grams)
    return m


@njit(nogil=True, cache=True, inline="always")
def grams(n, sieve, space):
    """Hash the n-grams of `n` tokens, 2 to 4 long, then the letter 4-grams of Latin words.

    Notes those that the sieve lets through; returns how many n-grams, and how many in all.
    """
    tokens = space.tokens
    of_tokens = _grams_of_tokens(n, tokens.hashes, sieve, space.grams)
    m = _grams_of_letters(
        n, of_tokens, space.characters.letters, tokens.firsts, tokens.lasts, sieve, space.grams
    )
    return np.int64(of_tokens), np.int64(m)


@njit(nogil=True, cache=True, inline="always")
def _passes(key, sieve):
    """1 where the sieve cannot rule a hash out, else 0."""
    at = (key >> _SIEVE_SHIFT) & np.uint64(8 * sieve.size - 1)
    return np.uint64(sieve[at >> _THREE] >> (at & _SEVEN)) & _ONE


@njit(nogil=True, cache=True, inline="always")
def _bucket(key, index):
    return key & np.uint64(index.slots.size // vector.SLOTS - 1)


@njit(nogil=True, cache=True, inline="always")
def _look_up(key, index):
    """The rows of a hash as a slot has them, 0 where nobody has it."""
    bucket = _bucket(key, index)
    while True:
        slot, full = vector.match(index.slots, bucket, key >> _BOTH_BITS)
        if not full or slot != np.uint64(0):  # in this order: few buckets are full, and that can be predicted
            return slot
        bucket = _bucket(bucket + _ONE, index)


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
def count(rows, n, counts, parts):
    """Fill `parts` (n,): what each of the first `n` rows counts, in sixteenths, by its occurrence.

    `counts` is the room that `counters` makes.
    """
    size = 4
    while size < 4 * n:
        size *= 2
    mask = np.uint32(size - 1)
    counts[:size] = np.uint32(0)
    last = np.uint32(PARTS.size - 1)
    for k in range(n):
        own = (np.uint32(rows[k]) + _ONE32) << _COUNT_BITS
        at = ((np.uint32(rows[k]) * _SPREAD) >> _SPREAD_SHIFT) & mask
        cell = counts[at]
        while (cell != np.uint32(0)) & ((cell ^ own) > _COUNT):  # one branch, of which few are wrong
            at = (at + _ONE32) & mask
            cell = counts[at]
        so_far = cell & _COUNT
        parts[k] = PARTS[so_far]
        counts[at] = own | min(so_far + _ONE32, last)


@njit(nogil=True, cache=True, inline="always")
def _weight(weight, part):
    """What an occurrence of a word weighs: its part of the word's weight, a whole number."""
    return (np.int32(weight) * part + np.int32(ONE_PART // 2)) // np.int32(ONE_PART)


@njit(nogil=True, cache=True)
def _look_all_up(n, index, log_frequencies, letters, tokens, doubtful):
    """Look `n` tokens up; return how many are doubtful and note them.

    Such is a Latin token with another after it, one of which is rare.
    """
    hashes, firsts, _, _, slots = tokens
    k = _ZERO
    before = False
    rare_before = False
    for t in range(_ZERO, np.uint64(n)):
        slot = _look_up(hashes[t], index)
        slots[t] = slot
        latin = _kind(letters[firsts[t]]) == LATIN
        rare = _frequency(slot, log_frequencies) < np.float32(RARE)
        doubtful[k] = t - _ONE
        k += np.uint64(before & latin & (rare | rare_before))
        before = latin
        rare_before = rare
    return k


@njit(nogil=True, cache=True, inline="always")
def _frequency(slot, log_frequencies):
    """The log-frequency of a word, by what the index has of it."""
    row = slot >> _ROW_BITS
    return log_frequencies[row - _ONE] if row > _ZERO else _UNSEEN


@njit(nogil=True, cache=True)
def _join(n, n_doubtful, doubtful, index, log_frequencies, characters, tokens):
    """Join the doubtful tokens to the next where they are one word; return how many tokens are left."""
    letters, places, sums = characters
    hashes, firsts, lasts, gaps, slots = tokens
    kept = np.uint64(n)
    done = _ZERO
    for k in range(n_doubtful):
        t = np.uint64(doubtful[k])
        first = firsts[t]
        stop = lasts[t]
        middle = firsts[t + _ONE]
        last = lasts[t + _ONE]
        if (
            t < done
            or gaps[t] >> _BREAKS != gaps[t + _ONE] >> _BREAKS
            or places[middle] - places[stop - _ONE32] != 2
            or last - first <= np.uint32(LEAST_JOINED)
        ):
            continue
        front = sums[stop] ^ _turned(sums[first], stop - first)
        back = sums[last] ^ _turned(sums[middle], last - middle)
        joined = _mix(_LETTERS, _turned(front, last - middle) ^ back)
        if _passes(joined, index.sieve) == _ZERO:
            continue
        slot = _look_up(joined, index)
        apart = _frequency(slots[t], log_frequencies) + _frequency(slots[t + _ONE], log_frequencies)
        if slot >> _ROW_BITS == _ZERO or _frequency(slot, log_frequencies) < apart + np.float32(JOINED_GAIN):
            continue
        for at in range(middle - _ONE32, first, -1):  # over what stands between
            letters[at] = letters[at - 1]
            places[at] = places[at - 1]
        hashes[t] = joined
        slots[t] = slot
        firsts[t] = first + _ONE32
        lasts[t] = last
        lasts[t + _ONE] = 0  # no token any more
        done = t + _TWO
        kept -= _ONE
    if kept < np.uint64(n):
        m = _ZERO
        for t in range(_ZERO, np.uint64(n)):
            hashes[m] = hashes[t]
            firsts[m] = firsts[t]
            gaps[m] = gaps[t]
            slots[m] = slots[t]
            last = lasts[t]
            lasts[m] = last
            m += np.uint64(last > 0)
    return kept


@njit(nogil=True, cache=True, inline="always")
def join(n, tables, space, statistics):
    """Join neighbours that are one word when no mark stands between them: `acc ount`, `sca-m`.

    Looks every token up and returns how many are left.
    """
    doubtful = space.grams.at  # not needed yet
    some = _look_all_up(
        n, tables.index, tables.log_frequencies, space.characters.letters, space.tokens, doubtful
    )
    if some > _ZERO:
        kept = np.int64(
            _join(n, some, doubtful, tables.index, tables.log_frequencies, space.characters, space.tokens)
        )
        statistics[LATIN_WORDS] -= n - kept
        statistics[TOKENS] = kept
        return kept
    return n


@njit(nogil=True, cache=True, inline="always")
def find(n, of_tokens, m, tables, space):
    """Note the rows of `n` tokens and of the `m` n-grams that `grams` noted, and the words that begin there.

    Returns how many tokens and n-grams have a row in the table of n-grams.
    """
    slots, words = space.tokens.slots, space.path.words
    return _find(n, of_tokens, m, tables.index, slots, space.grams, space.hits, words, tables.grams)


@njit(nogil=True, cache=True)
def _find(n, of_tokens, m, index, slots, grams, hits, words, table):
    """What `find` does.

    Nothing here branches on whether a hash was found, for that nobody can predict.
    """
    for g in range(_ZERO, np.uint64(m)):
        vector.fetch(index.slots, _bucket(grams.keys[g], index) * np.uint64(vector.SLOTS))
    found = _ZERO
    words[: LONGEST_WORD * (n + LONGEST_WORD)] = -1
    for t in range(_ZERO, np.uint64(n)):
        slot = slots[t]
        hits.rows[found] = _gram(slot)
        vector.fetch(table, (slot & _ROW) - _ONE)
        hits.at[found] = _FOUR * t
        found += np.uint64(slot & _ROW != _ZERO)
        words[_AHEAD + _FOUR * t] = _word(slot)
    for g in range(_ZERO, np.uint64(of_tokens)):
        slot = _look_up(grams.keys[g], index)
        at = np.uint64(grams.at[g])
        hits.rows[found] = _gram(slot)
        vector.fetch(table, (slot & _ROW) - _ONE)
        hits.at[found] = at
        found += np.uint64(slot & _ROW != _ZERO)
        words[_AHEAD + at] = _word(slot)
    for g in range(np.uint64(of_tokens), np.uint64(m)):
        slot = _look_up(grams.keys[g], index)
        hits.rows[found] = _gram(slot)
        vector.fetch(table, (slot & _ROW) - _ONE)
        hits.at[found] = grams.at[g]
        found += np.uint64(slot & _ROW != _ZERO)
    return np.int64(found)


@njit(nogil=True, cache=True)
def _best_path(first, last, path, log_frequencies):
    """Find the words of the Chinese tokens from `first` to `last`, by the length of the last at each token.

    The best path over log-frequencies is jieba's method without its hidden Markov model.
    """
    words, gains, lengths = path
    begin = _FOUR * first + _AHEAD
    for at in range(begin - _AHEAD, begin):
        gains[at] = _NEVER
    for at in range(begin, _FOUR * last + _AHEAD):
        row = words[at]
        gain = log_frequencies[np.uint64(max(row, 0))]
        nobody = _NEVER if at & _THREE else _UNSEEN
        gains[at] = gain if row >= 0 else nobody
    three_ago = two_ago = one_ago = _NEVER
    now = np.float32(0)
    at = begin
    for t in range(first, last):  # of equal ones the longest is taken
        best = three_ago + gains[at - _NINE]
        length = 4
        for value, letters in (
            (two_ago + gains[at - _SIX], 3),
            (one_ago + gains[at - _THREE], 2),
            (now + gains[at], 1),
        ):
            if value > best:
                best = value
                length = letters
        lengths[t] = length
        three_ago = two_ago
        two_ago = one_ago
        one_ago = now
        now = best
        at += _FOUR


@njit(nogil=True, cache=True, inline="always")
def words(n, tables, space, statistics):
    """Choose the words of `n` tokens: Latin ones as they stand, Chinese by the best path.

    Notes them in `space.words` and returns how many, unknown Chinese characters left out.
    """
    tokens = space.tokens
    return _words(
        n, space.characters.letters, tokens.firsts, tokens.gaps, tokens.hashes, tables.log_frequencies,
        tables.weights, tables.words, space.path, space.words, statistics,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _words(n, letters, firsts, gaps, hashes, log_frequencies, weights, table, path, found, statistics):
    """What `words` does."""
    m = _ZERO
    t = _ZERO
    n = np.uint64(n)
    n_foreign = 0
    n_known = 0
    n_inside = 0
    while t < n and log_frequencies.size > 0:
        kind = _kind(letters[firsts[t]])
        if kind != CJK:
            row = path.words[_AHEAD + _FOUR * t]
            if kind == LATIN and row >= 0:
                heard = weights[row] != 0
                n_foreign += not heard
                n_known += heard
                found.rows[m] = row
                vector.fetch(table, np.uint64(row))
                found.at[m] = _FOUR * t
                m += np.uint64(heard)
            t += _ONE
            continue
        stop = t + _ONE
        breaks = gaps[t] >> _BREAKS
        while stop < n and _kind(letters[firsts[stop]]) == CJK and gaps[stop] >> _BREAKS == breaks:
            stop += _ONE
        _best_path(t, stop, path, log_frequencies)
        first = m
        at = stop
        while at > t:
            length = np.uint64(path.lengths[at - _ONE])
            at -= length
            row = path.words[_AHEAD + _FOUR * at + length - _ONE]
            found.rows[m] = row
            vector.fetch(table, np.uint64(row))
            found.at[m] = _FOUR * at + length - _ONE
            m += np.uint64(row >= 0)
            inside = (length > _ONE) & (hashes[at] != hashes[at + length - _ONE])  # no 哈哈
            n_inside += np.int64(length) if inside else 0
        last = m
        while first + _ONE < last:  # the path was walked backwards
            last -= _ONE
            found.rows[first], found.rows[last] = found.rows[last], found.rows[first]
            found.at[first], found.at[last] = found.at[last], found.at[first]
            first += _ONE
        t = stop
    statistics[FOREIGN] = n_foreign
    statistics[KNOWN_LATIN] = n_known
    statistics[CJK_IN_WORDS] = n_inside
    return np.int64(m)


@njit(nogil=True, cache=True)
def _weigh(m, weights, rows, parts):
    """Turn what `m` words count into what they weigh; return the sum."""
    total = 0
    for w in range(m):
        parts[w] = _weight(weights[rows[w]], parts[w])
        total += parts[w]
    return total


@njit(nogil=True, cache=True)
def add(rows, parts, n, table, total):
    """Fill `total` (n_columns,) with the sum of `part * row`, exactly: |part| is at most 255."""
    for begin in range(0, total.size, vector.WIDTH):
        vector.add(rows, parts, n, table, begin, total)


@njit(nogil=True, cache=True)
def add_small(rows, parts, n, table, total):
    """The same for parts of 0 to ONE_PART."""
    for begin in range(0, total.size, vector.WIDTH):
        vector.add_small(rows, parts, n, table, begin, total)


@njit(nogil=True, cache=True, inline="always")
def sharper(n, sharpening):
    """What the scores of a text of `n` tokens are worth, `n` a number or an array: a temperature that falls
    with the length.

    Temperatures that depend on the input: Tomani, Cremers and Buettner 2022, "Parameterized Temperature
    Scaling".
    """
    return (np.maximum(n, 1) / USUAL_TOKENS) ** sharpening


@njit(nogil=True, cache=True)
def score(codes, offsets, fold, tables, gram_scale, word_scale, bias, sharpening, scores, statistics):
    """Fill `scores` (n_texts, n_columns) and `statistics` (n_texts, N_STATISTICS).

    The rows of the tables are padded to a multiple of `vector.WIDTH` columns.

    `bias + gram_scale * sum((1 + ln(count)) * row) / sqrt(n_grams)
    + word_scale * sum(weight * row) / sum(weight)`, times `sharper`; the weights of repeated words are
    damped likewise, and `n_grams` is how many n-grams of the text have a row.
    """
    n_texts = offsets.size - 1
    n_columns = bias.size
    space = _space(longest(offsets))
    hits, found = space.hits, space.words
    gram_sum = np.empty(tables.grams.shape[1], np.int32)
    word_sum = np.empty(tables.words.shape[1], np.int32)
    for i in range(n_texts):
        n = tokenise(codes, offsets[i], offsets[i + 1], fold, tables, space, statistics[i])
        n = join(n, tables, space, statistics[i])
        of_tokens, m = grams(n, tables.index.sieve, space)
        m = find(n, of_tokens, m, tables, space)
        by_length = 1.0 / (ONE_PART * np.sqrt(max(m, 1)))
        count(hits.rows, m, hits.counts, hits.parts)
        add_small(hits.rows, hits.parts, m, tables.grams, gram_sum)
        m = words(n, tables, space, statistics[i])
        count(found.rows, m, found.counts, found.parts)
        total = _weigh(m, tables.weights, found.rows, found.parts)
        add(found.rows, found.parts, m, tables.words, word_sum)
        by_weight = 1.0 / max(total, 1)
        factor = sharper(n, sharpening)
        for c in range(n_columns):
            scores[i, c] = factor * (
                bias[c] + gram_scale[c] * gram_sum[c] * by_length + word_scale[c] * word_sum[c] * by_weight
            )


@njit(nogil=True, cache=True, inline="always")
def _power(x):
    """e to the x, for x from LEAST_POWER to 0, to 12 digits: a series, and ten times the square.

    A loop of it becomes vectors, which a call of the library's does not.
    """
    x = max(x, LEAST_POWER) / 1024
    y = 1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7))))))
    for _ in range(10):
        y *= y
    return y


@njit(nogil=True, cache=True, fastmath={"reassoc", "nnan", "nsz", "arcp"})
def softmax(scores, temperature, lapses, probabilities):
    """Fill `probabilities` (n_texts, n_schemes) from the first columns of `scores`.

    `lapses` (n_schemes,) is what each has whatever the scores; the scores share out what is left of 1.
    """
    n_texts, n_schemes = probabilities.shape
    decided = 1 - lapses.sum()
    powers = np.empty(n_schemes, np.float64)
    for i in range(n_texts):
        highest = scores[i, 0]
        for c in range(1, n_schemes):
            highest = max(highest, scores[i, c])
        for c in range(n_schemes):
            powers[c] = _power((np.float64(scores[i, c]) - highest) / temperature)
        total = 0.0
        for c in range(n_schemes):
            total += powers[c]
        for c in range(n_schemes):
            probabilities[i, c] = decided * powers[c] / total + lapses[c]


@njit(nogil=True, cache=True)
def roll_up(probabilities, category_index, categories):
    """Fill `categories` (n_texts, n_categories): the sums of their schemes' probabilities.

    `category_index` (n_schemes,) rises and names every category.
    """
    n_texts, n_schemes = probabilities.shape
    for i in range(n_texts):
        total = 0.0
        for c in range(n_schemes):
            total += probabilities[i, c]
            if c + 1 == n_schemes or category_index[c + 1] != category_index[c]:
                categories[i, category_index[c]] = min(total, 1.0)
                total = 0.0


@njit(nogil=True, cache=True)
def emit(codes, offsets, fold, tables, keys, sizes, key_ends, word_rows, word_ends, lengths):
    """Write what the fit sees: n-gram hashes and word rows, text after text.

    `keys`, `sizes` (the tokens of each n-gram, 0 for one of letters) and `word_rows` take all texts;
    `key_ends` and `word_ends` (n_texts,) say where each text's part ends; `lengths` (n_texts,) counts
    its tokens.
    """
    n_texts = offsets.size - 1
    space = _space(longest(offsets))
    statistics = np.empty(N_STATISTICS, np.int32)
    at = 0
    word_at = 0
    for i in range(n_texts):
        n = tokenise(codes, offsets[i], offsets[i + 1], fold, tables, space, statistics)
        n = join(n, tables, space, statistics)
        of_tokens, m = grams(n, _NO_SIEVE, space)
        find(n, of_tokens, m, tables, space)
        keys[at : at + n] = space.tokens.hashes[:n]
        sizes[at : at + n] = 1
        at += n
        for k in range(m):
            keys[at + k] = space.grams.keys[k]
            sizes[at + k] = space.grams.at[k] % 4 + 1 if k < of_tokens else 0
        at += m
        key_ends[i] = at
        m = words(n, tables, space, statistics)
        word_rows[word_at : word_at + m] = space.words.rows[:m]
        word_at += m
        word_ends[i] = word_at
        lengths[i] = n


@njit(nogil=True, cache=True)
def name(codes, offsets, fold, keys):
    """Fill `keys` (n_texts,) with the hash that a word has as a whole, 0 where it is not a word:
    one Latin token, or 1 to 4 Chinese characters."""
    n_texts = offsets.size - 1
    space = _space(longest(offsets))
    letters, tokens = space.characters.letters, space.tokens
    for i in range(n_texts):
        m = _read(codes, offsets[i], offsets[i + 1], fold, space.characters)
        n, _ = _part(m, letters, tokens.firsts, tokens.lasts, tokens.gaps)
        sums, by_kind = space.characters.sums, space.by_kind
        _hash(n, letters, sums, tokens.firsts, tokens.lasts, tokens.gaps, tokens.hashes, by_kind)
        keys[i] = np.uint64(0)
        kind = _kind(letters[tokens.firsts[0]]) if n > 0 else np.uint32(SYMBOL)
        if n == 1 and kind in (LATIN, CJK):
            keys[i] = space.tokens.hashes[0]
        elif 1 < n <= LONGEST_WORD and by_kind[0, CJK] == n:
            key = space.tokens.hashes[0]
            for t in range(1, n):
                key = _mix(key, space.tokens.hashes[t])
            keys[i] = key


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _dot(direction, row):
    """The sum of products, in the order that is fastest: many at a time."""
    total = 0.0
    for c in range(direction.size):
        total += direction[c] * row[c]
    return total


@njit(nogil=True, cache=True)
def book(codes, fold, tables, gram_direction, word_direction):
    """Book every addition of one text on its words.

    The directions (n_columns,) turn a row into log-odds, scales included. An n-gram's part is
    split evenly over its tokens. Returns (starts, ends, weights) of the spans, whole words each;
    the weights sum to the margin without its bias.
    """
    space = _space(codes.size)
    statistics = np.empty(N_STATISTICS, np.int32)
    n = tokenise(codes, 0, codes.size, fold, tables, space, statistics)
    n = join(n, tables, space, statistics)
    by_token = np.zeros(n + 1, np.float64)
    of_tokens, m = grams(n, tables.index.sieve, space)
    hits, found, tokens = space.hits, space.words, space.tokens
    m = find(n, of_tokens, m, tables, space)
    by_length = 1.0 / (ONE_PART * np.sqrt(max(m, 1)))
    count(hits.rows, m, hits.counts, hits.parts)
    for g in range(m):
        part = _dot(gram_direction, tables.grams[hits.rows[g]]) * hits.parts[g]
        first = hits.at[g] // np.uint32(LONGEST_GRAM)
        length = hits.at[g] % np.uint32(LONGEST_GRAM) + _ONE32
        for t in range(first, first + length):
            by_token[t] += part * by_length / length
    m = words(n, tables, space, statistics)
    count(found.rows, m, found.counts, found.parts)
    total = max(_weigh(m, tables.weights, found.rows, found.parts), 1)
    starts = np.empty(n, np.int32)
    ends = np.empty(n, np.int32)
    weights = np.zeros(n, np.float64)
    spans = 0
    t = 0
    w = 0
    while t < n:
        stop = t + 1
        if w < m and found.at[w] // LONGEST_WORD == t:
            part = _dot(word_direction, tables.words[found.rows[w]])
            weights[spans] = part * found.parts[w] / total
            stop = t + 1 + found.at[w] % LONGEST_WORD
            w += 1
        starts[spans] = space.characters.places[tokens.firsts[t]]
        ends[spans] = space.characters.places[tokens.lasts[stop - 1] - _ONE32] + 1
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
    size = vector.SLOTS
    while size < 2 * (gram_keys.size + word_keys.size):
        size *= 2
    room = np.zeros(size + vector.SLOTS, np.uint64)
    begin = -(room.ctypes.data // 8) % vector.SLOTS
    slots = room[begin : begin + size]
    sieve = np.zeros(size // 2, np.uint8)
    buckets = np.uint64(size // vector.SLOTS - 1)
    sieve_mask = np.uint64(8 * sieve.size - 1)
    for keys, shift in ((gram_keys, np.uint64(0)), (word_keys, _ROW_BITS)):
        for i in range(keys.size):
            key = keys[i]
            at = np.int64(key & buckets) * vector.SLOTS
            while slots[at] != np.uint64(0) and slots[at] >> _BOTH_BITS != key >> _BOTH_BITS:
                at = (at + 1) % size
            if (slots[at] >> shift) & _ROW == np.uint64(0):  # of two that look the same the first one has it
                slots[at] |= (key >> _BOTH_BITS) << _BOTH_BITS | np.uint64(i + 1) << shift
            bit = (key >> _SIEVE_SHIFT) & sieve_mask
            sieve[bit >> _THREE] |= np.uint8(_ONE << (bit & _SEVEN))
    return Index(slots, sieve)
