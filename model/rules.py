"""What is said of a text, and why a person should look: compiled, for it is done for every text."""

from numba import njit

from model import kernel

N_RANKED = 5

# A text of so few letters and digits says too little to be sure of.
SHORTEST = 10
# The share of words that must be in the vocabulary, and of letters in a script that the model reads.
LEAST_KNOWN = 0.5
LEAST_READABLE = 0.75
# The share of Chinese characters that stand in words of two or more: chance characters have few.
LEAST_IN_WORDS, ENOUGH_CHINESE = 0.3, 8
# The share of Latin words that are common words of a language the model does not read.
MOST_FOREIGN = 0.15

# Why a text needs review, counted from 1 (0: it does not); the last that holds is named.
REASONS = ("unsure", "unknown_words", "too_short", "other_language")


@njit(nogil=True, cache=True)
def reason(statistics):
    """Why a text cannot be read, as its place in REASONS counted from 1; 0 where it can.

    `statistics` are the kernel's, int32 (N_STATISTICS,).
    """
    chinese = statistics[kernel.CJK_TOKENS]
    strange = statistics[kernel.FOREIGN]
    readable = chinese + statistics[kernel.LATIN_LETTERS]
    letters = readable + statistics[kernel.OTHER_LETTERS]
    units = statistics[kernel.LATIN_WORDS] + chinese
    unread = statistics[kernel.KNOWN_LATIN] + chinese < LEAST_KNOWN * units
    address = chinese == 0 and statistics[kernel.RUNS] <= 1
    if readable < LEAST_READABLE * letters:
        return 4
    foreign = strange > 0 and strange >= chinese and not address
    if foreign and (unread or strange > MOST_FOREIGN * statistics[kernel.LATIN_WORDS]):
        return 4
    if statistics[kernel.CHARACTERS] <= SHORTEST:
        return 3
    if unread or address or units == 0:
        return 2
    if chinese >= ENOUGH_CHINESE and statistics[kernel.CJK_IN_WORDS] < LEAST_IN_WORDS * chinese:
        return 2
    return 0


@njit(nogil=True, cache=True)
def rank(categories, order, chances):
    """Fill `order` and `chances` (n_texts, n_ranked) with the most probable categories, best first.

    Of equal ones the first comes first.
    """
    n_texts, n_ranked = order.shape
    for i in range(n_texts):
        for place in range(n_ranked):
            best = -1
            for k in range(categories.shape[1]):
                taken = False
                for before in range(place):
                    taken = taken or order[i, before] == k
                if not taken and (best < 0 or categories[i, k] > categories[i, best]):
                    best = k
            order[i, place] = best
            chances[i, place] = categories[i, best]


@njit(nogil=True, cache=True)
def decide(
    schemes, categories, statistics, category_index, thresholds, scheme_threshold,
    category, category_chance, scheme, scheme_chance, scheme_sure, reasons,
):  # fmt: skip
    """Fill the last six arrays (n_texts,) from the probabilities and statistics of texts.

    The category is the most probable one and the scheme the most probable one under it. `reasons`
    are as in REASONS; an answer below its category's threshold is unsure, and a scheme is sure from
    `scheme_threshold` of its category's probability on, where nothing needs review.
    """
    for i in range(categories.shape[0]):
        best = 0
        for k in range(1, categories.shape[1]):
            if categories[i, k] > categories[i, best]:
                best = k
        top = -1
        for c in range(schemes.shape[1]):
            if category_index[c] == best and (top < 0 or schemes[i, c] > schemes[i, top]):
                top = c
        category[i] = best
        category_chance[i] = categories[i, best]
        scheme[i] = top
        scheme_chance[i] = schemes[i, top]
        reasons[i] = reason(statistics[i])
        if reasons[i] == 0 and categories[i, best] < thresholds[best]:
            reasons[i] = 1
        scheme_sure[i] = reasons[i] == 0 and schemes[i, top] >= scheme_threshold * categories[i, best]
