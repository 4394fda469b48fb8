"""Decisions of a person about rows: kept, dropped, or given another category or scheme.

They stand beside the models in `decisions.jsonl`, by the key of the text, and every later run obeys them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from model.taxonomy import Taxonomy
from training.collect import Row
from training.corpora import CorpusError

FILE = "decisions.jsonl"
KEEP, DROP = "keep", "drop"


def load(path: Path, taxonomy: Taxonomy | None = None) -> dict[str, str]:
    """Decisions by key; {} where there is no file. Raises CorpusError with every fault by its line."""
    known, faults = {}, []
    allowed = {KEEP, DROP, *(taxonomy.category_ids + taxonomy.scheme_ids if taxonomy else ())}
    for number, line in enumerate(path.read_text("utf-8").splitlines() if path.is_file() else [], 1):
        try:
            row = json.loads(line)
            key, decision = str(row["key"]), str(row["decision"])
            int(key, 16)
        except (ValueError, KeyError, TypeError):
            faults.append(f'{path.name}:{number}: is not {{"key": …, "decision": …}}')
            continue
        if taxonomy and decision not in allowed:
            faults.append(
                f"{path.name}:{number}: {decision[:40]!r} is neither keep, drop, a category nor a scheme"
            )
        known[key] = decision
    if faults:
        raise CorpusError(faults)
    return known


def add(source: Path, target: Path, taxonomy: Taxonomy) -> int:
    """Take the decisions of a file into those that runs obey; the newer one holds. How many."""
    fresh = load(source, taxonomy)
    if not source.is_file():
        raise CorpusError([f"{source}: is not here"])
    known = load(target) | fresh
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + ".new")
    lines = [json.dumps({"key": key, "decision": known[key]}) + "\n" for key in sorted(known)]
    beside.write_text("".join(lines), "utf-8")
    beside.replace(target)
    return len(fresh)


def apply(rows: Sequence[Row], known: Mapping[str, str], taxonomy: Taxonomy) -> list[Row]:
    """Rows as the decisions leave them; what names an id that the taxonomy no longer has is as before."""
    home = {
        scheme: taxonomy.category_ids[at]
        for scheme, at in zip(taxonomy.scheme_ids, taxonomy.category_index, strict=True)
    }
    found = []
    for row in rows:
        decision = known.get(row.key, KEEP)
        if decision in home:
            row = replace(row, example=replace(row.example, category=home[decision], scheme=decision))
        elif decision in taxonomy.category_ids:
            row = replace(row, example=replace(row.example, category=decision, scheme=None))
        if decision != DROP:
            found.append(row)
    return found
