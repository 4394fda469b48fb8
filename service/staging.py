"""Classifies all rows of a database again, page after page, and keeps the answers beside.

Pages go by key, never by offset, and a page's answers and its place in the count are written in one
transaction. A row that has an answer is passed over, so a job that was killed simply begins again;
and the last pass finds what was added behind the first one's back.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from model import Classifier
from service.arrow import Columns
from service.database import Database
from service.diff import Diff
from service.jobs import Jobs

log = logging.getLogger("ruse.relabel")

PAGE = 100  # rows of one transaction: others may write again after some milliseconds
INTERVAL = 10.0  # seconds between lines of the log


class Source(Protocol):
    """Rows that are classified again, and where their answers are kept until a person approves."""

    database: Database
    jobs: Jobs
    columns: Columns

    def prepare(self) -> None:
        """Makes what the answers need. Raises RelabelError."""

    def count(self) -> int:
        """How many rows there are."""

    def read(self, job: str, after: Any, limit: int) -> Sequence[Any]:
        """Rows without an answer, by key, after a key; a row's key comes first."""

    def answer(self, job: str, rows: Sequence[Any], classifier: Classifier) -> list[dict[str, Any]]:
        """What is to be kept of them."""

    def keep(self, connection: Connection, answers: list[dict[str, Any]]) -> tuple[int, int]:
        """Keeps the answers; how many, and how many of them are errors."""

    def sample(self, limit: int) -> Sequence[Any]:
        """Some rows, any."""

    def diff(self, job: str, found: Diff) -> None:
        """Counts what would change."""

    def compare(self, rows: Sequence[Any], answers: Sequence[Any], found: Diff) -> None:
        """Counts what these answers to these rows would change."""

    def apply(self, job: str, actor: str) -> dict[str, Any]:
        """Makes the answers the current ones, all at once. Raises UnknownJob, WrongState."""

    def revert(self, job: str, actor: str) -> dict[str, Any]:
        """Makes current what was so before. Raises UnknownJob, WrongState, NotNewest."""

    def cancel(self, job: str, actor: str) -> dict[str, Any]:
        """Ends a job that was not applied. Raises UnknownJob, WrongState."""

    def tidy(self, job: dict[str, Any]) -> None:
        """Removes answers that nobody needs any more, some at a time."""


def preview(source: Source, classifier: Classifier, size: int) -> dict[str, Any]:
    """What a sample would change, and how many seconds all would take; keeps nothing."""
    total, rows, found = source.count(), source.sample(size), Diff()
    began = time.perf_counter()
    for at in range(0, len(rows), PAGE):
        part = rows[at : at + PAGE]
        source.compare(part, source.answer("", part, classifier), found)
    seconds = (time.perf_counter() - began) / max(len(rows), 1) * total
    report = found.report(classifier.taxonomy, source.columns, {"model": classifier.manifest.version})
    return report | {"rows_expected": total, "seconds_expected": round(seconds, 1)}


class NotNewest(Exception):
    """Another job was applied since; that one must be reverted first."""


def run(
    source: Source,
    job: str,
    classifier: Classifier,
    go_on: Callable[[], bool],
    tell: Callable[[int, int, int], None] = lambda done, total, errors: None,
) -> bool:
    """Works on a job until it waits for approval; False where `go_on` said to stop before.

    `tell` is told after each page how many rows are done of how many, and how many errors are among them.

    Raises Cancelled where the job was cancelled, RelabelError, and whatever the database raises: then
    it can be run again, and goes on where it was.
    """
    source.prepare()
    row = source.jobs.begin(job, classifier.manifest.version, classifier.taxonomy.version, source.count())
    began = told = time.monotonic()
    done, bad = row["done"], row["errors"]
    log.info("relabel_running", extra={"relabel": job, "done": done, "total": row["total"]})
    after, passes, seen = None, 1, 0
    while go_on():
        rows = source.read(job, after, PAGE)
        if rows:
            answers = source.answer(job, rows, classifier)
            with source.database.writing() as connection:
                kept, errors = source.keep(connection, answers)
                done, bad = done + kept, bad + errors
                source.jobs.note(connection, job, done, bad, done / max(row["total"], 1))
            tell(done, row["total"], bad)
            seen += len(rows)
            after = rows[-1][0]
        if len(rows) < PAGE:
            if passes > 1 and seen < PAGE:
                break
            after, passes, seen = None, passes + 1, 0
        if time.monotonic() - told > INTERVAL:
            told = time.monotonic()
            rate = round((done - row["done"]) / (told - began))
            log.info("relabel_progress", extra={"relabel": job, "done": done, "rows_per_second": rate})
    else:
        return False
    found = Diff()
    source.diff(job, found)
    about = {"relabel": job, "source": row["source"], "model": row["model"], "taxonomy": row["taxonomy"]}
    report = found.report(classifier.taxonomy, source.columns, about)
    source.jobs.settle(job, "waiting_for_approval", diff=report)
    rate = round((done - row["done"]) / max(time.monotonic() - began, 1e-3))
    log.info("relabel_waits", extra={"relabel": job, "done": done, "rows_per_second": rate})
    return True
