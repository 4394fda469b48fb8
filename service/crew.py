"""Worker processes: chunks are handed out, and what is finished is put in its place.

Only the parent renames and notes: a worker that outlives it can change nothing. A worker that is killed
takes the pool with it, and another pool does what was in hand.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model import ModelError
from model.lean import without_scipy
from service import arrow, processes
from service.diff import Diff
from service.files import BadFile, Chunk, File, Options, format_of, number_rows
from service.labels import RelabelError
from service.manifest import Manifest

MOST_DEATHS = 5  # of pools in a row, without a chunk finished in between


@dataclass(frozen=True)
class Job:
    """What is to be relabelled into which folder; `models` is the folder of one model."""

    source: Path
    target: Path
    models: Path
    options: Options = field(default_factory=Options)
    workers: int = 1
    restart: bool = False


@dataclass
class Progress:
    """How far a job is; bytes are those of the input. `skipped` were done by an earlier run."""

    bytes: int
    done: int = 0
    rows: int = 0
    parts: int = 0
    skipped: int = 0
    errors: int = 0
    bad: dict[str, str] = field(default_factory=dict)


class Stopped(Exception):
    """The job was told to stop; the same job goes on where it was."""


class Crew:
    """Worker processes and the chunks that they have in hand.

    The processes begin at once and read the model. Raises RelabelError where they cannot.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bad: set[int] = set()
        self._hands: dict[Future[dict[str, Any]], tuple[Chunk, Path]] = {}
        self._deaths = 0
        self._hire()

    def wait_for_model(self) -> None:
        """Until a process has read the model. Raises ModelError where it cannot be read."""
        with suppress(BrokenProcessPool):  # another pool will do the work
            self._warm[0].result()

    def work(
        self,
        files: list[File],
        sha256: str,
        manifest: Manifest,
        progress: Progress,
        watch: Callable[[Progress], None],
        goes_on: Callable[[], bool],
    ) -> None:
        """Until every chunk is done."""
        self._sha256, self._manifest = sha256, manifest
        self._progress, self._watch, self._goes_on = progress, watch, goes_on
        good = [file for file in files if file.name not in progress.bad]
        for chunk in (chunk for file in good for chunk in self._chunks(file)):
            self._submit(chunk)
            while len(self._hands) >= 2 * self._job.workers:
                self._collect()
        while self._hands:
            self._collect()

    def close(self) -> None:
        """Ends the processes, whatever they do, and takes away what they leave half done."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=True)
        for _, written in self._hands.values():
            written.unlink(missing_ok=True)

    def _hire(self) -> None:
        while True:
            self._pool = processes.pool(self._job.workers, _settle)
            try:
                self._warm = [self._pool.submit(_warm_up, self._job.models) for _ in range(self._job.workers)]
                return
            except (EOFError, ConnectionError):  # the server was killed before it had forked
                self.close()
                self._count_death()
            except OSError as error:
                self.close()
                raise processes.unusable(error) from error

    def _chunks(self, file: File) -> Iterator[Chunk]:
        """What of a file is to be done."""
        work = format_of(file)
        try:
            for chunk in work.chunks(file, self._job.options):
                if file.number in self._bad:
                    return
                if self._manifest.has(chunk.part(work.suffix(file))):
                    self._progress.done += chunk.weight
                    self._progress.skipped += chunk.weight
                else:
                    yield chunk
        except BadFile as error:
            self._spoil(file, str(error))

    def _submit(self, chunk: Chunk) -> None:
        part = chunk.part(format_of(chunk.file).suffix(chunk.file))
        place = self._job.target / part
        written = place.with_name(f".{place.name}.{os.getpid()}.new")
        try:
            future = self._pool.submit(do, chunk, self._job, self._sha256, written)
        except BrokenProcessPool:
            self._begin_again([chunk])
        else:
            self._hands[future] = (chunk, written)

    def _collect(self) -> None:
        """Waits for a chunk, and puts what is finished in its place."""
        finished, _ = wait(self._hands, timeout=0.5, return_when=FIRST_COMPLETED)
        if not finished:
            self._ask()
        lost = []
        for future in finished:
            self._ask()  # each time: several may have finished at once
            chunk, written = self._hands.pop(future)
            try:
                diff = future.result()
            except BrokenProcessPool:
                written.unlink(missing_ok=True)
                lost.append(chunk)
                continue
            except BadFile as error:
                self._spoil(chunk.file, str(error))
                continue
            if chunk.file.number in self._bad:
                written.unlink(missing_ok=True)
                continue
            self._manifest.finish(chunk, chunk.part(format_of(chunk.file).suffix(chunk.file)), written, diff)
            self._deaths = 0
            self._progress.done += chunk.weight
            self._progress.rows += diff["rows"]
            self._progress.errors += sum(diff["errors"].values())
            self._progress.parts = self._manifest.parts
            self._watch(self._progress)
        if lost:
            self._begin_again(lost)

    def _ask(self) -> None:
        if not self._goes_on():
            raise Stopped

    def _begin_again(self, lost: list[Chunk]) -> None:
        """A worker was killed, and the pool with it: another one does what was in hand."""
        self._count_death()
        lost += [chunk for chunk, _ in self._hands.values()]
        self.close()
        self._hands.clear()
        self._hire()
        for chunk in lost:
            self._submit(chunk)

    def _count_death(self) -> None:
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise RelabelError(
                "workers_died",
                "worker processes die again and again, perhaps for want of memory; what is done is kept, "
                "try again with fewer --workers or a smaller --chunk and --restart",
            )

    def _spoil(self, file: File, reason: str) -> None:
        self._bad.add(file.number)
        drop(self._manifest, self._progress, file, reason)
        self._watch(self._progress)


def drop(manifest: Manifest, progress: Progress, file: File, reason: str) -> None:
    """Notes that a file is bad."""
    progress.bad[file.name] = reason
    manifest.drop(file.number, reason)


def _settle() -> None:
    """Makes a process a worker: one thread, deaf to Ctrl-C, gone when the process that it works for is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    without_scipy()

    def watch() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _warm_up(models: Path) -> None:
    """Reads the model and answers once."""
    arrow.load(models).classify_utf8(b"warm up", np.array([0, 7]))


def do(chunk: Chunk, job: Job, sha256: str, written: Path) -> dict[str, Any]:
    """A worker's work: the part, written and safe on the disk; what it adds to the diff."""
    classifier = arrow.load(job.models)
    if classifier.manifest.sha256 != sha256:
        raise RelabelError("model_changed", f"{job.models}: holds another model than when the job began")
    diff = Diff()
    written.parent.mkdir(parents=True, exist_ok=True)
    try:
        format_of(chunk.file).relabel(chunk, job.options, classifier, written, diff)
        with written.open("rb") as file:
            os.fsync(file.fileno())
    except (BadFile, RelabelError, ModelError, OSError):
        written.unlink(missing_ok=True)
        raise
    except Exception as error:  # its message might quote a text
        from service.guard import describe  # which brings what serves HTTP

        written.unlink(missing_ok=True)
        raise RelabelError("internal_error", f"{chunk.file.name}: {describe(error)}") from None
    number_rows(diff, chunk.file, job.options)
    return diff.as_dict()
