"""service.delimited: CSV, TSV and workbooks go through cell by cell."""

import csv
import gzip
import io
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest

from model import Classifier
from service import lines
from service.arrow import ADDED, Columns
from service.files import BadFile, Options, find, format_of
from tests.fakes import ColumnsClassifier
from tests.relabelling import relabel_here

ZH = "办贷款先让我交保证金，钱没放下来"
OPTIONS = Options(Columns(text="text"), chunk=2)


@pytest.fixture(scope="module")
def stub() -> Classifier:
    return ColumnsClassifier()


def cells(parts: list[Path], encoding: str = "utf-8", delimiter: str = ",") -> list[list[str]]:
    """The rows of all parts, the header once."""
    rows: list[list[str]] = []
    for part in parts:
        content = gzip.decompress(part.read_bytes()) if part.suffix == ".gz" else part.read_bytes()
        text = content.decode(encoding, "surrogateescape")
        head, *body = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows += body if rows else [head, *body]
    return rows


def test_cells_pass_unchanged(tmp_path: Path, stub: Classifier) -> None:
    """007 stays 007; quotes, line breaks in cells, blanks and the ends of lines are kept."""
    source = tmp_path / "a.csv"
    given = [
        ["id", "text", "note"],
        ["007", ZH, ' "x", y'],
        ["1.10", 'two\r\nlines, "quoted"', ""],
        ["-0", 'she said: "no', '5" pipe'],
        ["9" * 30, "a\nb", "=1+1"],
    ]
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(given)
    parts, diff = relabel_here(source, tmp_path / "out", OPTIONS, stub)
    assert [part.name for part in parts] == ["part-00000-00000.csv", "part-00000-00001.csv"]
    found = cells(parts)
    assert [row[:3] for row in found] == given
    assert found[0][3:] == ADDED.names
    assert found[1][3] == "fake_loan"
    assert parts[0].read_bytes().endswith(b"\r\n")
    assert (diff.rows, diff.errors) == (4, {})


def test_a_row_with_stray_quotes_ends_where_it_ends(tmp_path: Path, stub: Classifier) -> None:
    """A quote inside a plain cell opens nothing, so the rows behind it stay rows of their own."""
    source = tmp_path / "a.csv"
    source.write_text('text,n\n5" pipe broken,1\nok then,2\n"two\nlines",3\nlast one,4\n', "utf-8")
    found = cells(relabel_here(source, tmp_path / "out", Options(chunk=1), stub)[0])
    assert [row[:2] for row in found[1:]] == [
        ['5" pipe broken', "1"], ["ok then", "2"], ["two\nlines", "3"], ["last one", "4"],
    ]  # fmt: skip


def test_gb18030_is_told_and_kept(tmp_path: Path, stub: Classifier) -> None:
    """`auto` tells GB18030 from UTF-8, broken bytes in a row or two or not, and writes the same again."""
    plain = "text,n\n" + "".join(f"ascii {i},{i}\n" for i in range(50)) + f"{ZH},㐀\n𠮷{ZH},1\n"
    for name, encoding in (("a.csv", "gb18030"), ("b.csv", "utf-8"), ("c.tsv", "gb18030")):
        source = tmp_path / name
        content = plain.replace(",", "\t") if name.endswith("tsv") else plain
        broken = b"\xff\xff" + (b"\t" if name.endswith("tsv") else b",") + b"1\n"
        source.write_bytes(content.encode(encoding) + broken)
        parts, diff = relabel_here(source, tmp_path / f"out-{name}", Options(), stub)
        (part,) = parts
        written = part.read_bytes()
        assert ZH.encode(encoding) in written
        assert b"\n\xff\xff" in written, "bytes that mean nothing pass through"
        assert diff.errors == {"not_decodable": 1}
        found = cells(parts, encoding, "\t" if name.endswith("tsv") else ",")
        assert [row[:2] for row in found[51:53]] == [[ZH, "㐀"], [f"𠮷{ZH}", "1"]]


def test_a_delimiter_inside_a_character(tmp_path: Path, stub: Classifier) -> None:
    """A byte of a character of GB18030 that looks like the delimiter parts no cells."""
    inside = b"\x81\x7c".decode("gb18030")  # 0x7c is |
    source = tmp_path / "a.csv"
    source.write_bytes(f'text|n\n{inside}"x|1\n"{inside}\n{inside}"|2\nlast|3\n'.encode("gb18030"))
    options = Options(chunk=1, encoding="gb18030", delimiter="|")
    found = cells(relabel_here(source, tmp_path / "out", options, stub)[0], "gb18030", "|")
    assert [row[:2] for row in found[1:]] == [
        [f'{inside}"x', "1"],
        [f"{inside}\n{inside}", "2"],
        ["last", "3"],
    ]


