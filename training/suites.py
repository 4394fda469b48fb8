"""Suites beside the measured sets: evasion, false alarms, evidence, texts that cannot be read."""

import random
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.classifier import Classifier
from training import calibrate, evade, evaluate, words
from training.corpora import Example

N_GIBBERISH = 200  # texts of each made kind
N_DELETED = 5  # words taken out of each report to see what the evidence is worth
N_COMMON = 3000  # Chinese characters they are made of, the most frequent ones


def evasion(classifier: Classifier, measured: dict[str, list[Example]]) -> dict[str, dict[str, float]]:
    """How much macro-F1 (second allowed) falls by language when the measured texts are disguised."""
    pools: dict[str, list[Example]] = {}
    for examples in measured.values():
        for example in examples:
            pools.setdefault(example.language, []).append(example)
    ways = {**evade.EVASIONS, "all combined": evade.all_combined}
    found: dict[str, dict[str, float]] = {name: {} for name in ways}
    for language, examples in pools.items():
        names = evaluate.large_enough(examples)
        plain = _macro(classifier, examples, [e.text for e in examples], names)
        for name, way in ways.items():
            texts = [way(e.text, random.Random(f"{name}:{e.id}")) for e in examples]
            found[name][language] = plain - _macro(classifier, examples, texts, names)
    return found


def _macro(
    classifier: Classifier, examples: Sequence[Example], texts: Sequence[str], names: Sequence[str]
) -> float:
    answers = [p.category for p in classifier.classify(texts)]
    return evaluate.macro_f1(examples, answers, True, names)


def false_alarms(classifier: Classifier, examples: Sequence[Example]) -> dict[str, float]:
    """Share of harmless messages called a fraud: as the most probable category, and without review."""
    predictions = classifier.classify([e.text for e in examples])
    wrong = [p for p in predictions if p.category != calibrate.HARMLESS]
    return {
        "rows": len(examples),
        "called_fraud": len(wrong) / len(examples),
        "answered_fraud": sum(not p.needs_review for p in wrong) / len(examples),
    }


def deletions(classifier: Classifier, measured: dict[str, list[Example]]) -> dict[str, dict[str, float]]:
    """What deleting words does to the answer, by language: the strongest N_DELETED or as many others.

    `fall_...` is the mean fall of the answered category's probability, `changed_...` the share of
    reports that get another category.
    """
    found = {}
    for language in sorted({e.language for examples in measured.values() for e in examples}):
        texts = [e.text for examples in measured.values() for e in examples if e.language == language]
        chances = classifier.category_probabilities(texts)
        rows, best = np.arange(len(texts)), chances.argmax(axis=1)
        chance = random.Random(0)
        without: dict[str, list[str]] = {"strongest": [], "random": []}
        for text in texts:
            words_of = classifier.explain(text)
            strongest = words_of.strongest(N_DELETED)
            others = chance.sample(words_of, min(len(strongest), len(words_of)))
            for name, chosen in (("strongest", strongest), ("random", others)):
                left = list(text)
                for word in chosen:
                    left[word.start : word.end] = " " * (word.end - word.start)
                without[name].append("".join(left))
        after = {name: classifier.category_probabilities(left) for name, left in without.items()}
        found[language] = {
            "rows": len(texts),
            **{f"fall_{n}": float((chances - a)[rows, best].mean()) for n, a in after.items()},
            **{f"changed_{n}": float((a.argmax(axis=1) != best).mean()) for n, a in after.items()},
        }
    return found


def strangers(classifier: Classifier) -> dict[str, dict[str, float]]:
    """Texts that cannot be read, by the reason that must be given: share that gets it, and how many.

    `safe` is the share that at least needs review; none of them may be a sure answer.
    """
    lists = tomllib.loads(Path(__file__).with_name("strangers.toml").read_text("utf-8"))
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    common = words.common_characters(N_COMMON)
    chinese = ["".join(chance.choices(common, k=chance.randint(11, 60))) for _ in range(N_GIBBERISH)]
    repeated = [chance.choice(common) * chance.randint(11, 40) for _ in range(N_GIBBERISH)]
    digits = [str(chance.randrange(10**10, 10**18)) for _ in range(N_GIBBERISH)]
    gibberish = [
        " ".join("".join(chance.choices(letters, k=chance.randint(4, 10))) for _ in range(12))
        for _ in range(N_GIBBERISH)
    ]
    urls = [
        f"https://{''.join(chance.choices(letters, k=8))}.{chance.choice(['top', 'xyz', 'com', 'cc'])}/"
        f"{''.join(chance.choices(letters + '0123456789', k=6))}"
        for _ in range(N_GIBBERISH)
    ]
    mails = [
        f"{''.join(chance.choices(letters, k=7))}@{chance.choice(['gmail', 'outlook', 'qq'])}.com"
        for _ in range(N_GIBBERISH)
    ]
    found = {}
    for name, reason, texts in (
        ("other language", "other_language", lists["other_language"]),
        ("10 characters or fewer", "too_short", lists["too_short"]),
        ("gibberish", "unknown_words", gibberish),
        ("Chinese characters by chance", "unknown_words", chinese),
        ("one Chinese character again and again", "unknown_words", repeated),
        ("digits", "unknown_words", digits),
        ("a lone web address", "unknown_words", urls),
        ("a lone mail address", "unknown_words", mails),
    ):
        predictions = classifier.classify(texts)
        found[name] = {
            "rows": len(texts),
            "right_reason": float(np.mean([p.review_reason == reason for p in predictions])),
            "safe": float(np.mean([p.needs_review for p in predictions])),
        }
    return found


def report(
    classifier: Classifier, measured: dict[str, list[Example]], messages: dict[str, list[Example]]
) -> dict[str, Any]:
    """All suites of one model."""
    return {
        "evasion": evasion(classifier, measured),
        "false_alarms": {name: false_alarms(classifier, rows) for name, rows in messages.items()},
        "deletions": deletions(classifier, measured),
        "strangers": strangers(classifier),
    }
