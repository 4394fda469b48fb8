"""Worker processes are forked by a server process, which has read what they need once for all of them.

The server is Python's own (`multiprocessing.forkserver`). It answers nothing and runs nothing beside, so that
a fork of it is no gamble: of threads it has Arrow's allocator's, which copes with forks. It is one for the
process, and for one crew at a time.
"""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver, get_context, resource_tracker
from typing import Any

from service.labels import RelabelError

_context = get_context("forkserver")
_server: Any = forkserver._forkserver


def begin() -> None:
    """Starts the server, unless it runs, so that it reads while this process does something else.

    Raises RelabelError where it cannot be started.
    """
    _context.set_forkserver_preload(["service.preload"])
    try:
        # Ctrl-C goes to all processes of a terminal, and Python would tell of it in the middle of an import.
        # The tracker is started first, for the server would start it and let signals through afterwards.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except OSError as error:
        raise unusable(error) from error


def pool(workers: int, settle: Callable[[], None]) -> ProcessPoolExecutor:
    """A pool of so many processes, each of which begins with `settle`. Raises RelabelError where there cannot
    be one."""
    begin()
    try:
        return ProcessPoolExecutor(workers, _context, settle)
    except OSError as error:
        raise unusable(error) from error


def end() -> None:
    """Ends the server, which would else stay, with its memory, for as long as this process."""
    if _server._forkserver_pid is not None:
        with suppress(ProcessLookupError):  # asked to end, it would first wait for all that it has forked
            os.kill(_server._forkserver_pid, signal.SIGKILL)
    _server._stop()


def unusable(error: OSError) -> RelabelError:
    """What is said where no worker process can be begun."""
    return RelabelError(
        "workers_unusable",
        f"no worker process can be begun ({error}); they need some free memory, /dev/shm, and a folder for a "
        "socket: name one by TMPDIR that can be written to and whose path has at most 70 characters",
    )
