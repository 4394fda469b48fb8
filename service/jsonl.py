"""JSONL: a line goes through byte for byte, with the new keys behind its own."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from model import Classifier
from service import arrow, lines
from service.diff import Diff
from service.files import BadFile, Chunk, File, Options, head

HEAD = 1_000  # lines whose keys are looked at before the work begins
# The key under which a line goes through that is no object, or that has a key of ours already.
UNREADABLE = "unreadable"


class Jsonl:
    """JSONL in, JSONL out, packed alike."""

    def suffix(self, file: File) -> str:
        """How names of its parts end."""
        return f".jsonl{file.packed}"

    def names(self, file: File, options: Options) -> list[str]:
        """The keys of the first lines."""
        known: dict[str, None] = {}
        n = objects = 0
        for line in islice(lines.Lines(file), HEAD):
            row = _parsed(line)
            n += 1
            if row is not None:
                objects += 1
                known |= dict.fromkeys(row)
        if n and not objects:
            raise BadFile("none of its first lines is a JSON object")
        return [*known, *file.partition]

    def chunks(self, file: File, options: Options) -> Iterator[Chunk]:
        """Lines by the thousands; blank ones are left out."""
        given = lines.Lines(file)
        return lines.chunks(file, given, (line for line in given if not line.isspace()), options)

    def sample(self, file: File, options: Options) -> Iterator[Chunk]:
        """Its first rows."""
        return head(self.chunks(file, options))

    def relabel(
        self, chunk: Chunk, options: Options, classifier: Classifier, target: Path | None, diff: Diff
    ) -> None:
        """Classifies a chunk, counts it, and writes its part."""
        columns = options.columns
        (content,) = chunk.payload
        given = [line.strip() for line in content.split(b"\n") if line.strip()]
        taken = set(columns.added().names)
        rows = [_parsed(line) for line in given]
        faults = [_fault(row, columns.text, taken) for row in rows]
        partition = chunk.file.partition
        texts = [None if fault else row[columns.text] for row, fault in zip(rows, faults, strict=True)]  # type: ignore[index]
        read = [columns.text, *(name for name in (columns.id, columns.label) if name is not None)]
        arrays = [pa.array(texts, pa.string())]
        arrays += [
            pa.array([_string((row or {}).get(name, partition.get(name))) for row in rows], pa.string())
            for name in read[1:]
        ]
        batch = pa.RecordBatch.from_arrays(arrays, names=read)
        found = arrow.relabel(batch, columns, classifier, pa.array(faults, pa.string()))
        ids = None if columns.id else pa.array(np.arange(chunk.first, chunk.first + len(rows)))
        diff.add(found, columns, ids, options.with_text)
        if target is not None:
            added = found.columns[len(read) :]
            written = _written(given, rows, faults, dict(zip(columns.added().names, added, strict=True)))
            with target.open("wb") as file:
                lines.write(file, chunk.file.packed, written)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _fault(row: dict[str, Any] | None, text: str, taken: set[str]) -> str | None:
    if row is None:
        return "not_json"
    if not taken.isdisjoint(row):
        return "column_taken"
    value = row.get(text)
    return None if isinstance(value, str) else "no_text" if value is None else "not_a_string"


def _string(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _written(
    given: list[bytes],
    rows: list[dict[str, Any] | None],
    faults: list[str | None],
    added: dict[str, pa.Array],
) -> bytes:
    literals = [_literals(column) for column in added.values()]
    keys = ",".join(orjson.dumps(name).decode().replace("%", "%%") + ":%s" for name in added)
    out = []
    for line, row, fault, values in zip(given, rows, faults, zip(*literals, strict=True), strict=True):
        new = (keys % values).encode()
        if row is None or fault == "column_taken":
            whole = orjson.dumps({UNREADABLE: line.decode("utf-8", "backslashreplace")})[:-1] + b","
        else:
            whole = line[:-1] + (b"," if row else b"")
        out.append(whole + new + b"}\n")
    return b"".join(out)


def _literals(column: pa.Array) -> list[str]:
    """The values as JSON writes them."""
    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        names = pa.array([orjson.dumps(v).decode() for v in coded.dictionary.to_pylist()], pa.string())
        column = names.take(coded.indices)
    literals: list[str] = pc.fill_null(column.cast(pa.string()), "null").to_pylist()
    return literals
