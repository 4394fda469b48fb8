"""How far a job is: a bar on a terminal, elsewhere a line of the log now and then."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from service import relabel

log = logging.getLogger("ruse.relabel")


class Meter:
    """Shows progress for as long as it is open; `interval` is seconds between lines of the log."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._began = self._said = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"),
                console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: relabel.Progress) -> None:
        """Takes note of how far the job is."""
        now = time.monotonic()
        rate = progress.rows / max(now - self._began, 1e-9)
        fresh = progress.done - progress.skipped
        left = (now - self._began) * (progress.bytes - progress.done) / fresh if fresh > 0 else None
        if self._bar is not None:
            words = f"{progress.rows:,} rows, {rate:,.0f} rows/s, {clock(left)} left, {progress.errors:,} bad"
            self._bar.update(self._task, total=progress.bytes, completed=progress.done, description=words)
        elif now - self._said >= self._interval:
            self._said = now
            log.info(
                "relabel_progress",
                extra={
                    "rows": progress.rows,
                    "rows_per_second": round(rate),
                    "share_done": round(progress.done / max(progress.bytes, 1), 4),
                    "seconds_left": None if left is None else max(round(left), 0),
                    "bad_rows": progress.errors,
                },
            )


def clock(seconds: float | None) -> str:
    """A time as h:mm:ss; ? where it is not known."""
    if seconds is None:
        return "?"
    whole = max(round(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
