"""Collect: rows of every corpus with their labels understood, and what is wrong with the others.

Nothing here stops a run but a share of bad rows that is too large; what is left out is named by file
and line, and never with its words.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model.taxonomy import Taxonomy
from model.text import FAULTS, fault
from training import corpora
from training.corpora import Corpus, CorpusError, Example
from training.tables import Fault, rows

__all__ = ["Fault", "Row", "conflicts", "gather", "key", "read"]
MOST_BAD = 0.02  # share of a corpus's rows that may be bad
SHOWN = 40  # characters of a label in a message


@dataclass(frozen=True, slots=True)
class Row:
    """An example with where it comes from. `key` is a hash of its bare text, 16 hexadecimal digits."""

    example: Example
    where: str
    corpus: str
    source: str
    key: str
    review: bool = False  # a reviewer's decision, and so less trusted than a corpus
    reviewer: str = ""
    day: str = ""
    group: str = ""  # campaign of a review, as the desk named it


def key(text: str) -> str:
    """The name under which a text is known: a hash that spaces, marks and case do not change."""
    return hashlib.sha256(corpora.bare(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def place(fault: Fault) -> tuple[str, int]:
    """File and line of a fault, to sort by."""
    name, _, line = fault.where.rpartition(":")
    return name, int(line)


class _Labels:
    """What a label means: through the crosswalk, or as an id of the taxonomy."""

    def __init__(self, corpus: Corpus, taxonomy: Taxonomy) -> None:
        if corpus.crosswalk and corpus.crosswalk not in taxonomy.crosswalks:
            raise CorpusError([
                f"corpus {corpus.name!r}: the taxonomy has no crosswalk {corpus.crosswalk!r}, only "
                f"{', '.join(sorted(taxonomy.crosswalks))}"
            ])  # fmt: skip
        self._walk = taxonomy.crosswalks[corpus.crosswalk].labels if corpus.crosswalk else {}
        self._categories = set(taxonomy.category_ids)
        self._home = {
            scheme: taxonomy.category_ids[at]
            for scheme, at in zip(taxonomy.scheme_ids, taxonomy.category_index, strict=True)
        }

    def __call__(self, label: object) -> tuple[str, str | None] | str:
        """(category, scheme or None), or what is wrong."""
        name = str(label).strip() if label is not None else ""
        if not name:
            return "has no label"
        if target := self._walk.get(name):
            return (target.category, target.scheme) if target.category else "its label goes nowhere"
        if name in self._home:
            return self._home[name], name
        if name in self._categories:
            return name, None
        shown = repr(name) if len(name) <= SHOWN else f"of {len(name)} characters"
        return f"unknown label {shown}"

    def house(self, row: Mapping[str, Any]) -> tuple[str, str | None] | str:
        """The same from the fields "scheme" and "category"."""
        scheme, category = row.get("scheme"), row.get("category")
        if scheme is None and category not in self._categories and category not in self._walk:
            return f"unknown category {str(category)[:SHOWN]!r}"
        found = self(scheme if scheme is not None else category)
        return found if not isinstance(found, str) else f"unknown scheme {str(scheme)[:SHOWN]!r}"


def read(corpus: Corpus, taxonomy: Taxonomy) -> tuple[list[Row], list[Fault]]:
    """Rows of a corpus and the faults of the others. Raises CorpusError for a corpus as a whole."""
    files = corpus.files()
    if missing := [path.name for path in files if not path.is_file()]:
        raise CorpusError([f"corpus {corpus.name!r}: {', '.join(missing)} is not here"])
    if corpus.sha256 and corpus.sha256 != corpora.digest(files):
        raise CorpusError([f"corpus {corpus.name!r}: has another sha256 than corpora.toml names"])
    labels = _Labels(corpus, taxonomy)
    found: list[Row] = []
    faults: list[Fault] = []
    for path in files:
        columns_checked = False
        for where, row in rows(path, corpus.encoding):
            if isinstance(row, Fault):
                faults.append(row)
                continue
            if not columns_checked and path.suffix != ".jsonl":
                _check_columns(corpus, path.name, row)
                columns_checked = True
            if corpus.label and row.get("label") != corpus.label:
                continue
            one = _row(corpus, labels, where, row, set(taxonomy.category_ids))
            if isinstance(one, Fault):
                faults.append(one)
            else:
                found.append(one)
    return found, faults


def _check_columns(corpus: Corpus, name: str, row: Mapping[str, Any]) -> None:
    wanted = [corpus.text_column, *([corpus.label_column] if corpus.label_column else [])]
    if missing := [column for column in wanted if column not in row]:
        raise CorpusError([f"{name}: has no column {missing}; its columns are {', '.join(map(str, row))}"])


def _row(
    corpus: Corpus, labels: _Labels, where: str, row: Mapping[str, Any], categories: set[str]
) -> Row | Fault:
    text = row.get(corpus.text_column)
    if wrong := fault(text):
        return Fault(where, wrong, FAULTS[wrong])
    text = str(text)
    if corpus.category:
        meant: tuple[str, str | None] | str = (corpus.category, row.get("scheme"))
    elif corpus.label_column:
        meant = labels(row.get(corpus.label_column))
    else:
        meant = labels.house(row)
    if isinstance(meant, str):
        return Fault(where, "label", meant)
    second = row.get("second", row.get("second_category"))
    if second is not None and second not in categories:
        return Fault(where, "label", "unknown second category")
    name = row.get(corpus.id_column)
    batch = row.get(corpus.group_column)
    example = Example(
        str(name) if name not in (None, "") else where, text, *meant, second,
        row.get("language") or corpus.language or corpora.language_of(text),
        row.get("script") or "", row.get("voice") or "", "" if batch is None else str(batch),
    )  # fmt: skip
    source = str(row.get(corpus.source_column) or corpus.name)
    if not corpus.reviews:
        return Row(example, where, corpus.name, source, key(text))
    said = [str(row.get(column) or "") for column in ("reviewer", "created_at", "group")]
    return Row(example, where, corpus.name, source, key(text), True, said[0], said[1][:10], said[2])


def gather(
    listed: Iterable[Corpus], taxonomy: Taxonomy, most_bad: float = MOST_BAD
) -> tuple[list[Row], list[Fault], list[dict[str, Any]]]:
    """Rows of all corpora for a fit, faults, and what each corpus is. Conflicts are faults too.

    Refuses a corpus for measuring only, and one with too many bad rows; all reasons at once.
    """
    found: list[Row] = []
    faults: list[Fault] = []
    about, refusals = [], corpora.refusals(listed := list(listed))
    for corpus in listed if not refusals else []:
        fresh, wrong = read(corpus, taxonomy)
        total = len(fresh) + len(wrong)
        about.append({
            "name": corpus.name, "licence": corpus.licence, "origin": corpus.origin,
            "sha256": corpora.digest(corpus.files()), "rows": len(fresh), "bad": len(wrong),
        })  # fmt: skip
        if len(wrong) > most_bad * total or not (fresh or corpus.reviews):
            refusals += [str(fault) for fault in wrong]
            refusals.append(
                f"corpus {corpus.name!r}: {len(wrong)} of {total} rows are bad, at most {most_bad:.1%} may "
                "be; mend them, or allow more with --most-bad"
            )
        faults += wrong
        several = len(listed) > 1
        found += [replace(row, example=_named(row.example, corpus.name)) if several else row for row in fresh]
    if refusals:
        raise CorpusError(refusals)
    return found, faults, about


def _named(example: Example, corpus: str) -> Example:
    """Ids and batches of two corpora never mean the same."""
    batch = f"{corpus}:{example.batch}" if example.batch else ""
    return replace(example, id=f"{corpus}:{example.id}", batch=batch)


def conflicts(found: Sequence[Row]) -> tuple[list[Row], list[Fault], int]:
    """One row for each text; rows of a text with several labels are faults; how many were copies.

    A review that contradicts a corpus falls alone, so that no reviewer can take rows out of a corpus.
    """
    by_key: dict[str, list[Row]] = {}
    for row in found:
        by_key.setdefault(row.key, []).append(row)
    kept, faults, copies = [], [], 0
    for same in by_key.values():
        firm = [row for row in same if not row.review] or same
        label = None if _differ(firm) else firm[0].example.category
        fallen = same if label is None else [row for row in same if _differ([*firm, row])]
        places = ", ".join(row.where for row in same[:4])
        faults += [Fault(r.where, "conflict", f"its text has several labels ({places})") for r in fallen]
        if label is not None:
            kept.append(next((row for row in firm if row.example.scheme), firm[0]))
            copies += len(same) - len(fallen) - 1
    return kept, faults, copies


def _differ(same: Sequence[Row]) -> bool:
    schemes = {row.example.scheme for row in same} - {None}
    return len({row.example.category for row in same}) > 1 or len(schemes) > 1
