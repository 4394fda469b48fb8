"""Quarantine: reviews that are kept out of a fit by rule, until a person has looked at them.

One hand (a reviewer, or a source of reports) must not be able to turn the model. The rules compare
hands with each other and with what the current model answers; no rule reads a text.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import binom

from training import alike
from training.collect import Row

MOST_SHARE = 0.5  # of a category's reviews that one hand may give
LEAST_HANDS, LEAST_ROWS = 3, 20  # below which shares say nothing
MOST_A_DAY = 600  # decisions of one reviewer; more is not reading
LEAST_FLIPS = 5
CHANCE = 1e-3  # of so many flips if the hand were like the others, over all that is tested
LEAST_RATE = 0.02  # of flips that any honest hand may have


@dataclass(frozen=True)
class Held:
    """A review that is kept out: which, by what rule, and why."""

    row: Row
    rule: str
    message: str


def judge(reviews: Sequence[Row], answers: Sequence[str]) -> list[Held]:
    """The reviews to keep out, each once; `answers` are the categories the current model gives them."""
    held: dict[int, Held] = {}
    for rule in (_pace, _disagreement, _flips, _crowd):
        left = [i for i in range(len(reviews)) if i not in held]
        for at, message in rule([reviews[i] for i in left], [answers[i] for i in left]):
            held.setdefault(left[at], Held(reviews[left[at]], rule.__name__[1:], message))
    return [held[i] for i in sorted(held)]


Found = list[tuple[int, str]]  # indices of rows, and why


def _pace(rows: Sequence[Row], answers: Sequence[str]) -> Found:
    days = Counter((row.reviewer, row.day) for row in rows if row.reviewer and row.day)
    return [
        (i, f"one of {days[row.reviewer, row.day]} decisions of {row.reviewer} on {row.day}")
        for i, row in enumerate(rows)
        if days[row.reviewer, row.day] > MOST_A_DAY
    ]


def _disagreement(rows: Sequence[Row], answers: Sequence[str]) -> Found:
    """Two other reviewers agree on another category for nearly the same text."""
    said: dict[int, dict[str, set[str]]] = {}
    groups = alike.groups([row.example.text for row in rows]).tolist()
    for row, group in zip(rows, groups, strict=True):
        if row.reviewer:
            said.setdefault(group, {}).setdefault(row.example.category, set()).add(row.reviewer)
    found = []
    for i, (row, group) in enumerate(zip(rows, groups, strict=True)):
        for category, reviewers in said.get(group, {}).items():
            others = reviewers - {row.reviewer}
            mine = said[group].get(row.example.category, set())
            if category != row.example.category and len(others) >= max(2, len(mine)):
                found.append((i, f"{len(others)} other reviewers say {category}"))
                break
    return found


def _flips(rows: Sequence[Row], answers: Sequence[str]) -> Found:
    """A hand turns one category into others far more often than the other hands do."""
    found: Found = []
    for kind, name in _hands():
        asked: Counter[tuple[str, str]] = Counter()
        flips: Counter[tuple[str, str, str]] = Counter()
        for row, answer in zip(rows, answers, strict=True):
            asked[name(row), answer] += 1
            if row.example.category != answer:
                flips[name(row), answer, row.example.category] += 1
                flips[name(row), answer, "*"] += 1
        totals, all_flips = Counter[str](), Counter[tuple[str, str]]()
        for (_, answer), n in asked.items():
            totals[answer] += n
        for (_, answer, given), n in flips.items():
            all_flips[answer, given] += n
        for (hand, answer, given), n in sorted(flips.items()):
            others = totals[answer] - asked[hand, answer]
            if n < LEAST_FLIPS or others < LEAST_ROWS or not hand:
                continue
            usual = max(LEAST_RATE, (all_flips[answer, given] - n + 1) / (others + 2))
            if binom.sf(n - 1, asked[hand, answer], usual) * len(flips) < CHANCE:
                message = f"{kind} {hand} turns {n} of {asked[hand, answer]} {answer}, others {usual:.0%}"
                found += [
                    (i, message)
                    for i, (row, said) in enumerate(zip(rows, answers, strict=True))
                    if name(row) == hand and said == answer
                    and row.example.category != answer and given in ("*", row.example.category)
                ]  # fmt: skip
    return found


def _crowd(rows: Sequence[Row], answers: Sequence[str]) -> Found:
    """One hand gives more than half of a category: what is beyond the others' number stays out."""
    found: Found = []
    for kind, name in _hands():
        if len({name(row) for row in rows}) < LEAST_HANDS:
            continue
        totals = Counter(row.example.category for row in rows)
        given = Counter((row.example.category, name(row)) for row in rows)
        kept: Counter[tuple[str, str]] = Counter()
        for i in sorted(range(len(rows)), key=lambda i: rows[i].key):
            category, hand = rows[i].example.category, name(rows[i])
            n, total = given[category, hand], totals[category]
            if n <= MOST_SHARE * total:
                continue
            kept[category, hand] += 1
            if kept[category, hand] > max(total - n, LEAST_ROWS):
                found.append((i, f"{kind} {hand} gives {n} of {total} reviews of {category}"))
    return found


def _hands() -> tuple[tuple[str, Callable[[Row], str]], ...]:
    return ("reviewer", lambda row: row.reviewer), ("source", lambda row: row.source)
