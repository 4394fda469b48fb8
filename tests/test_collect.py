"""Collecting: three kinds of files, foreign labels, and every bad row named by file and line."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from model.taxonomy import Taxonomy
from training import collect, corpora
from training.corpora import Corpus, CorpusError

ROWS = [
    {"id": "007", "words": "办贷款先交了保证金", "kind": "fake_loan"},
    {"id": "008", "words": "an officer\nsaid my parcel held drugs", "kind": "parcel_case"},
]


def corpus(path: Path, **fields: object) -> Corpus:
    """A corpus of a file with the columns of ROWS."""
    known = {"text_column": "words", "label_column": "kind", **fields}
    return Corpus("some", path, "fit", "Apache-2.0", "a test", **known)  # type: ignore[arg-type]


def write(path: Path) -> Path:
    """Writes ROWS in the form that the suffix names."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        lines = [",".join(ROWS[0]), *(",".join(f'"{cell}"' for cell in row.values()) for row in ROWS)]
        path.write_text("\n".join(lines) + "\n", "gb18030" if "gb" in path.stem else "utf-8-sig")
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "gb.csv", "a.parquet"])
def test_every_kind_of_file_reads_the_same(tmp_path: Path, tree: Taxonomy, name: str) -> None:
    """JSONL, CSV in two encodings and Parquet give the same examples, ids and line breaks kept."""
    encoding = "gb18030" if name.startswith("gb") else "utf-8-sig"
    rows, faults = collect.read(corpus(write(tmp_path / name), encoding=encoding), tree)
    assert not faults
    assert [(r.example.id, r.example.text, r.example.category, r.example.scheme) for r in rows] == [
        ("007", ROWS[0]["words"], "fake_loan", None),
        ("008", ROWS[1]["words"], "law_enforcement_impersonation", "parcel_case"),
    ]


def test_foreign_labels_go_through_a_crosswalk(tmp_path: Path, tree: Taxonomy) -> None:
    """A label of somebody else's becomes a category, or a fault where it goes nowhere."""
    path = tmp_path / "a.csv"
    path.write_text("words,kind\n一,假投資詐騙\n二,假廣告詐騙\n三,no such label\n")
    rows, faults = collect.read(corpus(path, crosswalk="taiwan_165"), tree)
    assert [row.example.category for row in rows] == ["fake_investment"]
    assert [str(fault) for fault in faults] == [
        "a.csv:3: its label goes nowhere",
        "a.csv:4: unknown label 'no such label'",
    ]
    with pytest.raises(CorpusError, match="no crosswalk 'gone'"):
        collect.read(corpus(path, crosswalk="gone"), tree)


def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, tree: Taxonomy) -> None:
    """Wrong encoding, missing cells, blanks and unknown labels each have file and line, without words."""
    path = tmp_path / "a.csv"
    good = '"a long\nkestrel story",romance\n'
    path.write_bytes(
        f"words,kind\n{good}".encode() + "乱码,romance\n".encode("gb18030")
        + b"kestrel\n  ,romance\nkestrel," + b"kestrel " * 9 + b"\nthe end,romance\n"
    )  # fmt: skip
    rows, faults = collect.read(corpus(path), tree)
    assert [row.where for row in rows] == ["a.csv:2", "a.csv:8"]
    assert [fault.where for fault in faults] == [f"a.csv:{n}" for n in (4, 5, 6, 7)]
    assert [fault.kind for fault in faults] == ["encoding", "syntax", "blank", "label"]
    assert "kestrel" not in "".join(map(str, faults))


def test_a_missing_column_is_one_fault(tmp_path: Path, tree: Taxonomy) -> None:
    """A column that is not there is said once, with the columns that are."""
    with pytest.raises(CorpusError, match=r"no column \['text'\].*id, words, kind"):
        collect.read(corpus(write(tmp_path / "a.csv"), text_column="text"), tree)


def test_too_many_bad_rows_stop_the_run(tmp_path: Path, tree: Taxonomy) -> None:
    """A few bad rows are left out and told; more than a share stop everything, each with its place."""
    path = tmp_path / "a.csv"
    path.write_text("words,kind\n" + "".join(f"text {i},romance\n" for i in range(60)) + "x,y\n")
    rows, faults, about = collect.gather([corpus(path)], tree)
    assert (len(rows), len(faults)) == (60, 1)
    assert about[0]["bad"] == 1
    assert about[0]["sha256"] == corpora.digest([path])
    path.write_text("words,kind\na,romance\nb,bees\n")
    with pytest.raises(CorpusError, match=r"a\.csv:3") as caught:
        collect.gather([corpus(path)], tree)
    assert "1 of 2 rows are bad" in str(caught.value)


def test_what_is_only_measured_is_never_gathered(tmp_path: Path, tree: Taxonomy) -> None:
    """A retraining refuses a corpus marked for measuring, before it reads a row."""
    known = Corpus("exam", write(tmp_path / "a.jsonl"), "measure", "none", "a test")
    with pytest.raises(CorpusError, match="'exam' is for measuring only"):
        collect.gather([known], tree)


def test_conflicting_labels_all_fall(tmp_path: Path, tree: Taxonomy) -> None:
    """Rows of one text with several labels are all left out, each naming the others; copies count once."""
    path = tmp_path / "a.csv"
    path.write_text("words,kind\nOne text!,romance\none  text,fake_loan\nplain,romance\nPlain.,romance\n")
    rows, _ = collect.read(corpus(path), tree)
    kept, faults, copies = collect.conflicts(rows)
    assert [row.where for row in kept] == ["a.csv:4"]
    assert copies == 1
    assert [str(fault) for fault in faults] == [
        f"a.csv:{n}: its text has several labels (a.csv:2, a.csv:3)" for n in (2, 3)
    ]


def test_a_review_cannot_take_a_row_out_of_a_corpus(tmp_path: Path, tree: Taxonomy) -> None:
    """Where a review contradicts a corpus about one text, the review alone falls."""
    path, other = tmp_path / "a.csv", tmp_path / "b.jsonl"
    path.write_text("words,kind\nOne text,romance\n")
    other.write_text(json.dumps({"text": "one text", "category": "fake_loan", "reviewer": "p"}) + "\n")
    reviews = Corpus("reviews", other, "fit", "own", "desk", reviews=True)
    rows = collect.read(corpus(path), tree)[0] + collect.read(reviews, tree)[0]
    kept, faults, _ = collect.conflicts(rows)
    assert [row.where for row in kept] == ["a.csv:2"]
    assert [fault.where for fault in faults] == ["b.jsonl:1"]
