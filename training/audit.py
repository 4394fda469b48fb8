"""Audit: examples whose category is doubtful, by what fits without their batch say of them.

Confident learning's self-confidence (Northcutt et al. 2021): the held-out probability of the category
an example has, against the one it would get. A person decides; `training.decisions` takes that back in.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model import fold
from model.taxonomy import Taxonomy
from training import bars, calibrate, collect, fit, train, words
from training.corpora import Example


def score(
    examples: Sequence[Example], taxonomy: Taxonomy, settings: fit.Settings
) -> tuple[list[Example], np.ndarray]:
    """Examples in order and their scores float32 (n_examples, n_schemes) by fits without their batch."""
    stuff = train.material([e for e in examples if e.scheme], taxonomy, settings)
    table = fold.make()
    with bars.step("words and their meanings"):
        vocabulary = words.make([e.text for e in stuff.examples], table)
    return stuff.examples, train.held_out_scores(stuff, taxonomy, table, vocabulary, settings)


def find(
    examples: Sequence[Example], scores: np.ndarray, taxonomy: Taxonomy, temperature: float | None = None
) -> list[dict[str, Any]]:
    """Examples that would get another category, neither theirs nor their second, doubtful first.

    Their probabilities are without the lapse, which changes no order. The scores hold `not_fraud` back, so a
    little more of those that have this category are doubted, and a little less of those that lack it.
    """
    index = np.array(taxonomy.category_index)
    names = taxonomy.category_ids
    targets, seconds = calibrate.columns(examples, names)
    heat = temperature or calibrate.temperature_and_lapse(scores, index, targets, seconds)[0]
    chances = calibrate.roll_up(calibrate.softmax(scores, heat), index, len(names))
    best = chances.argmax(axis=1)
    found = []
    for i in np.flatnonzero(best != targets).tolist():
        example, answer = examples[i], names[best[i]]
        if answer != example.second:
            found.append(
                {
                    "key": collect.key(example.text),
                    "id": example.id,
                    "category": example.category,
                    "scheme": example.scheme,
                    "probability": round(float(chances[i, targets[i]]), 4),
                    "answered": answer,
                    "answered_probability": round(float(chances[i, best[i]]), 4),
                    "text": example.text,
                }
            )
    return sorted(found, key=lambda line: (line["probability"] - line["answered_probability"], line["key"]))
