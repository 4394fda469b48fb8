"""Guess the schemes of examples of which only the category is known, so that they can be fitted too.

One step of expectation-maximisation with hard assignments: a fit on what is known, the taxonomy's cues
among it, names the most probable scheme under the known category.
"""

from collections.abc import Sequence

import numpy as np

from model.kernel import Fold
from model.taxonomy import Taxonomy
from training import bulk, fit
from training.corpora import Example
from training.words import Vocabulary

MOST_KNOWN = 20_000  # examples with a scheme that the fit is given
STEPS = 40


def columns(
    examples: Sequence[Example],
    cues: Sequence[tuple[str, int]],
    taxonomy: Taxonomy,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
) -> np.ndarray:
    """The scheme column of each example, int64 (n_examples,): known, the only one, or guessed."""
    place = {scheme: i for i, scheme in enumerate(taxonomy.scheme_ids)}
    index = np.array(taxonomy.category_index)
    inside = {name: np.flatnonzero(index == k) for k, name in enumerate(taxonomy.category_ids)}
    found = np.full(len(examples), -1)
    for i, example in enumerate(examples):
        if example.scheme:
            found[i] = place[example.scheme]
        elif inside[example.category].size == 1:
            found[i] = inside[example.category][0]
    unknown = np.flatnonzero(found < 0)
    if not unknown.size:
        return found
    known = [i for i, example in enumerate(examples) if example.scheme]
    known = known[:: len(known) // MOST_KNOWN + 1]
    texts = [examples[i].text for i in known] + [text for text, _ in cues]
    targets = np.concatenate([found[known], [column for _, column in cues]]).astype(np.int64)
    batches = [examples[i].batch for i in known] + ["taxonomy"] * len(cues)
    quick = fit.Settings(least_texts=1, least_batches=1, steps=STEPS, seed=settings.seed)
    fitted = fit.fit(
        texts, targets, batches, np.ones(len(texts)), index, table, vocabulary, quick
    )  # fmt: skip
    scores = bulk.scores(fitted, [examples[i].text for i in unknown.tolist()], table)
    for row, i in zip(scores, unknown.tolist(), strict=True):
        mine = inside[examples[i].category]
        found[i] = mine[row[mine].argmax()]
    return found
