"""Progress: a bar on a terminal, one line a step elsewhere (a log of cron keeps it)."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Move = Callable[[float], None]


@contextmanager
def step(name: str, total: float | None = None) -> Iterator[Move]:
    """Show a step while it runs; call what this yields with how much of `total` is done."""
    began = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda done: None
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)
        bar.update(task, total=total or 1, completed=total or 1)
