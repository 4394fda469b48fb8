"""CSV, TSV and workbooks: every cell is text, and goes through as it stands."""

import csv
import io
import warnings
import zipfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model import Classifier
from service import arrow, lines
from service.diff import Diff
from service.files import BadFile, Chunk, File, Options, head

csv.field_size_limit(2**31 - 1)  # a text that is too long is told of by its own error

SAMPLE = 4 * 1024 * 1024  # bytes of lines that are not ASCII by which an encoding is told
EMPTY = ("", None)


class Delimited:
    """CSV or TSV in, the same out: encoding, delimiter, ends of lines and packing are kept."""

    def suffix(self, file: File) -> str:
        """How names of its parts end."""
        return f".{file.kind}{file.packed}"

    def names(self, file: File, options: Options) -> list[str]:
        """The cells of its first row."""
        return [*_head(file, options)[0], *file.partition]

    def chunks(self, file: File, options: Options) -> Iterator[Chunk]:
        """Rows by the thousands, a row that goes over several lines in one."""
        header, encoding, end = _head(file, options)
        given = lines.Lines(file)
        records = _records(given, _delimiter(file, options), encoding)
        next(records, None)
        kept = (record for record in records if record.strip(b"\r\n"))
        return lines.chunks(file, given, kept, options, header, encoding, end)

    def sample(self, file: File, options: Options) -> Iterator[Chunk]:
        """Its first rows."""
        return head(self.chunks(file, options))

    def relabel(
        self, chunk: Chunk, options: Options, classifier: Classifier, target: Path | None, diff: Diff
    ) -> None:
        """Classifies a chunk, counts it, and writes its part."""
        header, encoding, end, content = chunk.payload
        text = content.decode(encoding, "surrogateescape")
        delimiter = _delimiter(chunk.file, options)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        rows = [row for row in rows if row]
        added = _classify(chunk, header, rows, [], options, classifier, diff)
        if target is not None:
            out = io.StringIO()
            writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
            _write(writer, header, rows, options.columns.added().names, added)
            with target.open("wb") as file:
                lines.write(file, chunk.file.packed, out.getvalue().encode(encoding, "surrogateescape"))


class Workbook:
    """One sheet of an .xlsx in; CSV in UTF-8 out, with the mark by which spreadsheets know that."""

    def suffix(self, file: File) -> str:
        """How names of its parts end."""
        return ".csv"

    def names(self, file: File, options: Options) -> list[str]:
        """The cells of its first row."""
        rows = _sheet(file, options.sheet)
        try:
            return [*map(_written, next(rows, ())), *file.partition]
        finally:
            rows.close()

    def chunks(self, file: File, options: Options) -> Iterator[Chunk]:
        """Rows by the thousands; empty ones are left out."""
        rows = _sheet(file, options.sheet)
        header = [_written(cell) for cell in next(rows, ())]
        text = header.index(options.columns.text)
        number, first = 0, 1
        kept: list[list[str]] = []
        wrong: list[int] = []  # rows of this chunk whose text is a number or a date
        for row in rows:
            if all(cell in EMPTY for cell in row):
                continue
            if len(row) > text and row[text] is not None and not isinstance(row[text], str):
                wrong.append(len(kept))
            kept.append([_written(cell) for cell in row])
            if len(kept) == options.chunk:
                yield Chunk(file, number, first, 0, (header, kept, wrong))
                number, first, kept, wrong = number + 1, first + len(kept), [], []
        if kept or not number:
            yield Chunk(file, number, first, file.size, (header, kept, wrong))

    def sample(self, file: File, options: Options) -> Iterator[Chunk]:
        """Its first rows."""
        return head(self.chunks(file, options))

    def relabel(
        self, chunk: Chunk, options: Options, classifier: Classifier, target: Path | None, diff: Diff
    ) -> None:
        """Classifies a chunk, counts it, and writes its part."""
        header, rows, wrong = chunk.payload
        rows = [row + [""] * (len(header) - len(row)) for row in rows]  # no cell is an empty cell here
        added = _classify(chunk, header, rows, wrong, options, classifier, diff)
        if target is not None:
            with target.open("w", encoding="utf-8-sig", newline="") as file:
                _write(csv.writer(file), header, rows, options.columns.added().names, added)


def _head(file: File, options: Options) -> tuple[list[str], str, str]:
    """Header, encoding, and how its lines end."""
    encoding = options.encoding if options.encoding != "auto" else _encoding(lines.Lines(file))
    first = next(_records(lines.Lines(file), _delimiter(file, options), encoding), b"")
    try:
        words = first.decode(encoding)
    except UnicodeDecodeError:
        raise BadFile(f"its header is not {encoding}; see --encoding") from None
    header = next(csv.reader(io.StringIO(words, newline=""), delimiter=_delimiter(file, options)), [])
    return header, encoding, "\r\n" if first.endswith(b"\r\n") else "\n"