def test_rows_of_a_wrong_length_go_through(tmp_path: Path, stub: Classifier) -> None:
    """A row with cells missing or too many has an error; its cells are all there, and so are ours."""
    source = tmp_path / "a.csv"
    source.write_text("id,text,note\n1,good text,x\n2,short\n\n3,some,text,with,commas\n4,,x\n", "utf-8")
    parts, diff = relabel_here(source, tmp_path / "out", Options(), stub)
    head, *rows = cells(parts)
    error = head.index("error")
    assert [row[error] for row in rows] == ["", "missing_cells", "extra_cells", "blank"]
    assert rows[1][:3] == ["2", "short", ""]
    assert rows[2][:3] + rows[2][len(head) :] == ["3", "some", "text", "with", "commas"]
    assert [len(row) for row in rows] == [len(head), len(head), len(head) + 2, len(head)]
    assert diff.errors == {"missing_cells": 1, "extra_cells": 1, "blank": 1}


def test_packed_files_give_packed_parts(tmp_path: Path, stub: Classifier) -> None:
    """A .csv.gz gives .csv.gz, and the same input the same bytes."""
    source = tmp_path / "a.csv.gz"
    source.write_bytes(gzip.compress(b"\xef\xbb\xbftext;n\nmy loan;1\nmy parcel;2\n"))
    options = Options(delimiter=";")
    first, _ = relabel_here(source, tmp_path / "one", options, stub)
    again, _ = relabel_here(source, tmp_path / "two", options, stub)
    assert first[0].name == "part-00000-00000.csv.gz"
    assert first[0].read_bytes() == again[0].read_bytes()
    assert [row[:2] for row in cells(first, delimiter=";")] == [
        ["text", "n"],
        ["my loan", "1"],
        ["my parcel", "2"],
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv.gz", gzip.compress(b"text\n" + b"word\n" * 100_000)[:-200], "cut off"),
        ("b.csv", "text\nx".encode("utf-16"), "UTF-16"),
        ("c.csv", "text,名\n".encode("gb18030"), "not utf-8"),
        ("d.csv", b'text\n"never closed\n' + b"more\n" * 60_000, "not closed"),
        ("e.xlsx", b"PK\x03\x04 nothing", "no .xlsx"),
        ("f.csv.zst", b"text\n", "cut off"),
    ],
)
def test_bad_files_say_why(
    name: str, content: bytes, says: str, tmp_path: Path, stub: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is cut off, of another encoding or kind, or one open quote, is bad, with the reason."""
    monkeypatch.setattr(lines, "LONGEST", 200_000)
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(BadFile, match=says):
        relabel_here(source, tmp_path / "out", Options(encoding="utf-8"), stub)


def test_a_workbook(tmp_path: Path, stub: Classifier) -> None:
    """A sheet becomes CSV that spreadsheets open: text stays, numbers and dates are written out."""
    source = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["text", "wrong sheet"])
    sheet = book.create_sheet("reports")
    for row in (
        ["id", "text", "n", "at"],
        ["007", ZH, 3.0, datetime(2026, 1, 2, 3, 4)],
        [None, None, None, None],
        [8, 12345, 0.5, date(2026, 1, 2)],
        [9, None, True, None],
        [10, "my loan never came"],
    ):
        sheet.append(row)
    book.save(source)
    options = Options(Columns(id="id"), chunk=3, sheet="reports")
    parts, diff = relabel_here(source, tmp_path / "out", options, stub)
    assert parts[0].read_bytes().startswith(b"\xef\xbb\xbfid,text")
    head, *rows = cells(parts, "utf-8-sig")
    assert [row[:4] for row in rows] == [
        ["007", ZH, "3", "2026-01-02 03:04:00"],
        ["8", "12345", "0.5", "2026-01-02 00:00:00"],
        ["9", "", "true", ""],
        ["10", "my loan never came", "", ""],
    ]
    assert [row[head.index("error")] for row in rows] == ["", "not_a_string", "blank", ""]
    assert diff.rows == 4
    with pytest.raises(BadFile, match="no sheet"):
        list(format_of(find(source)[0]).chunks(find(source)[0], Options(sheet="none")))
