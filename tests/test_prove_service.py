"""Short forms of benchmarks.prove_service, which `make prove-service` runs for half an hour."""

from pathlib import Path
from typing import Any

from benchmarks import prove_service


def broken(found: dict[str, Any]) -> int:
    """How often a promise was not kept."""
    return sum(found.get(promise, 0) for promise in prove_service.PROMISES)


def test_no_acknowledged_report_is_lost_to_kill(small_model: Path, tmp_path: Path) -> None:
    """After kill -9 amidst writes all acknowledged reports are there once, the erased in no file."""
    found = prove_service.kills(tmp_path, 2, RUSE_MODELS=str(small_model))
    assert found["acknowledged"] > 20
    assert found["erased"] > 0
    assert found["broken"] > 0
    assert not broken(found), found


def test_twenty_writers_at_once(small_model: Path, tmp_path: Path) -> None:
    """Twenty writers on SQLite under two workers: all are served, none is told to come again."""
    found = prove_service.crowd(tmp_path, 20, 5, RUSE_MODELS=str(small_model), RUSE_WORKERS="2")
    assert found["statuses"] == {"201": 100}
    assert found["stored"] == 100
    assert not broken(found), found


def test_a_mixed_load(small_model: Path, tmp_path: Path) -> None:
    """With promotions and killed workers in it, a load gets no 5xx and loses and doubles nothing."""
    found = prove_service.load(tmp_path, 4.0, small_model, kill_every=2.0, promote_every=0.6)
    assert not broken(found), found
    assert found["kills"] >= 1
    assert found["promotions"] >= 5
    assert set(found["statuses"]) <= {"200", "201", "204", "404", "410"}, found
