"""Files of reports: which there are, what each is, and the chunks that it is cut into."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from model import Classifier
from service.arrow import Columns
from service.diff import Diff
from service.labels import RelabelError

KINDS = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
}
PACKED = ("", ".gz", ".zst")  # of CSV, TSV and JSONL
ENCODINGS = ("auto", "utf-8", "gb18030")
CHUNK_BYTES = 32 * 1024 * 1024  # of text files, where a chunk of rows would be larger


class BadFile(Exception):
    """A file cannot be read; says why, and quotes nothing of it."""


@dataclass(frozen=True)
class File:
    """One file: its place in the list, its name below the source, and what it looked like when found.

    `partition` are the columns that the names of its folders hold (`year=2024`).
    """

    number: int
    path: Path
    name: str
    kind: str
    packed: str
    size: int
    changed_at: int  # nanoseconds
    partition: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> list[Any]:
        """By what it is known again."""
        return [self.name, self.size, self.changed_at]


@dataclass(frozen=True)
class Options:
    """What shapes the output of a job; `chunk` is rows."""

    columns: Columns = field(default_factory=Columns)
    chunk: int = 65_536
    encoding: str = "auto"
    delimiter: str | None = None  # of CSV; unset, a comma
    sheet: str | None = None  # of a workbook; unset, the first
    with_text: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON can hold them."""
        return asdict(self)


@dataclass(frozen=True)
class Chunk:
    """A part of a file: its number there, its first row (from 1), about how many of the file's bytes
    it is, and what its format needs to read it."""

    file: File
    number: int
    first: int
    weight: int
    payload: Any

    def part(self, suffix: str) -> str:
        """The name of what is made of it, below the target."""
        name = f"part-{self.file.number:05d}-{self.number:05d}{suffix}"
        return str(Path(self.file.name).with_name(name)) if self.file.partition else name


class Format(Protocol):
    """How files of a kind are read, cut and written. What cannot be read raises BadFile."""

    def suffix(self, file: File) -> str:
        """How names of its parts end."""

    def names(self, file: File, options: Options) -> list[str]:
        """Its columns; of a file without a header those of its first rows."""

    def chunks(self, file: File, options: Options) -> Iterator[Chunk]:
        """Its chunks, the same ones whenever it is asked."""

    def sample(self, file: File, options: Options) -> Iterator[Chunk]:
        """Chunks that together have about the rows of one, from its head or from several places."""

    def relabel(
        self, chunk: Chunk, options: Options, classifier: Classifier, target: Path | None, diff: Diff
    ) -> None:
        """Classifies a chunk, counts it, and writes its part; without a target it only counts."""


def find(source: Path) -> list[File]:
    """The files of a source, in the order of their names. Raises RelabelError where there are none.

    In a folder, names that begin with a dot or an underscore are passed over, as others do too.
    """
    if not source.exists():
        raise RelabelError("source_missing", f"{source}: there is no such file or folder")
    is_folder = source.is_dir()
    paths = [path for path in source.rglob("*") if path.is_file()] if is_folder else [source]
    found: list[File] = []
    for path in sorted(paths):
        name = path.relative_to(source).as_posix() if is_folder else path.name
        if is_folder and any(part.startswith((".", "_")) for part in name.split("/")):
            continue
        kind, packed = _kind(path)
        if kind is None:
            if is_folder:
                continue
            break
        state = path.stat()
        partition = _partition(name) if is_folder else {}
        found.append(File(len(found), path, name, kind, packed, state.st_size, state.st_mtime_ns, partition))
    if not found:
        raise RelabelError(
            "source_unusable",
            f"{source}: there is no file of a kind that can be read: {', '.join(KINDS)}, "
            "and .gz or .zst of CSV, TSV and JSONL",
        )
    return found


def _kind(path: Path) -> tuple[str | None, str]:
    name = path.name.lower()
    for packed in reversed(PACKED):
        if packed and name.endswith(packed):
            kind = KINDS.get(Path(name.removesuffix(packed)).suffix)
            return (kind, packed) if kind in ("csv", "tsv", "jsonl") else (None, "")
    return KINDS.get(Path(name).suffix), ""


def _partition(name: str) -> dict[str, str]:
    folders = name.split("/")[:-1]
    pairs = (folder.split("=", 1) for folder in folders if "=" in folder)
    return {key: unquote(value) for key, value in pairs}


def format_of(file: File) -> Format:
    """How a file is read."""
    from service.delimited import Delimited, Workbook
    from service.jsonl import Jsonl
    from service.parquet import Parquet

    formats: dict[str, Format] = {
        "parquet": Parquet(),
        "csv": Delimited(),
        "tsv": Delimited(),
        "jsonl": Jsonl(),
        "xlsx": Workbook(),
    }
    return formats[file.kind]


def head(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The first of the chunks."""
    yield from islice(chunks, 1)


def number_rows(diff: Diff, file: File, options: Options) -> None:
    """Rows that no column names are listed as file:row."""
    if options.columns.id is None:
        for row in (*diff.surest, *diff.least_sure):
            row["id"] = f"{file.name}:{row['id']}"
