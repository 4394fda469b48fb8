"""Evidence: which words of a text speak for a category, and how strongly.

The same additions that made the scores, booked on the words they came from. The weight of a word is
its contribution to the score of the category's top scheme minus the mean over the schemes outside
the category, divided by the temperature of a text of this length: log-odds. With the bias the weights
sum to that margin.
(A category's own log-odds is a log of sums and does not split into a sum.)
"""

from typing import TYPE_CHECKING, NamedTuple

from model import single
from model.errors import TextError

if TYPE_CHECKING:
    from model.classifier import Classifier


class Evidence(NamedTuple):
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
    names = classifier.taxonomy.category_ids
    if category is not None and category not in names:
        raise KeyError(f"unknown category {category!r}; see `python -m model taxonomy`")
    chosen, scheme, bias, *columns = single.explain(
        text.encode("utf-32-le", "surrogatepass"),
        classifier.parts,
        classifier.manifest.temperature,
        classifier.manifest.sharpening,
        -1 if category is None else names.index(category),
    )
    starts, ends, weights = (column.tolist() for column in columns)
    words = list(map(Evidence, starts, ends, weights))
    margin = bias + sum(weights)
    return Explanation(words, names[chosen], classifier.taxonomy.scheme_ids[scheme], bias, margin)
