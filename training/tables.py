"""Rows of JSONL, CSV and Parquet files, each with its place; what cannot be read is said, not raised."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a report may be longer than csv's 128 kB
BATCH = 4096  # rows of Parquet held at a time
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one row: `where` is its file and line, `kind` a stable word."""

    where: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def rows(path: Path, encoding: str = "utf-8-sig") -> Iterator[tuple[str, dict[str, Any] | Fault]]:
    """Every row as (place, values by column), or (place, its fault). Parquet counts rows, not lines."""
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix in (".csv", ".tsv"):
        return _csv(path, encoding, "\t" if path.suffix == ".tsv" else ",")
    return _jsonl(path, encoding)


def _undecodable(where: str, encoding: str) -> Fault:
    return Fault(where, "encoding", f"is not in {encoding}; name its encoding, perhaps gb18030")


def _jsonl(path: Path, encoding: str) -> Iterator[tuple[str, dict[str, Any] | Fault]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        where = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode(encoding))
        except UnicodeDecodeError:
            yield where, _undecodable(where, encoding)
        except (ValueError, RecursionError):
            yield where, Fault(where, "syntax", "is not a JSON object")
        else:
            yield where, row if isinstance(row, dict) else Fault(where, "syntax", "is not a JSON object")


def _csv(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any] | Fault]]:
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        head: list[str] | None = None
        first = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error:
                where = f"{path.name}:{first}"
                yield where, Fault(where, "syntax", "is not CSV, perhaps for an unclosed quote")
                first = reader.line_num + 1
                continue
            if cells is None:
                return
            where, first = f"{path.name}:{first}", reader.line_num + 1
            if not cells:
                continue
            if any("\udc80" <= c <= "\udcff" for cell in cells for c in cell):
                yield where, _undecodable(where, encoding)
            elif head is None:
                head = cells
            elif len(cells) != len(head):
                yield where, Fault(where, "syntax", f"has {len(cells)} cells, not {len(head)}")
            else:
                yield where, dict(zip(head, cells, strict=True))


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any] | Fault]]:
    import pyarrow as arrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name}:{number}", row
    except arrow.ArrowInvalid:
        where = f"{path.name}:{number + 1}"
        yield where, Fault(where, "syntax", "is not Parquet, or damaged from here on")
