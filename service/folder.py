"""Jobs on files below one folder: paths that cannot lead out, and targets that appear at once.

A job writes into a hidden folder beside its target. To apply it is to rename that, to revert is to
rename it back; so nobody ever sees half of it.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, update

import model
from model import artifact
from model.classifier import SHIPPED
from service import relabel
from service.arrow import Columns
from service.database import Database
from service.files import Options
from service.jobs import OPEN, Cancelled, Jobs
from service.labels import RelabelError
from service.manifest import FOLDER
from service.settings import Settings
from service.store import write_audit

log = logging.getLogger("ruse.relabel")

CHUNK = 65_536  # rows of a part
LOOK = 1.0  # seconds between looks whether a job was cancelled


class PathRefused(Exception):
    """A path leads out of the folder, or to nothing."""


class TargetTaken(Exception):
    """There is something where the files should appear."""


class TargetMissing(Exception):
    """The files of a job are not where it left them."""


def find(folder: Path, name: str) -> Path:
    """A file or folder below `folder`, and all below it too: no link leads out. Raises PathRefused."""
    path = within(folder, name)
    if not path.exists():
        raise PathRefused
    for home, folders, files in os.walk(path):
        for entry in (*folders, *files):
            _check(folder, Path(home, entry))
    return path


def within(folder: Path, name: str) -> Path:
    """The path of a name below `folder`, whose parents lead nowhere else. Raises PathRefused."""
    path = folder / name
    if ".." in path.parts or Path(name).is_absolute():
        raise PathRefused
    _check(folder, path)
    return path


def _check(folder: Path, path: Path) -> None:
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself, or a name that is too long
        inside = False
    if not inside:
        raise PathRefused


class Files:
    """What becomes of the files of jobs."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.jobs = Jobs(database)

    def hidden(self, job: dict[str, Any]) -> Path:
        """Where a job writes. Raises PathRefused."""
        target = self.target(job)
        return target.with_name(f".{target.name}.relabel-{job['id']}")

    def target(self, job: dict[str, Any]) -> Path:
        """Where its files appear once it is applied. Raises PathRefused."""
        return within(self.folder, job["target"])

    def apply(self, job: str, actor: str) -> dict[str, Any]:
        """The files appear. Raises UnknownJob, WrongState, PathRefused, TargetTaken, TargetMissing."""
        with self.database.writing() as connection:
            row = self.jobs.decide(connection, job, ("waiting_for_approval",), "applied", actor)
            if row is not None:
                self._move(self.hidden(row), self.target(row), job)
                self._lies_beside(connection, job, False)
                write_audit(connection, actor, "relabel_applied", job, {"model": row["model"]})
            return self.jobs.read(connection, job)

    def revert(self, job: str, actor: str) -> dict[str, Any]:
        """The files vanish. Raises UnknownJob, WrongState, PathRefused, TargetTaken, TargetMissing."""
        with self.database.writing() as connection:
            row = self.jobs.decide(connection, job, ("applied",), "reverted", actor)
            if row is not None:
                self._move(self.target(row), self.hidden(row), job)
                self._lies_beside(connection, job, True)
                write_audit(connection, actor, "relabel_reverted", job, {"model": row["model"]})
            return self.jobs.read(connection, job)

    def cancel(self, job: str, actor: str) -> dict[str, Any]:
        """Ends a job that was not applied. Raises UnknownJob, WrongState."""
        with self.database.writing() as connection:
            if self.jobs.decide(connection, job, OPEN, "cancelled", actor) is not None:
                write_audit(connection, actor, "relabel_cancelled", job, {})
            return self.jobs.read(connection, job)

    def tidy(self, job: dict[str, Any]) -> None:
        """Removes files that nobody will see any more."""
        shutil.rmtree(self.hidden(job), ignore_errors=True)
        self.jobs.is_tidy(job["id"])

    def run(self, job: dict[str, Any], chosen: Settings, goes_on: Callable[[], bool]) -> None:
        """Works on a job until it waits for approval, or `goes_on` says no; it can be run again.

        Raises Cancelled, RelabelError, ModelError.
        """
        try:
            source, hidden = find(self.folder, job["source"]), self.hidden(job)
        except PathRefused:
            raise RelabelError("path_refused", "a path of the job leads out of the folder now") from None
        models = artifact.locate(chosen.models) if chosen.models else SHIPPED
        manifest = model.load(models).manifest
        row = self.jobs.begin(job["id"], manifest.version, manifest.taxonomy)
        columns = {name.removesuffix("_column"): value for name, value in job["options"].items()}
        options = Options(Columns(**columns, text_limit=chosen.text_limit), chunk=CHUNK)
        watch = _Watch(self, row)
        log.info("relabel_running", extra={"relabel": row["id"], "done": row["done"]})
        try:
            work = relabel.Job(source, hidden, models.resolve(), options, workers=1)
            report = relabel.run(work, watch.show, lambda: goes_on() and watch.runs())
        except relabel.Stopped:
            if watch.cancelled:
                raise Cancelled from None
            return
        (hidden / FOLDER / job["id"]).touch()  # by this it is known again, wherever it is
        report |= {"source": job["source"], "relabel": job["id"]}
        values = {"diff": report, "done": report["rows"], "errors": sum(report["errors"].values())}
        self.jobs.settle(job["id"], "waiting_for_approval", **values)
        log.info("relabel_waits", extra={"relabel": job["id"], "done": report["rows"]})

    def _lies_beside(self, connection: Connection, job: str, lies: bool) -> None:
        mine = self.jobs.table.c.id == job
        connection.execute(update(self.jobs.table).where(mine).values(leftovers=lies))

    def _move(self, source: Path, target: Path, job: str) -> None:
        """Renames; done already where a kill came between the renaming and the note of it."""
        mark = Path(FOLDER, job)
        if not (source / mark).exists():
            if (target / mark).exists():
                return
            raise TargetMissing
        if os.path.lexists(target):
            raise TargetTaken
        source.rename(target)
        parent = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


class _Watch:
    """Notes the progress of a job on files, and looks whether it was cancelled."""

    def __init__(self, files: Files, row: dict[str, Any]) -> None:
        self._files = files
        self._row = row
        self._looked = time.monotonic()
        self.cancelled = False

    def show(self, progress: relabel.Progress) -> None:
        """Takes note of how far it is."""
        done, errors = self._row["done"] + progress.rows, self._row["errors"] + progress.errors
        share = progress.done / max(progress.bytes, 1)
        with self._files.database.writing() as connection, suppress(Cancelled):
            self._files.jobs.note(connection, self._row["id"], done, errors, share)

    def runs(self) -> bool:
        """Whether nobody has cancelled it."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self.cancelled = self._files.jobs.get(self._row["id"])["state"] != "running"
        return not self.cancelled
