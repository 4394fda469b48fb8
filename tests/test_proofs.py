"""docs.proofs: the page of what was proven."""

import json

import pytest

from benchmarks.prove_service import PROMISES
from docs import proofs


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads(proofs.RECORD.read_text("utf-8"))


def test_the_page_is_fresh(record: dict) -> None:
    """docs/proofs.md is what the record of `make prove-service` makes today."""
    assert proofs.PAGE.read_text("utf-8") == proofs.page(record)


def test_the_record_is_whole_and_kept_its_promises(record: dict) -> None:
    """Every proof was run and recorded with its day, and none broke a promise."""
    assert set(record) == {"command", "machine", "broken_promises", *proofs.ROWS}
    assert record["broken_promises"] == 0
    for name in proofs.ROWS:
        assert record[name]["date"]
        assert not [promise for promise in PROMISES if record[name].get(promise)], name
