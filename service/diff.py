"""The diff: what a relabelling would change, added up batch by batch, chunk by chunk.

`Diff.add` takes batches as `service.arrow` makes them; `merge` and `as_dict` let chunks be added up
elsewhere and at another time; `report` is what `report.json` holds and `service.diff_page` shows.
The order of `add` and `merge` only decides which of the rows of one probability are listed.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model import Taxonomy
from service.arrow import Columns
from service.labels import Labels

N_LISTED = 50  # changes listed as the most and as the least certain
N_LABELS = 2_000  # pairs of an old label and a new name that are told apart
OTHER = "(other)"


class Diff:
    """Counts rows, errors and changes, and keeps the surest and the least sure changes."""

    def __init__(self) -> None:
        self.rows = 0
        self.errors: Counter[str] = Counter()
        self.review: Counter[str] = Counter()  # by reason
        # (old label as it stood or None, new category, new scheme, changed or None) -> rows
        self.flow: Counter[tuple[str | None, str, str, bool | None]] = Counter()
        self.surest: list[dict[str, Any]] = []
        self.least_sure: list[dict[str, Any]] = []

    def add(
        self, batch: pa.RecordBatch, columns: Columns, ids: pa.Array | None = None, with_text: bool = False
    ) -> None:
        """Counts the rows of a batch that was relabelled with these columns.

        `ids` name the rows; else the column `columns.id` does, else their place from 1 on.
        `with_text` keeps the words of the listed rows, too.
        """
        self.rows += len(batch)
        new = {name: batch.column(columns.prefix + name) for name in _READ}
        self.errors.update(_counts(new["error"]))
        self.review.update(_counts(new["review_reason"]))
        table = pa.table([new[name] for name in _KEYS], names=list(_KEYS))
        table = table.filter(pc.is_valid(table["category"]))
        grouped = table.group_by(list(_KEYS)).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            key = tuple(row[name] for name in _KEYS)
            self.flow[key] += row["count_all"]
        _bound(self.flow)
        self._list(batch, new, columns, ids, with_text)

    def _list(
        self,
        batch: pa.RecordBatch,
        new: Mapping[str, pa.Array],
        columns: Columns,
        ids: pa.Array | None,
        with_text: bool,
    ) -> None:
        places = pc.indices_nonzero(pc.fill_null(new["changed"], False))
        if not len(places):
            return
        chances = new["category_probability"].take(places)
        if ids is None and columns.id is not None:
            ids = batch.column(columns.id)
        first = self.rows - len(batch) + 1
        for order, kept in (("descending", "surest"), ("ascending", "least_sure")):
            best = pc.array_sort_indices(chances, order)[:N_LISTED]
            listed = [
                {
                    "id": first + at if ids is None else _plain(ids[at]),
                    "old": new["old_label"][at].as_py(),
                    "category": new["category"][at].as_py(),
                    "scheme": new["scheme"][at].as_py(),
                    "probability": new["category_probability"][at].as_py(),
                }
                | ({"text": _plain(batch.column(columns.text)[at])} if with_text else {})
                for at in places.take(best).to_pylist()
            ]
            setattr(self, kept, _best(getattr(self, kept) + listed, kept))

    def merge(self, other: "Diff") -> None:
        """Adds what another one counted."""
        self.rows += other.rows
        self.errors.update(other.errors)
        self.review.update(other.review)
        self.flow.update(other.flow)
        _bound(self.flow)
        self.surest = _best(self.surest + other.surest, "surest")
        self.least_sure = _best(self.least_sure + other.least_sure, "least_sure")

    def as_dict(self) -> dict[str, Any]:
        """What it counted, as JSON can hold it."""
        return {
            "rows": self.rows,
            "errors": dict(sorted(self.errors.items())),
            "review": dict(sorted(self.review.items())),
            "flow": [[*key, count] for key, count in sorted(self.flow.items(), key=_order)],
            "surest": self.surest,
            "least_sure": self.least_sure,
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> "Diff":
        """The diff that `as_dict` wrote."""
        diff = cls()
        diff.rows = known["rows"]
        diff.errors, diff.review = Counter(known["errors"]), Counter(known["review"])
        diff.flow = Counter({tuple(key): count for *key, count in known["flow"]})
        diff.surest, diff.least_sure = list(known["surest"]), list(known["least_sure"])
        return diff

    def report(self, tree: Taxonomy, columns: Columns, about: Mapping[str, Any]) -> dict[str, Any]:
        """The report as JSON can hold it; `about` (source, model, times …) goes in front.

        `flow` holds pairs of an old and a new name with their rows, the largest first; `shares` the
        part of each name among the rows that have an old label to compare with (without any, among
        all that were classified), before and after, 0 to 1.
        """
        labels = Labels(tree, columns.level, columns.crosswalk)
        flow: Counter[tuple[str, str]] = Counter()
        nowhere: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        changed = compared = classified = 0
        for (label, category, scheme, is_changed), count in self.flow.items():
            classified += count
            answers[category if columns.level == "category" else scheme] += count
            if label is None:
                continue
            old = labels.old(label)
            if is_changed is None or not old.known:
                nowhere[label] += count
                continue
            compared += count
            changed += count * is_changed
            flow[old.name, category if old.level == "category" else scheme] += count
        return {
            **about,
            "level": columns.level,
            "rows": self.rows,
            "classified": classified,
            "compared": compared,
            "changed": changed,
            "changed_share": changed / compared if compared else None,
            "needs_review": sum(self.review.values()),
            "review_reasons": dict(self.review.most_common()),
            "errors": dict(self.errors.most_common()),
            "labels_that_lead_nowhere": dict(nowhere.most_common(100)),
            "flow": [{"old": o, "new": n, "rows": c} for (o, n), c in sorted(flow.items(), key=_order)],
            "shares": _shares(flow, answers),
            "surest_changes": self.surest,
            "least_sure_changes": self.least_sure,
        }


_KEYS = ("old_label", "category", "scheme", "changed")
_READ = (*_KEYS, "category_probability", "review_reason", "error")


def _counts(column: pa.Array) -> dict[str, int]:
    counted = pc.value_counts(column.drop_null())
    return {row["values"]: row["counts"] for row in counted.to_pylist()}


def _order(entry: tuple[tuple[Any, ...], int]) -> tuple[int, tuple[str, ...]]:
    return -entry[1], tuple(str(part) for part in entry[0])


def _bound(flow: Counter[tuple[str | None, str, str, bool | None]]) -> None:
    """Keeps the flow small where old labels are many: the rarest become one."""
    if len(flow) <= N_LABELS:
        return
    for (label, category, scheme, changed), count in sorted(flow.items(), key=_order)[N_LABELS // 2 :]:
        del flow[label, category, scheme, changed]
        flow[None if label is None else OTHER, category, scheme, changed] += count


def _best(listed: list[dict[str, Any]], kept: str) -> list[dict[str, Any]]:
    sign = -1 if kept == "surest" else 1
    return heapq.nsmallest(N_LISTED, listed, key=lambda row: sign * row["probability"])


def _plain(value: pa.Scalar) -> Any:
    """A value that JSON can hold."""
    known = value.as_py()
    if isinstance(known, bytes):
        return known.decode("utf-8", "replace")
    return known if known is None or isinstance(known, str | int) else str(known)


def _shares(flow: Counter[tuple[str, str]], answers: Counter[str]) -> list[dict[str, Any]]:
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for (old, new), count in flow.items():
        before[old] += count
        after[new] += count
    if not flow:
        after = answers
    total = after.total() or 1
    names: Iterable[str] = sorted(before | after, key=lambda name: (-max(before[name], after[name]), name))
    return [
        {
            "name": name,
            "old_rows": before[name] if flow else None,
            "new_rows": after[name],
            "old_share": before[name] / total if flow else None,
            "new_share": after[name] / total,
            "change": (after[name] - before[name]) / total if flow else None,
        }
        for name in names
    ]
