"""service.arrow: the model's columns behind those of an Arrow batch."""

from pathlib import Path

import pyarrow as pa
import pytest

import model
from model.text import fault
from service.arrow import ADDED, WHITE, Columns, RelabelError, classify_arrow, load, readable, relabel
from service.labels import Labels

TEXTS = [
    "办贷款先让我交保证金，钱没放下来",
    "The shop refuses to take back the shoes",
    "包裹藏毒 😀",
    "a" * 50,
]
KINDS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_batch_says_what_classify_says(kind: pa.DataType, small_model: Path) -> None:
    """Whatever the width of the column, each row has the values of its own prediction."""
    texts = pa.array(["left out", *TEXTS]).cast(kind).slice(1)
    batch = pa.record_batch({"text": texts, "n": pa.array([1, 2, 3, 4], pa.uint8())})
    found = classify_arrow(batch, models=small_model)
    assert found.schema.names == ["text", "n", *ADDED.names]
    assert found.select(["text", "n"]).equals(batch)
    said = model.load(small_model).classify(TEXTS)
    for row, prediction in zip(found.to_pylist(), said, strict=True):
        assert (row["old_label"], row["changed"], row["error"]) == (None, None, None)
        for name in set(ADDED.names) - {"old_label", "changed", "error"}:
            assert row[name] == getattr(prediction, name), name


def test_a_dictionary_and_an_empty_batch(small_model: Path) -> None:
    """A dictionary of texts is read, and a batch without rows stays one."""
    columns = pa.array(TEXTS * 2).dictionary_encode()
    found = classify_arrow(pa.record_batch({"text": columns}), models=small_model)
    assert found["category"].to_pylist()[:4] == found["category"].to_pylist()[4:]
    empty = classify_arrow(pa.record_batch({"text": pa.array([], pa.string())}), models=small_model)
    assert (len(empty), empty.schema.names) == (0, ["text", *ADDED.names])


def test_bad_rows_go_through(small_model: Path) -> None:
    """A row without a usable text has a code in `error` and no answer; its neighbours are answered."""
    texts = [
        b"my loan never came",
        None,
        b"",
        " \u3000\x1c".encode(),
        b"a\0b",
        b"\xff\xfe",
        b"ab" * 20,
        b"\xe6\x88",
    ]
    columns = Columns(text_limit=30, prefix="new_")
    found = classify_arrow(pa.record_batch({"text": pa.array(texts)}), columns, small_model)
    codes = [None, "no_text", "blank", "blank", "nul", "not_decodable", "too_long", "not_decodable"]
    assert found["new_error"].to_pylist() == codes
    assert [c is None for c in found["new_category"].to_pylist()] == [code is not None for code in codes]
    numbers = pa.record_batch({"text": pa.array([1, None])})
    assert classify_arrow(numbers, models=small_model)["error"].to_pylist() == ["not_a_string", "no_text"]


def test_the_rules_for_texts_are_those_of_the_model() -> None:
    """What is blank, too long or has a NUL is so here as for the command line and the service."""
    assert {c for c in map(chr, range(0x110000)) if c.isspace()} == set(WHITE)
    texts = ["", *WHITE, f"{WHITE}a", "x" * 9, "😀" * 8, "😀" * 9, "a\0", "ok"]
    _, faults = readable(pa.array(texts), 8)
    assert faults.to_pylist() == [
        fault(text, 8) if len(text) != len(WHITE) + 1 else "too_long" for text in texts
    ]


def test_faults_that_are_known_stay(small_model: Path) -> None:
    """A reader's own fault of a row outranks what the text looks like."""
    batch = pa.record_batch({"text": ["my loan never came", "the loan"]})
    found = relabel(batch, Columns(), load(small_model), pa.array([None, "missing_cells"]))
    assert found["error"].to_pylist() == [None, "missing_cells"]
    assert found["category"][0].is_valid
    assert not found["category"][1].is_valid


@pytest.mark.parametrize(
    ("columns", "code", "says"),
    [
        (Columns(text="words"), "column_missing", "'words'"),
        (Columns(label="was"), "column_missing", "--label-column"),
        (Columns(), "column_taken", "--prefix"),
        (Columns(prefix="p_", level="leaf"), "level_unknown", "category, scheme"),
        (Columns(prefix="p_", crosswalk="theirs"), "crosswalk_unknown", "mps_ten_types"),
    ],
)
def test_wrong_columns_are_refused(columns: Columns, code: str, says: str, small_model: Path) -> None:
    """A missing column, a taken name, an unknown level or crosswalk is refused with what to do."""
    batch = pa.record_batch({"text": ["a"], "scheme": ["b"]})
    with pytest.raises(RelabelError, match=says) as caught:
        classify_arrow(batch, columns, small_model)
    assert caught.value.code == code


def test_old_labels(tree: model.Taxonomy) -> None:
    """A label is compared as what it is: a category, a scheme's category, a retired or a foreign name."""
    ours = Labels(tree)
    assert ours.old("loan_upfront_fee").name == "fake_loan"
    assert ours.old("gone").name == "gone"
    assert ours.old("gone").known
    assert Labels(tree, "scheme").old("loan_upfront_fee").level == "scheme"
    theirs = Labels(tree, "scheme", "ccl2023_fcc")
    assert (theirs.old("刷单返利类").name, theirs.old("刷单返利类").level) == ("part_time_job", "category")
    assert not theirs.old("gone").known


def test_changed(small_model: Path) -> None:
    """`changed` compares at the level asked for, and is null where there is nothing to compare."""
    texts = ["办贷款先让我交保证金，交了又说流水不够，钱没放下来"] * 5 + [""]
    labels = pa.array(["fake_loan", " loan_upfront_fee ", "romance", None, "", "romance"])
    batch = pa.record_batch({"text": texts, "was": labels})
    found = classify_arrow(batch, Columns(label="was"), small_model)
    assert found["category"][0].as_py() == "fake_loan"
    assert found["changed"].to_pylist() == [False, False, True, None, None, None]
    assert found["old_label"].to_pylist() == [
        "fake_loan",
        "loan_upfront_fee",
        "romance",
        None,
        None,
        "romance",
    ]
    by_scheme = classify_arrow(batch, Columns(label="was", level="scheme"), small_model)
    assert by_scheme["changed"].to_pylist()[:3] == [True, False, True]
    foreign = pa.record_batch({"text": texts[:3], "was": ["虚假贷款类诈骗", "刷单返利类诈骗", "fake_loan"]})
    columns = Columns(label="was", crosswalk="mps_ten_types")
    assert classify_arrow(foreign, columns, small_model)["changed"].to_pylist() == [False, True, None]
