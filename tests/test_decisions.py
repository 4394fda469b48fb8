"""Decisions of a person: taken in whole, obeyed, and the newer one holds."""

import json
from pathlib import Path

import pytest

from model.taxonomy import Taxonomy
from training import decisions
from training.collect import Row, key
from training.corpora import CorpusError, Example


def write(path: Path, **decided: str) -> Path:
    """Writes decisions by the text they are about."""
    lines = [json.dumps({"key": key(text), "decision": what}) for text, what in decided.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_decisions_are_obeyed(tmp_path: Path, tree: Taxonomy) -> None:
    """Rows are kept, dropped, or get another category or scheme with its category."""
    target = tmp_path / "models" / decisions.FILE
    assert decisions.add(write(tmp_path / "d", one="drop", two="romance"), target, tree) == 2
    decisions.add(write(tmp_path / "d", two="parcel_case", three="keep"), target, tree)
    texts = ("one", "Two!", "three", "four")
    rows = [Row(Example(t, t, "fake_loan", "loan_upfront_fee"), t, "c", "c", key(t)) for t in texts]
    found = decisions.apply(rows, decisions.load(target, tree), tree)
    assert [(r.where, r.example.category, r.example.scheme) for r in found] == [
        ("Two!", "law_enforcement_impersonation", "parcel_case"),
        ("three", "fake_loan", "loan_upfront_fee"),
        ("four", "fake_loan", "loan_upfront_fee"),
    ]
    (found,) = decisions.apply(rows[3:], {key("four"): "romance"}, tree)
    assert (found.example.category, found.example.scheme) == ("romance", None)


def test_wrong_decisions_are_refused_whole(tmp_path: Path, tree: Taxonomy) -> None:
    """Every fault has its line and nothing is taken in."""
    path = tmp_path / "d.jsonl"
    path.write_text('{"key": "ab", "decision": "keep"}\n{"key": "no hash", "decision": "keep"}\n[]\n')
    with path.open("a") as file:
        file.write('{"key": "cd", "decision": "bees"}\n')
    target = tmp_path / decisions.FILE
    with pytest.raises(CorpusError) as caught:
        decisions.add(path, target, tree)
    assert [fault.split(":")[1] for fault in caught.value.faults] == ["2", "3", "4"]
    assert not target.exists()
