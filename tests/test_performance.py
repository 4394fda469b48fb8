"""docs.performance: the table of what was measured."""

import json

import pytest

from benchmarks import bench
from docs import performance


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads(performance.RECORD.read_text("utf-8"))


def test_the_table_is_fresh(record: dict) -> None:
    """The table in docs/performance.md is what the record of `make bench` makes today."""
    text = performance.PAGE.read_text("utf-8")
    assert performance.page(text, record) == text


def test_the_record_is_of_these_rows(record: dict) -> None:
    """The record has every row of the table, at full length, with the aims that hold today."""
    assert record["command"] == "python -m benchmarks.bench"
    assert list(record["rows"]) == list(bench.ROWS)
    for name, row in record["rows"].items():
        known = bench.ROWS[name]
        bounds = {"least": known.least, "most": known.most}
        assert row["path"] == known.path
        assert row["aim"] == {way: bound for way, bound in bounds.items() if bound is not None}
