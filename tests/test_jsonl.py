"""service.jsonl: lines go through byte for byte."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from model import Classifier
from service.arrow import ADDED, Columns, RelabelError
from service.files import BadFile, Options
from tests.fakes import ColumnsClassifier
from tests.relabelling import relabel_here

LINES = [
    b'{"id": 1.10, "text": "\\u529e\\u8d37\\u6b3e\\u5148\\u4ea4", "big": 123456789012345678901234567890}',
    b'{"text":"my loan never came","was":"fake_loan","deep":{"a":[1,{"b":null}]}}',
    b"  ",
    b'{"text": 5}',
    b"{}",
    b'{"text": null, "text2": "%s"}',
    b"not json at all \xff",
    b'["text"]',
    b'{"text": "mine", "category": "theirs"}',
]


@pytest.fixture(scope="module")
def stub() -> Classifier:
    return ColumnsClassifier()


def test_lines_pass_byte_for_byte(tmp_path: Path, stub: Classifier) -> None:
    """Each line begins with its own bytes and goes on with our keys; what is no object is wrapped."""
    source = tmp_path / "a.jsonl"
    head = (
        b'{"text": "one loan", "was": null}\n' * 1_000
    )  # the clash of names stands behind what is looked at first
    source.write_bytes(b"\xef\xbb\xbf" + head + b"\n".join(LINES))
    parts, diff = relabel_here(source, tmp_path / "out", Options(Columns(label="was"), chunk=1_004), stub)
    assert [part.name for part in parts] == ["part-00000-00000.jsonl", "part-00000-00001.jsonl"]
    written = b"".join(part.read_bytes() for part in parts).splitlines()[1_000:]
    given = [line for line in LINES if line.strip()]
    rows = [json.loads(line) for line in written]
    codes = [None, None, "not_a_string", "no_text", "no_text", "not_json", "not_json", "column_taken"]
    assert [row["error"] for row in rows] == codes
    for line, out, row in zip(given, written, rows, strict=True):
        if row["error"] in ("not_json", "column_taken"):
            assert row["unreadable"] == line.decode("utf-8", "backslashreplace")
        else:
            assert out.startswith(line[:-1])
        assert list(row)[-len(ADDED) :] == ADDED.names
    assert (rows[1]["old_label"], rows[1]["changed"], rows[1]["needs_review"]) == ("fake_loan", False, False)
    assert rows[0]["category_probability"] == pytest.approx(0.6)
    assert diff.rows == 1_008
    assert diff.errors == {"not_a_string": 1, "no_text": 2, "not_json": 2, "column_taken": 1}


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_packed_lines(packed: str, tmp_path: Path, stub: Classifier) -> None:
    """.gz and .zst are read, several frames too, and written alike."""
    line = b'{"text": "my loan never came"}\n'
    source = tmp_path / f"a.ndjson{packed}"
    codec = pa.Codec({".gz": "gzip", ".zst": "zstd"}[packed])
    source.write_bytes(2 * codec.compress(3 * line, asbytes=True))
    (part,), diff = relabel_here(source, tmp_path / "out", Options(), stub)
    assert part.name == f"part-00000-00000.jsonl{packed}"
    with pa.input_stream(str(part)) as stream:
        assert stream.read().count(b'"category":"fake_loan"') == 6
    assert diff.rows == 6


def test_what_stops_a_file(tmp_path: Path, stub: Classifier) -> None:
    """A taken key is told of before the work, and a file without an object in its head is bad."""
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'{"text": "a", "scheme": 1}\n')
    with pytest.raises(RelabelError, match="--prefix"):
        relabel_here(source, tmp_path / "one", Options(), stub)
    source.write_bytes(gzip.compress(b"text"))
    with pytest.raises(BadFile, match="JSON object"):
        relabel_here(source, tmp_path / "two", Options(), stub)
