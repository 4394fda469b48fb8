"""Check: which rows are for the fit and which are frozen for the test, so that no text is on both sides.

A frozen text stays frozen in every later run: its hash is kept beside the models.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training import alike
from training.collect import Row
from training.corpora import CorpusError, Example

FROZEN = 0.2  # share of the rows that is only ever for the test
MOST_FROZEN = 20_000
LARGEST_UNIT = 0.25  # of all rows: a larger group is never frozen, or nothing would be left to fit
GREW = 2.0  # times the share of the last run at which a category's change is told


@dataclass(frozen=True)
class Checked:
    """Rows to fit, each with a batch; their near-duplicate groups; the frozen rows by corpus."""

    rows: list[Row]
    groups: np.ndarray  # int64 (n_rows,)
    frozen: dict[str, list[Row]]
    report: dict[str, Any]


def check(
    found: Sequence[Row],
    measured: Mapping[str, Sequence[Example]],
    whole: Collection[str] = (),
    known_frozen: Collection[str] = (),
    last: Mapping[str, Any] | None = None,
) -> Checked:
    """Split rows (no text twice) into fit and test.

    Nothing of the corpora `whole` is frozen. A row of the fit that nearly equals a row of a test set is
    left out. Raises CorpusError where no two categories are left to tell apart.
    """
    found = sorted(found, key=lambda row: row.key)  # the order of the input does not matter
    texts = [row.example.text for row in found]
    texts += [example.text for rows in measured.values() for example in rows]
    groups = alike.groups(texts)
    own = groups[: len(found)]
    units = _units(found, own)
    test = _freeze(found, units, whole, set(known_frozen))
    tested = {*groups[len(found) :].tolist(), *own[test].tolist()}
    leak = np.array([group in tested for group in own.tolist()], bool) & ~test
    fit = np.flatnonzero(~test & ~leak)
    rows = [
        replace(found[i], example=replace(found[i].example, batch=found[i].example.batch or units[i]))
        for i in fit
    ]
    frozen: dict[str, list[Row]] = {}
    for i in np.flatnonzero(test):
        frozen.setdefault(found[i].corpus, []).append(found[i])
    counts = Counter(row.example.category for row in rows)
    if len(counts) < 2:
        raise CorpusError([f"the corpora hold {len(counts)} categories to fit; a model tells two apart"])
    report = {
        "rows": len(found),
        "fit": len(rows),
        "frozen": {name: len(part) for name, part in frozen.items()},
        "left_out_as_near_a_test_row": int(leak.sum()),
        "near_duplicates": int((own != np.arange(len(own))).sum()),
        "largest_group": max(Counter(own.tolist()).values(), default=0),
        "batches": len({row.example.batch for row in rows}),
        "categories": dict(sorted(counts.items())),
        "languages": dict(sorted(Counter(row.example.language for row in rows).items())),
    }
    report["changes"] = _changes(report, last) if last else []
    return Checked(rows, own[fit], frozen, report)


def _units(found: Sequence[Row], groups: np.ndarray) -> list[str]:
    """What never straddles a split: the batch that was named, else the near-duplicate group."""
    first: dict[int, str] = {}
    for row, group in zip(found, groups.tolist(), strict=True):
        first.setdefault(group, row.key)
    return [
        row.example.batch or f"{row.corpus}~{first[group]}"
        for row, group in zip(found, groups.tolist(), strict=True)
    ]


def _freeze(
    found: Sequence[Row], units: Sequence[str], whole: Collection[str], known: Collection[str]
) -> np.ndarray:
    """Which rows are for the test, bool (n_rows,): what was, then whole units up to a share a label."""
    open_rows = [i for i, row in enumerate(found) if row.corpus not in whole]
    share = min(FROZEN, MOST_FROZEN / max(1, len(open_rows)))
    label = [row.example.scheme or row.example.category for row in found]
    need = {name: round(share * n) for name, n in Counter(label[i] for i in open_rows).items()}
    members: dict[str, list[int]] = {}
    for i in open_rows:
        members.setdefault(units[i], []).append(i)
    test = np.zeros(len(found), bool)
    order = sorted(members, key=lambda unit: hashlib.sha256(unit.encode()).digest())
    order.sort(key=lambda unit: not any(found[i].key in known for i in members[unit]))
    for unit in order:
        rows = members[unit]
        counts = Counter(label[i] for i in rows)
        wanted = sum(min(need[name], n) for name, n in counts.items())
        before = any(found[i].key in known for i in rows)
        if before or (2 * wanted > len(rows) and len(rows) <= max(1, LARGEST_UNIT * len(found))):
            test[rows] = True
            need.update({name: max(0, need[name] - n) for name, n in counts.items()})
    return test


def _changes(report: Mapping[str, Any], last: Mapping[str, Any]) -> list[str]:
    """What is new, gone, or has another share than in the last run."""
    found = [f"{report['fit']} rows to fit, {last['fit']} in the last run"]
    for kind in ("categories", "languages"):
        now, before = report[kind], last[kind]
        for name in sorted({*now, *before}):
            if name not in before or name not in now:
                found.append(f"{name}: {'new' if name in now else 'gone'}")
                continue
            ratio = (now[name] / report["fit"]) / (before[name] / last["fit"])
            if not 1 / GREW < ratio < GREW:
                found.append(f"{name}: its share is {ratio:.1f} times that of the last run")
    return found
