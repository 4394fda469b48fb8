"""Cues and names of schemes, weak examples; and all that a fit sees: examples, copies and these."""

from collections.abc import Sequence

import numpy as np

from model.taxonomy import Taxonomy
from training import alter, fit
from training.corpora import Example

COPY_WEIGHT = 0.5
MANY = 2000  # examples; names of schemes would outweigh fewer, above all those of a scheme that has none

Rows = tuple[list[str], np.ndarray, list[str], np.ndarray]  # texts, targets, batches and weights of a fit


def listed(taxonomy: Taxonomy, named: bool = False) -> list[tuple[str, int]]:
    """The taxonomy's own words, `named` with what people call its schemes: weak examples (text, column)."""
    schemes = [scheme for category in taxonomy.categories for scheme in category.schemes]
    said = [(*scheme.cues, *(alter.names(scheme.id) if named else ())) for scheme in schemes]
    return [(cue, column) for column, texts in enumerate(said) for cue in texts]


def beside(
    examples: Sequence[Example],
    targets: np.ndarray,
    copies: Sequence[Sequence[str]],
    taxonomy: Taxonomy,
    settings: fit.Settings,
    named: bool,
) -> Rows:
    """What a fit of examples (n,) sees: them, their altered copies (n,), the taxonomy's cues and, if `named`,
    what people call its schemes."""
    texts, columns, batches, weights = [], [], [], []
    for example, column, altered in zip(examples, targets.tolist(), copies, strict=True):
        texts += [example.text, *altered]
        columns += [column] * (1 + len(altered))
        batches += [example.batch] * (1 + len(altered))
        weights += [1.0] + [COPY_WEIGHT] * len(altered)
    for cue, column in listed(taxonomy, named):
        texts.append(cue)
        columns.append(column)
        batches.append("taxonomy")
        weights.append(settings.cue_weight)
    return texts, np.array(columns), batches, np.array(weights)
