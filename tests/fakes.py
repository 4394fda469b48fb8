"""Stand-ins for parts that a test wants to steer."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from model import Classifier, Explanation, Manifest, Prediction, taxonomy
from model.classifier import Answers

LABELS = (
    "customer_service_impersonation",
    "fake_loan",
    "fake_investment",
    "part_time_job",
    "not_fraud",
)


class FakeClassifier(Classifier):
    """Answers by the length of the text, at once; has the real tree and no tables.

    `open` is awaited before each answer: clear it and the classifier hangs, set it and it goes on.
    `error` is raised instead of an answer where there is one. `seen` holds the texts of each call.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.taxonomy = taxonomy.load()
        self.manifest = Manifest(
            version="1.0-fake",
            taxonomy=self.taxonomy.version,
            schemes=self.taxonomy.scheme_ids,
            temperature=1.0,
            thresholds=dict.fromkeys(self.taxonomy.category_ids, 0.5),
            scheme_threshold=0.5,
        )
        self.error = error
        self.open = threading.Event()
        self.open.set()
        self.seen: list[list[str]] = []

    def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """The first category, or the second for a text of odd length."""
        self.seen.append(list(texts))
        self.open.wait(timeout=10)
        if self.error:
            raise self.error
        return [self._predict(text) for text in texts]

    def category_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Those of `classify`, 0 for all other categories."""
        rows = np.zeros((len(texts), len(self.taxonomy.category_ids)), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for category, share in self._predict(text).ranked:
                row[self.taxonomy.category_ids.index(category)] = share
        return rows

    def explain(self, text: str, category: str | None = None) -> Explanation:
        """No word spoke for anything; awaited and failing as `classify` is."""
        said = self.classify([text])[0]
        self.seen.pop()
        return Explanation((), category or said.category, said.scheme, 0.0, 0.0)

    def _predict(self, text: str) -> Prediction:
        first, second, *others = LABELS
        if len(text) % 2:
            first, second = second, first
        scheme = next(c for c in self.taxonomy.categories if c.id == first).schemes[0].id
        shares = zip((first, second, *others), (0.6, 0.2, 0.1, 0.06, 0.04), strict=True)
        return Prediction(
            category=first,
            category_probability=0.6,
            scheme=scheme,
            scheme_probability=0.5,
            scheme_sure=True,
            needs_review=False,
            review_reason=None,
            ranked=tuple(shares),
            model=self.manifest.version,
            taxonomy=self.manifest.taxonomy,
        )


class ColumnsClassifier(FakeClassifier):
    """Says `fake_loan`, .6, of every text in a buffer, at once."""

    def classify_utf8(self, content: Any, starts: np.ndarray) -> Answers:
        """As many answers as there are texts."""
        n = len(starts) - 1
        category = self.taxonomy.category_ids.index("fake_loan")
        scheme = self.taxonomy.category_index.index(category)
        return Answers(
            np.full(n, category),
            np.full(n, 0.6, np.float32),
            np.full(n, scheme),
            np.full(n, 0.5, np.float32),
            np.full(n, True),
            np.zeros(n, np.int8),
        )
