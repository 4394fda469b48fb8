"""One text at a time, in one call of compiled code: the functions that answer many, in a row.

Between two requests other code has the caches to itself, so a single text costs above all the code
that it passes through: arrays made in Python and calls with many arrays are dearer than the sums. So
a text goes in as bytes, the model as one flat tuple of arrays, and plain numbers come out.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numba import njit

from model import kernel, rules, vector


def sources():
    """A hash of the files that this one calls into.

    numba renews what it keeps of a function when the function's own file or what it encloses changes,
    not when what it calls does. So the functions below enclose this.
    """
    files = (Path(str(called.__file__)).read_bytes() for called in (kernel, rules, vector))
    return sha256(b"".join(files)).hexdigest()


@njit(nogil=True)  # and not kept, see `sources`
def _probabilities(encoded, parts, temperature, sharpening):
    targets, kinds, entries, slots, sieve, grams, words, log_frequencies, weights = parts[:9]
    gram_scale, word_scale, bias, lapses, category_index, thresholds = parts[9:]
    fold = kernel.Fold(targets, kinds, entries)
    tables = kernel.Tables(kernel.Index(slots, sieve), grams, words, log_frequencies, weights)
    codes = np.frombuffer(encoded, np.uint32)
    offsets = np.zeros(2, np.int64)
    offsets[1] = codes.size
    scores = np.empty((1, bias.size), np.float32)
    statistics = np.empty((1, kernel.N_STATISTICS), np.int32)
    kernel.score(codes, offsets, fold, tables, gram_scale, word_scale, bias, sharpening, scores, statistics)
    schemes = np.empty((1, category_index.size), np.float32)
    kernel.softmax(scores, temperature, lapses, schemes)
    categories = np.empty((1, thresholds.size), np.float32)
    kernel.roll_up(schemes, category_index, categories)
    return codes, fold, tables, schemes, categories, statistics


@njit(nogil=True)
def _five(row):
    return row[0], row[1], row[2], row[3], row[4]


def _answer(called):
    @njit(nogil=True, cache=True)
    def answer(encoded, parts, temperature, sharpening, scheme_threshold):
        """What is said of a text: its category and that one's probability, its scheme and that one's,
        whether the scheme is sure, the place in `rules.REASONS` counted from 1; then the most probable
        categories, -1 where there are no more, and their probabilities.

        `encoded` is UTF-32 in bytes, `parts` are the classifier's.
        """
        assert called
        category_index, thresholds = parts[13:]
        _, _, _, schemes, categories, statistics = _probabilities(encoded, parts, temperature, sharpening)
        category = np.empty(1, np.int64)
        category_chance = np.empty(1, np.float32)
        scheme = np.empty(1, np.int64)
        scheme_chance = np.empty(1, np.float32)
        scheme_sure = np.empty(1, np.bool_)
        reasons = np.empty(1, np.int8)
        rules.decide(
            schemes, categories, statistics, category_index, thresholds, scheme_threshold,
            category, category_chance, scheme, scheme_chance, scheme_sure, reasons,
        )  # fmt: skip
        order = np.empty((1, rules.N_RANKED), np.int64)
        chances = np.empty((1, rules.N_RANKED), np.float32)
        rules.rank(categories, order, chances)
        return (
            category[0], category_chance[0], scheme[0], scheme_chance[0], scheme_sure[0], reasons[0],
            _five(order[0]), _five(chances[0]),
        )  # fmt: skip

    return answer


def _explain(called):
    @njit(nogil=True, cache=True)
    def explain(encoded, parts, temperature, sharpening, category):
        """Category, scheme, bias, then starts, ends and weights of the words; see `model.evidence`.

        `category` is the one to explain, -1: the most probable one.
        """
        assert called
        gram_scale, word_scale, bias, _, category_index, _ = parts[9:]
        codes, fold, tables, schemes, categories, statistics = _probabilities(
            encoded, parts, temperature, sharpening
        )
        if category < 0:
            category = np.argmax(categories[0])
        inside = category_index == category
        outside = max(inside.size - inside.sum(), 1)
        direction = np.zeros(bias.size)
        top = -1
        for c in range(inside.size):
            if not inside[c]:
                direction[c] = -1 / outside
            elif top < 0 or schemes[0, c] > schemes[0, top]:
                top = c
        direction[top] += 1
        direction *= kernel.sharper(statistics[0, kernel.TOKENS], sharpening) / temperature
        starts, ends, weights = kernel.book(
            codes, fold, tables, direction * gram_scale, direction * word_scale
        )
        return category, top, (direction * bias).sum(), starts, ends, weights

    return explain


answer = _answer(sources())
explain = _explain(sources())
