"""Arrow batches in, the same batches with the model's columns out; no text becomes a Python object.

`classify_arrow` is public: a Spark or Connect user calls it inside `mapInArrow`, see docs/relabel.md.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import model
from model import Classifier
from model.rules import REASONS
from service.labels import Labels, RelabelError

SLICE_ROWS, SLICE_BYTES = 8_192, 4 * 1024 * 1024  # what the kernel gets at a time

# What str.strip removes.
WHITE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # noqa: E501

ADDED = pa.schema(
    [
        ("category", pa.string()),
        ("category_probability", pa.float32()),
        ("scheme", pa.string()),
        ("scheme_probability", pa.float32()),
        ("scheme_sure", pa.bool_()),
        ("needs_review", pa.bool_()),
        ("review_reason", pa.string()),
        ("model", pa.string()),
        ("taxonomy", pa.string()),
        ("old_label", pa.string()),
        ("changed", pa.bool_()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and how those are called that are added.

    `label` holds the old label; see `Labels` for `level` and `crosswalk`. `prefix` goes before the
    name of each added column. A text may have `text_limit` characters (code points).
    """

    text: str = "text"
    id: str | None = None
    label: str | None = None
    level: str = "category"
    crosswalk: str | None = None
    prefix: str = ""
    text_limit: int = 20_000

    def added(self) -> pa.Schema:
        """The columns that are added, in order."""
        return pa.schema([field.with_name(self.prefix + field.name) for field in ADDED])

    def check(self, names: list[str]) -> None:
        """Raises RelabelError where a column that is read is missing or doubled, or a name is taken."""
        wanted = [name for name in (self.text, self.id, self.label) if name is not None]
        missing = [name for name in wanted if name not in names]
        if missing:
            raise RelabelError(
                "column_missing",
                f"there is no column {', '.join(map(repr, missing))}; name the columns "
                "with --text-column, --id-column and --label-column",
            )
        doubled = sorted({name for name in wanted if names.count(name) > 1})
        if doubled:
            raise RelabelError(
                "column_doubled",
                f"the input has more than one column {', '.join(map(repr, doubled))}; rename all but one",
            )
        taken = [name for name in self.added().names if name in names]
        if taken:
            raise RelabelError(
                "column_taken",
                f"the input has {', '.join(taken)} already; choose a --prefix for the new columns",
            )


@lru_cache(maxsize=1)
def load(models: Path | None = None) -> Classifier:
    """The model in a folder (unset: the shipped one), read once a process."""
    return model.load(models)


def classify_arrow(
    batch: pa.RecordBatch, columns: Columns = Columns(), models: Path | None = None
) -> pa.RecordBatch:
    """The batch with the columns of `columns.added()` behind its own, row by row.

    The text column is a string or binary column of any width, or a dictionary of one. A row whose
    text is missing, blank, too long or not UTF-8 has the code of that in `error` and nulls besides.
    `changed` is null where there is no old label to compare with. Raises RelabelError where a column
    is missing or taken, ModelError where the model cannot be loaded.
    """
    columns.check(batch.schema.names)
    return relabel(batch, columns, load(models))


def relabel(
    batch: pa.RecordBatch, columns: Columns, classifier: Classifier, faults: pa.Array | None = None
) -> pa.RecordBatch:
    """`classify_arrow` with the parts at hand; `faults` are codes of rows known to be bad, else null."""
    added = add(
        batch.column(columns.text),
        batch.column(columns.label) if columns.label is not None else None,
        columns,
        classifier,
        faults,
    )
    return pa.RecordBatch.from_arrays(
        [*batch.columns, *added],
        schema=pa.schema([*batch.schema, *columns.added()], metadata=batch.schema.metadata),
    )


def add(
    texts: pa.Array,
    labels: pa.Array | None,
    columns: Columns,
    classifier: Classifier,
    faults: pa.Array | None = None,
) -> list[pa.Array]:
    """The arrays that are added for a column of texts and one of old labels."""
    content, faults = readable(texts, columns.text_limit, faults)
    good = pc.is_null(faults)
    bad = pc.invert(good).to_numpy(zero_copy_only=False)
    said = [_answers(content, classifier, *part) for part in _slices(content)]
    column = {
        name: np.concatenate([getattr(part, name) for part in said]) if said else np.zeros(0, dtype)
        for name, dtype in _TYPES.items()
    }
    tree = classifier.taxonomy
    reasons = _named((None, *REASONS), column["reason"], bad)
    categories = _named(tree.category_ids, column["category"], bad)
    schemes = _named(tree.scheme_ids, column["scheme"], bad)
    old = _strings(labels, len(bad))
    reader = Labels(tree, columns.level, columns.crosswalk)
    return [
        categories,
        pa.array(column["category_probability"], mask=bad),
        schemes,
        pa.array(column["scheme_probability"], mask=bad),
        pa.array(column["scheme_sure"].astype(bool), mask=bad),
        pa.array(column["reason"] != 0, mask=bad),
        reasons,
        pa.repeat(classifier.manifest.version, len(bad)),
        pa.repeat(tree.version, len(bad)),
        old,
        _changed(old, categories, schemes, reader),
        faults,
    ]


_TYPES = {
    "category": np.int64,
    "category_probability": np.float32,
    "scheme": np.int64,
    "scheme_probability": np.float32,
    "scheme_sure": bool,
    "reason": np.int8,
}


