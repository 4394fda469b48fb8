"""Audit: own examples whose category is doubtful, by what fits without their batch say of them.

Confident learning's self-confidence (Northcutt et al. 2021): the held-out probability of the category
an example has, against the one it would get.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from model import fold
from model.kernel import Fold
from model.taxonomy import Taxonomy
from training import calibrate, fit, train, words
from training.corpora import Example


def find(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    settings: fit.Settings,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Examples that would get another category, neither theirs nor their second, doubtful first."""
    stuff = train.material(examples, taxonomy, settings)
    table = Fold(*fold.make())
    vocabulary = words.make([e.text for e in stuff.examples], table)
    scores = train.held_out_scores(
        stuff, taxonomy, table, vocabulary, settings, lambda k: say(f"fold {k + 1} done")
    )
    index = np.array(taxonomy.category_index)
    heat = calibrate.temperature(scores, index, index[stuff.targets])
    chances = calibrate.roll_up(calibrate.softmax(scores, heat), index, len(taxonomy.category_ids))
    found = []
    for example, row, target in zip(stuff.examples, chances, index[stuff.targets], strict=True):
        answer = taxonomy.category_ids[int(row.argmax())]
        if answer not in (example.category, example.second):
            found.append(
                {
                    "id": example.id,
                    "category": example.category,
                    "scheme": example.scheme,
                    "probability": round(float(row[target]), 4),
                    "answered": answer,
                    "answered_probability": round(float(row.max()), 4),
                    "text": example.text,
                }
            )
    return sorted(found, key=lambda line: line["probability"] - line["answered_probability"])
