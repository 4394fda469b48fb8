"""Evidence: which words of a text speak for a category, and how strongly.

The same additions that made the scores, booked on the words they came from. The weight of a word is
its contribution to the score of the category's top scheme minus the mean over the schemes outside
the category, divided by the temperature: log-odds. With the bias the weights sum to that margin.
(A category's own log-odds is a log of sums and does not split into a sum.)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model import kernel
from model.errors import TextError

if TYPE_CHECKING:
    from model.classifier import Classifier


@dataclass(frozen=True)
class Evidence:
    """One word: code points `start` to `end` of the text as sent, and its weight in log-odds."""

    start: int
    end: int
    weight: float


class Explanation(list[Evidence]):
    """The words of a text in their order; `bias` is what the model adds without any word.

    `sum(e.weight for e in explanation) + explanation.bias == explanation.margin`.
    """

    def __init__(self, words: list[Evidence], category: str, scheme: str, bias: float, margin: float) -> None:
        super().__init__(words)
        self.category = category
        self.scheme = scheme
        self.bias = bias
        self.margin = margin

    def strongest(self, n: int = 8) -> list[Evidence]:
        """The `n` words with the largest positive weights, in the order of the text."""
        best = sorted((e for e in self if e.weight > 0), key=lambda e: -e.weight)[:n]
        return sorted(best, key=lambda e: e.start)


def explain(classifier: "Classifier", text: str, category: str | None = None) -> Explanation:
    """Book one text's additions on its words; `category` defaults to the most probable one.

    Raises TextError for what is no text, KeyError for an unknown category.
    """
    if not isinstance(text, str):
        raise TextError(f"text is {type(text).__name__}, not str")
    (schemes,), (categories,), _ = classifier.answer([text])
    names = classifier.taxonomy.category_ids
    if category is None:
        category = names[int(categories.argmax())]
    elif category not in names:
        raise KeyError(f"unknown category {category!r}; see `python -m model taxonomy`")
    inside = classifier.category_index == names.index(category)
    top = int(np.where(inside, schemes, -1).argmax())
    direction = np.zeros(classifier.bias.size)
    if not inside.all():
        direction[: inside.size][~inside] = -1 / (~inside).sum()
    direction[top] += 1
    direction /= classifier.manifest.temperature
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    starts, ends, weights = kernel.book(
        codes,
        classifier.fold,
        classifier.tables,
        direction * classifier.gram_scale,
        direction * classifier.word_scale,
    )
    words = [Evidence(int(s), int(e), float(w)) for s, e, w in zip(starts, ends, weights, strict=True)]
    bias = float(direction @ classifier.bias)
    margin = bias + sum(word.weight for word in words)
    return Explanation(words, category, classifier.taxonomy.scheme_ids[top], bias, margin)
