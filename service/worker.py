"""The process that does jobs: one at a time, and one process for each store.

It may be killed at any moment. What was running then is what the next one finds first, and every
source goes on where it was; so a lock that dies with its holder is all the coordination there is.
"""

import logging
import os
import threading
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

import model
from model import ModelError
from service import staging
from service.database import Database, DatabaseError, reason
from service.folder import Files
from service.guard import describe
from service.jobs import Cancelled, Jobs
from service.labels import STORE, RelabelError
from service.lock import Lock
from service.settings import Settings
from service.staged import Staged

log = logging.getLogger("ruse.relabel")

PAUSE = 1.0  # seconds between looks for a job
NICENESS = 10  # requests go first where there are too few cores
LONG_PAUSE = 5.0  # after the store could not be used
LATER = ("target_full", "target_locked")  # what may be otherwise in a while
ENDED = ("applied", "reverted", "failed", "cancelled")


class Worker:
    """Does the jobs of one store. `parent` is the process that started it, with which it ends."""

    def __init__(self, database: Database, settings: Settings, parent: int | None = None) -> None:
        self._database = database
        self._settings = settings
        self._parent = parent
        self._lock = Lock(database)
        self._jobs = Jobs(database)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ends the work at the next page; the job goes on with the next worker."""
        self._stop.set()

    def goes_on(self) -> bool:
        """Whether to go on: not stopped, not orphaned, and the lock is still ours."""
        orphaned = self._parent is not None and os.getppid() != self._parent
        return not self._stop.is_set() and not orphaned and self._lock.holds()

    def run(self) -> None:
        """Until it is stopped or orphaned."""
        pause = 0.0
        while not self._stop.wait(pause):
            if self._parent is not None and os.getppid() != self._parent:
                break
            try:
                pause = 0.0 if self._lock.take() and self.step() else PAUSE
            except (SQLAlchemyError, DatabaseError, OSError) as error:
                log.error("relabel_interrupted: %s; it is tried again", reason(error))
                pause = LONG_PAUSE
        self._lock.release()

    def step(self) -> bool:
        """Does the next job; without any it tidies up, and says False."""
        job = self._jobs.next()
        if job is None:
            self._tidy()
            return False
        try:
            self._work(job)
        except Cancelled:
            log.info("relabel_cancelled", extra={"relabel": job["id"]})
        except (RelabelError, ModelError) as error:
            if error.code in LATER:
                log.error("relabel_interrupted: %s; it is tried again", error.code)
                self._stop.wait(LONG_PAUSE)
            else:
                self._fail(job["id"], error.code)
        except (SQLAlchemyError, DatabaseError, OSError):
            raise
        except Exception as error:
            log.error("internal_error: %s", describe(error))
            self._fail(job["id"], "internal_error")
        return True

    def _work(self, job: dict[str, Any]) -> None:
        chosen = self._settings
        if job["source"] == STORE:
            source = Staged(self._database, chosen.audit_share)
            staging.run(source, job["id"], model.load(chosen.models), self.goes_on)
        elif chosen.relabel_folder is None:
            raise RelabelError("relabel_folder_unset", "RUSE_RELABEL_FOLDER is not set any more")
        else:
            Files(self._database, chosen.relabel_folder).run(job, chosen, self.goes_on)

    def _fail(self, job: str, code: str) -> None:
        log.error("relabel_failed", extra={"relabel": job, "problem": code})
        with suppress(Cancelled):
            self._jobs.settle(job, "failed", problem=code)

    def _tidy(self) -> None:
        for job in self._jobs.with_leftovers(ENDED):
            if job["source"] == STORE:
                Staged(self._database).tidy(job)
            elif self._settings.relabel_folder is not None and job["state"] != "applied":
                Files(self._database, self._settings.relabel_folder).tidy(job)
