"""One source flips 5 % of a category: what that does to every category, `python -m benchmarks.prove_poison`.

A quarter of the own corpus plays the reviews of six sources; one of them gives reports of a category the
label of another, as many as 5 % of all reports of that category. Every report is tested by a fit without
its batch, which sees the clean rows, the poisoned ones, or what the quarantine leaves of those.
Writes `benchmarks/prove_poison.json`.
"""

import argparse
import json
import os
import platform
import random
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from model import fold, taxonomy
from training import collect, corpora, cues, evaluate, fit, heldout, quarantine, train, words
from training.collect import Row
from training.corpora import Example

RESULT = Path(__file__).with_suffix(".json")
SHARE, REVIEWED, SOURCES, FOLDS = 0.05, 0.25, 6, 3
ATTACKS = (("romance", "fake_investment"), ("fake_loan", "not_fraud"), ("part_time_job", "*"))
MOST_FALL = 0.01
SETTINGS = fit.Settings(copies=0, steps=80)


class Lab:
    """The corpus, its vocabulary, and fits of parts of it."""

    def __init__(self, rows: int | None) -> None:
        self.tree = taxonomy.load()
        known = corpora.fit_examples([corpora.listed()["own"]], self.tree)
        known = random.Random(0).sample(known, min(rows or len(known), len(known)))
        self.table = fold.make()
        self.stuff = train.material(known, self.tree, SETTINGS, FOLDS)
        self.vocabulary = words.make([e.text for e in self.stuff.examples], self.table)
        chance = random.Random(1)
        self.reviewed = [
            i for i in range(len(known)) if chance.random() < REVIEWED
        ]  # the others are the corpus
        self.source = {i: f"source {chance.randrange(SOURCES)}" for i in self.reviewed}

    def answers(self, examples: dict[int, Example], inside: np.ndarray, asked: np.ndarray) -> list[str]:
        """Categories of the rows `asked` by a fit of the rows `inside`, as these examples label them."""
        ids, index = list(self.tree.scheme_ids), np.array(self.tree.category_index)
        rows = [examples[i] for i in inside]
        targets = np.array([ids.index(str(e.scheme)) for e in rows])
        texts = [e.text for e in rows] + [cue for cue, _ in cues.listed(self.tree)]
        targets = np.append(targets, [column for _, column in cues.listed(self.tree)])
        batches = [e.batch for e in rows] + ["taxonomy"] * (len(texts) - len(rows))
        weights = np.append(np.ones(len(rows)), np.full(len(texts) - len(rows), SETTINGS.cue_weight))
        fitted = fit.fit(
            texts, targets, batches, weights, index, self.table, self.vocabulary, SETTINGS
        )  # fmt: skip
        seen = words.emit([self.stuff.examples[i].text for i in asked], self.table, self.vocabulary.table())
        return [category for category, _ in heldout.answers(fitted.scores(seen), 1.0, self.tree)]

    def f1(self, examples: dict[int, Example]) -> dict[str, float]:
        """F1 of every category, each row tested by a fit of the others' batches."""
        true: list[str] = []
        given: list[str] = []
        for k in range(FOLDS):
            asked = np.flatnonzero(self.stuff.folds == k)
            inside = np.array([i for i in sorted(examples) if self.stuff.folds[i] != k])
            answers = self.answers(examples, inside, asked)
            true += evaluate.truths([self.stuff.examples[i] for i in asked], answers, True)
            given += answers
        return evaluate.f1_by_category(true, given)

    def attack(self, category: str, other: str) -> dict[int, Example]:
        """All rows, some of one source with another category's label."""
        rows = dict(enumerate(self.stuff.examples))
        mine = [i for i in self.reviewed if rows[i].category == category]
        wanted = round(SHARE * sum(e.category == category for e in rows.values()))
        chance = random.Random(2)
        chance.shuffle(mine)
        for i in mine[:wanted]:  # the source that attacks also sends these
            self.source[i] = "source 0"
            names = [c for c in self.tree.category_ids if c != category] if other == "*" else [other]
            chosen = chance.choice(names)
            target = next(c for c in self.tree.categories if c.id == chosen)
            rows[i] = replace(
                rows[i], category=target.id, scheme=chance.choice(target.schemes).id, second=None
            )
        return rows


def main() -> None:
    """Run all attacks and write what they did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="only so many of the corpus, for a try")
    parser.add_argument(
        "--only", nargs="+", help="categories whose attack is run; of the others the file stays"
    )
    options = parser.parse_args()
    lab = Lab(options.rows)
    whole = dict(enumerate(lab.stuff.examples))
    clean = lab.f1(whole)
    base = np.array([i for i in whole if i not in set(lab.reviewed)])
    answered = dict(zip(lab.reviewed, lab.answers(whole, base, np.array(lab.reviewed)), strict=True))
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rows": len(whole),
        "reviews": len(lab.reviewed),
        "most_fall_allowed": MOST_FALL,
        "attacks": [],
    }
    if options.only:
        result = json.loads(RESULT.read_text("utf-8"))
    usual = dict(lab.source)
    for category, other in ATTACKS:
        if options.only and category not in options.only:
            continue
        lab.source = dict(usual)
        poisoned = lab.attack(category, other)
        flipped = {i for i in whole if poisoned[i] != whole[i]}
        reviews = [
            Row(poisoned[i], str(i), "reviews", lab.source[i], collect.key(poisoned[i].text), True)
            for i in lab.reviewed
        ]
        held = {int(h.row.where) for h in quarantine.judge(reviews, [answered[i] for i in lab.reviewed])}
        left = {i: e for i, e in poisoned.items() if i not in held}
        found = {"none": lab.f1(poisoned), "quarantine": lab.f1(left)}
        falls = {
            name: dict(Counter({c: clean[c] - f1.get(c, 0.0) for c in clean}).most_common(3))
            for name, f1 in found.items()
        }
        result["attacks"].append({
            "date": date.today().isoformat(), "from": category, "to": other,
            "flipped": len(flipped), "held": len(held), "flipped_and_held": len(flipped & held),
            "largest_falls_of_f1": falls, "passed": max(falls["quarantine"].values()) <= MOST_FALL,
        })  # fmt: skip
        print(json.dumps(result["attacks"][-1]), flush=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