def _delimiter(file: File, options: Options) -> str:
    return "\t" if file.kind == "tsv" else options.delimiter or ","


def _encoding(given: Iterable[bytes]) -> str:
    """UTF-8 unless fewer lines are broken in GB18030; ASCII lines tell nothing."""
    told = broken_utf8 = broken_gb = 0
    for line in given:
        if line.isascii():
            continue
        broken_utf8 += not _decodes(line, "utf-8")
        broken_gb += not _decodes(line, "gb18030")
        told += len(line)
        if told > SAMPLE:
            break
    return "gb18030" if broken_gb < broken_utf8 else "utf-8"


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _records(given: Iterable[bytes], delimiter: str, encoding: str) -> Iterator[bytes]:
    """The rows as bytes: a line, or several where a quoted cell goes over them.

    The reader that later parses a row also says where it ends; a line without a quote needs none. (No
    byte of a longer character of UTF-8 or GB18030 looks like a quote or the end of a line.)
    """
    every = iter(given)
    for line in every:
        if b'"' not in line:
            yield line
            continue
        taken: list[bytes] = []
        with suppress(csv.Error):  # a lone \r: the row is read on its own later
            next(csv.reader(_noted(chain([line], every), taken, encoding), delimiter=delimiter))
        yield b"".join(taken)


def _noted(given: Iterable[bytes], taken: list[bytes], encoding: str) -> Iterator[str]:
    size = 0
    for line in given:
        taken.append(line)
        size += len(line)
        if size > lines.LONGEST:
            raise BadFile(f"a quote in it is not closed within {lines.LONGEST // 2**20} MB")
        yield line.decode(encoding, "surrogateescape")


def _sheet(file: File, name: str | None) -> Generator[tuple[Any, ...], None, None]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that are not read
            book = load_workbook(file.path, read_only=True, data_only=True)
            try:
                if name is not None and name not in book.sheetnames:
                    raise BadFile("it has no sheet of the name that --sheet gives")
                sheet = book[name] if name is not None else book.worksheets[0]
                sheet.reset_dimensions()  # what a workbook says of its size is often wrong
                yield from sheet.iter_rows(values_only=True)
            finally:
                book.close()
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        LookupError,
        ValueError,
        SyntaxError,
        EOFError,
    ) as error:
        raise BadFile("it is no .xlsx, or is damaged") from error
    except OSError as error:
        raise BadFile(error.strerror or "it is damaged") from error


def _written(cell: Any) -> str:
    """A cell as text: whole numbers without a point, dates as in ISO 8601."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def _classify(
    chunk: Chunk,
    header: Sequence[str],
    rows: list[list[str]],
    wrong: Iterable[int],
    options: Options,
    classifier: Classifier,
    diff: Diff,
) -> list[list[str]]:
    """The added columns as text, each a value a row; counts the rows."""
    columns = options.columns
    faults: list[str | None] = [_shape(len(row), len(header)) for row in rows]
    for at in wrong:
        faults[at] = faults[at] or "not_a_string"
    read = [columns.text, *(name for name in (columns.id, columns.label) if name is not None)]
    arrays = []
    for name in read:
        if name in header:
            at = header.index(name)
            cells = [row[at] if at < len(row) else None for row in rows]
        else:
            cells = [chunk.file.partition[name]] * len(rows)
        try:
            arrays.append(pa.array(cells, pa.string()))
        except UnicodeEncodeError:  # bytes that were not in the encoding
            broken = [at for at, cell in enumerate(cells) if cell and not _is_text(cell)]
            for at in broken:
                cells[at] = None
                if name == columns.text:
                    faults[at] = faults[at] or "not_decodable"
            arrays.append(pa.array(cells, pa.string()))
    batch = pa.RecordBatch.from_arrays(arrays, names=read)
    found = arrow.relabel(batch, columns, classifier, pa.array(faults, pa.string()))
    ids = None if columns.id else pa.array(np.arange(chunk.first, chunk.first + len(rows)))
    diff.add(found, columns, ids, options.with_text)
    return [pc.fill_null(added.cast(pa.string()), "").to_pylist() for added in found.columns[len(read) :]]


def _shape(cells: int, wanted: int) -> str | None:
    return None if cells == wanted else "missing_cells" if cells < wanted else "extra_cells"


def _is_text(cell: str) -> bool:
    return cell.isascii() or not any("\ud800" <= c <= "\udfff" for c in cell)


def _write(
    writer: Any, header: list[str], rows: list[list[str]], names: list[str], added: list[list[str]]
) -> None:
    """Rows with the added cells in their columns; cells too many come behind those."""
    n = len(header)
    writer.writerow([*header, *names])
    for row, new in zip(rows, zip(*added, strict=True), strict=True):
        writer.writerow([*row[:n], *[""] * (n - len(row)), *new, *row[n:]])
