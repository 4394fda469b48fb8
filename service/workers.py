"""Several processes that answer on one port, and one that does jobs, begun again when they die."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import socket
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead

log = logging.getLogger("ruse.service")

TICK = 0.1  # seconds
SHORT_LIFE = 5.0  # a worker that lived no longer is begun again only after so many seconds
MARGIN = 5.0  # what a worker may take beyond drain and grace before it is killed


class Workers:
    """Runs `command` so many times; each inherits the listener and is told its file descriptor."""

    def __init__(
        self, command: Sequence[str], count: int, listener: socket, environment: Mapping[str, str]
    ) -> None:
        self._command = [*command, "--listener", str(listener.fileno()), "--parent", str(os.getpid())]
        self._count = count
        self._listener = listener
        self._environment = dict(environment)
        self._running: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._stop = threading.Event()
        self._signal = signal.SIGTERM

    def run(self, shared: Path, patience: float) -> int:
        """Until SIGTERM or SIGINT, and then until all have ended; the signal that ended it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        begin_at = [0.0] * self._count
        while not self._stop.wait(TICK):
            for slot in range(self._count):
                if slot in self._running:
                    process, began = self._running[slot]
                    if process.poll() is None:
                        continue
                    log.error("worker %d ended (%s); it is begun again", process.pid, process.returncode)
                    mark_process_dead(process.pid, str(shared))  # type: ignore[no-untyped-call]
                    del self._running[slot]
                    lived = time.monotonic() - began
                    begin_at[slot] = time.monotonic() + (SHORT_LIFE if lived < SHORT_LIFE else 0)
                if time.monotonic() >= begin_at[slot]:
                    self._running[slot] = (self._begin(), time.monotonic())
        self._listener.close()
        self._end(patience)
        return self._signal

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, env=self._environment, pass_fds=[self._listener.fileno()], stdin=subprocess.DEVNULL
        )

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        self._stop.set()

    def _end(self, patience: float) -> None:
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience + MARGIN
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("worker %d did not end in time and is killed", process.pid)
                process.kill()
                process.wait()


class Companion:
    """A context in which one more process runs, and is begun again when it dies."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = [*command, "--parent", str(os.getpid())]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="companion")

    def __enter__(self) -> "Companion":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
            while process.poll() is None and not self._stop.wait(TICK):
                pass
            if process.poll() is None:
                break
            log.error("process %d for jobs ended (%s); it is begun again", process.pid, process.returncode)
            self._stop.wait(SHORT_LIFE if time.monotonic() - began < SHORT_LIFE else 0)
        else:
            return
        process.terminate()
        try:
            process.wait(MARGIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
