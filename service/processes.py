"""Worker processes are forked by a server process, which has read what they need once for all of them.

The server is Python's own (`multiprocessing.forkserver`): it has one thread and answered nothing, so that a
fork of it is no gamble.
"""

import signal
from multiprocessing import forkserver, get_context

from service.labels import RelabelError

CONTEXT = get_context("forkserver")


def begin() -> None:
    """Starts the server, unless it runs, so that it reads while this process does something else.

    Raises RelabelError where it cannot be started.
    """
    CONTEXT.set_forkserver_preload(["service.preload"])
    # Ctrl-C goes to all processes of a terminal, and Python would tell of it in the middle of an import.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    except OSError as error:
        raise RelabelError(
            "workers_unusable",
            f"worker processes are reached by a socket in the folder of temporary files ({error}); "
            "name one by TMPDIR that can be written to and whose path has at most 70 characters",
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end() -> None:
    """Ends the server, which would else stay, with its memory, for as long as this process."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
