"""The rows of `make bench` that need no other process: from texts in memory to answers."""

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import model
from benchmarks import bench_references, bench_texts
from benchmarks.bench_apart import in_turns
from model import taxonomy
from training import corpora, evaluate
from training.corpora import Example

LENGTHS = (20, 60, 200, 600, 2_000, 6_000, 20_000)  # characters
BATCH = 8_192  # texts at a time


def rates(path: Path, rounds: int, slow: int, every: int = 1) -> dict[str, float]:
    """Reports a second of our paths and of the references, in turns on one core.

    The references answer the first texts only: `slow` of them scikit-learn, fastText ten times as
    many; both are fitted on the own corpus, or on one in `every` of its examples.
    """
    classifier = model.load()
    column = bench_texts.read(path)["text"].combine_chunks()
    texts: list[str] = column.to_pylist()
    known = [e for examples in bench_texts.own().values() for e in examples[::every]]
    training = [e.text for e in known], [e.category for e in known]
    pipeline = bench_references.scikit_learn(*training)
    works = {
        "categories": (len(texts), lambda: in_batches(classifier.categories, texts)),
        "classify": (len(texts), lambda: in_batches(classifier.classify, texts)),
        "arrow": (len(texts), lambda: from_arrow(classifier, column)),
        "scikit_learn": (slow, lambda: pipeline(texts[:slow])),
    }
    try:
        other = bench_references.fasttext(*training)
    except ImportError:
        pass
    else:
        lines = bench_references.spaced(texts[: 10 * slow])
        works["fasttext"] = (len(lines), lambda: other(lines))
    classifier.classify(texts[:100])
    from_arrow(classifier, column.slice(0, 100))
    seconds = in_turns(rounds, {name: work for name, (_, work) in works.items()})
    return {name: n / seconds[name] for name, (n, _) in works.items()}


def in_batches(answer: Any, texts: list[str]) -> None:
    """Answers so many texts at a time as a caller with a stream of them would."""
    for at in range(0, len(texts), BATCH):
        answer(texts[at : at + BATCH])


def one_by_one(answer: Any, texts: list[str]) -> None:
    """Answers each text and forgets what was said."""
    for text in texts:
        answer(text)


def from_arrow(classifier: model.Classifier, column: pa.LargeStringArray) -> None:
    """Answers an Arrow column from its buffers."""
    starts = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    content = column.buffers()[2]
    for at in range(0, len(column), BATCH):
        classifier.categories_utf8(content, starts[at : at + BATCH + 1])


def lengths(path: Path, rounds: int, characters: int) -> dict[str, float]:
    """Nanoseconds a character of `categories` for texts of each length, so many characters in all."""
    classifier = model.load()
    whole = " ".join(bench_texts.read(path, 20_000)["text"].to_pylist())
    whole = (whole * -(-characters // len(whole)))[:characters]
    cut = {
        str(n): [whole[at : at + n] for at in range(0, characters - n + 1, n)]
        for n in LENGTHS
        if n <= characters
    }
    classifier.categories(cut["20"][:100])
    seconds = in_turns(
        rounds, {n: lambda texts=texts: in_batches(classifier.categories, texts) for n, texts in cut.items()}
    )
    return {n: seconds[n] * 1e9 / sum(map(len, cut[n])) for n in cut}


def evidence(path: Path, rounds: int, count: int) -> dict[str, float]:
    """Microseconds of a text classified alone, and of one explained.

    Nothing is kept, as no service keeps it: thousands of explanations would be a matter of the garbage
    collector.
    """
    classifier = model.load()
    texts = bench_texts.read(path, count)["text"].to_pylist()
    for text in texts[:10]:
        classifier.classify([text])
        classifier.explain(text)
    works = {
        "classify": lambda: one_by_one(lambda text: classifier.classify([text]), texts),
        "explain": lambda: one_by_one(classifier.explain, texts),
    }
    return {name: s * 1e6 / len(texts) for name, s in in_turns(rounds, works).items()}


def loading(rounds: int) -> dict[str, float]:
    """Milliseconds to load the shipped model: the first time in a process, and the median of others.

    The first time numba begins to work, too.
    """
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        model.load()
        times.append((time.perf_counter() - began) * 1e3)
    return {"first": times[0], "median": statistics.median(times[1:])}


def measured(most: int | None = None) -> Iterator[tuple[str, list[Example]]]:
    """Each set of reports that is for measuring and is here, by name."""
    for corpus in corpora.listed().values():
        if corpus.use == "measure" and corpus.is_here and not corpus.label:
            yield corpus.name, corpora.read(corpus, taxonomy.load())[:most]


def macro_f1(examples: Sequence[Example], answers: Sequence[str]) -> float:
    """Second category allowed, over the categories with enough rows."""
    return evaluate.macro_f1(examples, answers, True, evaluate.large_enough(examples))


def accuracy(most: int | None) -> dict[str, float]:
    """Macro-F1 of the shipped model on each set that is for measuring and is here."""
    classifier = model.load()
    found = {}
    for name, examples in measured(most):
        answers = [said.category for said in classifier.classify([e.text for e in examples])]
        found[name] = macro_f1(examples, answers)
    return found
