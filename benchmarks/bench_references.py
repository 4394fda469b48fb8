"""What `make bench` is measured against, fitted on the same training data as the shipped model."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.compare import _spaced

STEPS = 5  # of the fit: what it learns does not change how long an answer takes


def scikit_learn(texts: Sequence[str], categories: Sequence[str]) -> Callable[[Sequence[str]], Any]:
    """`TfidfVectorizer(char, 1-4)` and `LogisticRegression`, all n-grams kept; answers categories."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True),
        # This solver needs no copies of the weights, of which there are 30 million.
        LogisticRegression(solver="sag", max_iter=STEPS, tol=1e-2),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(texts, categories)
    answer: Callable[[Sequence[str]], Any] = pipeline.predict
    return answer


def fasttext(texts: Sequence[str], categories: Sequence[str]) -> Callable[[Sequence[str]], Any]:
    """fastText with 10 dimensions and n-grams of 4 tokens; answers texts that are `spaced`.

    Raises ImportError where it is not installed.
    """
    import fasttext as library

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        lines = [f"__label__{c} {t}\n" for c, t in zip(categories, spaced(texts), strict=True)]
        path.write_text("".join(lines), "utf-8")
        found = library.train_supervised(
            str(path), dim=10, wordNgrams=4, epoch=STEPS, lr=0.5, thread=1, verbose=0
        )
    # What its own `predict` calls for many texts, without the check for line ends that it makes first.
    return lambda lines: found.f.multilinePredict(lines, 1, 0.0, "strict")


def spaced(texts: Sequence[str]) -> list[str]:
    """Texts as fastText reads them: a line each, tokens set apart."""
    return [_spaced(text) for text in texts]
