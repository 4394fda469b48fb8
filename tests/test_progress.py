"""service.progress: a bar on a terminal, a line now and then elsewhere."""

import io
import logging
import sys

import pytest

from service.crew import Progress
from service.progress import Meter, clock


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        """True."""
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A terminal gets a bar with rows, rows a second and the time left, and no line of the log."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO), Meter(0) as meter:
        meter.show(Progress(bytes=100, done=50, rows=1_234, errors=7))
    assert "1,234 rows" in shown.getvalue()
    assert "rows/s" in shown.getvalue()
    assert " left" in shown.getvalue()
    assert "7 bad" in shown.getvalue()
    assert not caplog.records


def test_a_line_an_interval_elsewhere(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal there is at most a line an interval; what an earlier run did is not our rate."""
    now = iter([0.0, 10.0, 30.0, 31.0, 62.0])
    monkeypatch.setattr("service.progress.time.monotonic", lambda: next(now))
    with caplog.at_level(logging.INFO, "ruse.relabel"), Meter(30) as meter:
        for rows in (100, 300, 310, 620):
            meter.show(Progress(bytes=1_000, done=400 + rows // 2, rows=rows, skipped=400))
    first, second = (vars(record) for record in caplog.records)
    assert (first["rows"], first["rows_per_second"], first["seconds_left"]) == (300, 10, 90)
    assert (second["rows"], second["share_done"]) == (620, 0.71)


def test_times() -> None:
    """Times are read at a glance, and an unknown one is no number."""
    assert [clock(s) for s in (None, 0, 61.4, 36_000)] == ["?", "0:00:00", "0:01:01", "10:00:00"]
