"""Jobs on files below one folder: paths that cannot lead out, and targets that appear at once.

A job writes into a hidden folder beside its target. To apply it is to rename that, to revert is to
rename it back; so nobody ever sees half of it.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from service.database import Database
from service.jobs import OPEN, Jobs
from service.store import write_audit


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
                write_audit(connection, actor, "relabel_applied", job, {"model": row["model"]})
            return self.jobs.read(connection, job)

    def revert(self, job: str, actor: str) -> dict[str, Any]:
        """The files vanish. Raises UnknownJob, WrongState, PathRefused, TargetTaken, TargetMissing."""
        with self.database.writing() as connection:
            row = self.jobs.decide(connection, job, ("applied",), "reverted", actor)
            if row is not None:
                self._move(self.target(row), self.hidden(row), job)
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

    def sign(self, job: dict[str, Any]) -> None:
        """Marks the hidden folder as this job's, so that it is known again wherever it is."""
        (self.hidden(job) / "_ruse" / job["id"]).touch()

    def _move(self, source: Path, target: Path, job: str) -> None:
        """Renames; done already where a kill came between the renaming and the note of it."""
        mark = Path("_ruse", job)
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