def readable(texts: pa.Array, limit: int, faults: pa.Array | None = None) -> tuple[pa.Array, pa.Array]:
    """The texts as large_binary in UTF-8, those that are bad empty, and the code of what is wrong.

    The codes are those of `model.text`, and `no_text` for null, `not_decodable` for what is no UTF-8.
    """
    n = len(texts)
    faults = pa.nulls(n, pa.string()) if faults is None else faults
    if isinstance(texts, pa.DictionaryArray):
        texts = texts.dictionary_decode()
    kind = texts.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    if not (is_text or is_bytes):
        code = pc.if_else(pc.is_valid(texts), "not_a_string", "no_text")
        return pa.repeat(pa.scalar(b"", pa.large_binary()), n), pc.coalesce(faults, code)
    content = texts.cast(pa.large_binary())
    faults = _mark(faults, pc.is_null(content), "no_text")
    content = _emptied(content, faults)
    try:
        words = content.view(pa.large_string())
        words.validate(full=True)
    except pa.ArrowInvalid:
        faults = _mark(faults, pa.array([not _is_utf8(value) for value in content]), "not_decodable")
        content = _emptied(content, faults)
        words = content.view(pa.large_string())
    if pc.any(pc.greater(pc.binary_length(content), limit)).as_py():  # to count code points is dearer
        faults = _mark(faults, pc.greater(pc.utf8_length(words), limit), "too_long")
    faults = _mark(faults, pc.equal(pc.binary_length(pc.utf8_ltrim(words, WHITE)), 0), "blank")
    if _has_nul(content):  # to look into each text for one takes ten times as long
        faults = _mark(faults, pc.match_substring(words, "\0"), "nul")
    return _emptied(content, faults), faults


def _mark(faults: pa.Array, bad: pa.Array, code: str) -> pa.Array:
    """The faults, with this one where there was none before."""
    return pc.if_else(pc.and_(bad, pc.is_null(faults)), code, faults)


def _emptied(content: pa.Array, faults: pa.Array) -> pa.Array:
    """The texts, an empty one where there is a fault."""
    if faults.null_count == len(faults):
        return content
    return pc.if_else(pc.is_null(faults), content, pa.scalar(b"", pa.large_binary()))


def _has_nul(content: pa.Array) -> bool:
    if not len(content):
        return False
    starts = _starts(content)
    if starts[-1] == starts[0]:
        return False
    return bool(np.frombuffer(content.buffers()[2], np.uint8)[starts[0] : starts[-1]].min() == 0)


def _is_utf8(value: pa.Scalar) -> bool:
    try:
        str(value.as_buffer(), "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _starts(content: pa.Array) -> np.ndarray:
    starts = np.frombuffer(content.buffers()[1], np.int64)
    return starts[content.offset : content.offset + len(content) + 1]


def _slices(content: pa.Array) -> list[tuple[int, int]]:
    """Runs of rows small enough to be answered at a time: what the kernel needs grows with them."""
    if not len(content):
        return []
    starts, parts, at = _starts(content), [], 0
    while at < len(content):
        end = int(np.searchsorted(starts, starts[at] + SLICE_BYTES, "right")) - 1
        end = min(max(end, at + 1), at + SLICE_ROWS, len(content))
        parts.append((at, end))
        at = end
    return parts


def _answers(content: pa.Array, classifier: Classifier, at: int, end: int) -> Any:
    buffer = content.buffers()[2]
    return classifier.classify_utf8(buffer if buffer else b"", _starts(content)[at : end + 1])


def _named(names: tuple[str | None, ...], numbers: np.ndarray, bad: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(numbers, pa.int64(), mask=bad))


def _strings(labels: pa.Array | None, n: int) -> pa.Array:
    """Old labels as strings; null where there is none, or an empty one."""
    if labels is None:
        return pa.nulls(n, pa.string())
    if isinstance(labels, pa.DictionaryArray):
        labels = labels.dictionary_decode()
    try:
        names = labels.cast(pa.string())
        names.validate(full=True)
    except pa.ArrowInvalid:  # labels that are no UTF-8 are no labels
        kept = [v.as_py() if _is_utf8(v) else None for v in labels.cast(pa.large_binary())]
        names = pa.array([None if v is None else v.decode() for v in kept], pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise RelabelError(
            "label_invalid", f"the old labels are of type {labels.type}; name a column of strings"
        ) from None
    names = pc.utf8_trim(names, WHITE)
    return pc.if_else(pc.equal(names, ""), pa.scalar(None, pa.string()), names)


def _changed(old: pa.Array, categories: pa.Array, schemes: pa.Array, reader: Labels) -> pa.Array:
    """Whether the new name is another than the old one; null where either is missing."""
    coded = old.dictionary_encode()
    known = [reader.old(name) for name in coded.dictionary.to_pylist()]
    # A label that leads nowhere has neither name, so that it compares with nothing.
    as_category = [o.name if o.known and o.level == "category" else None for o in known]
    as_scheme = [o.name if o.known and o.level == "scheme" else None for o in known]
    return pc.coalesce(
        pc.not_equal(pa.array(as_category, pa.string()).take(coded.indices), categories),
        pc.not_equal(pa.array(as_scheme, pa.string()).take(coded.indices), schemes),
    )
