"""Erasing reports for good, one by one or by age.

SQLite overwrites what it deletes (secure_delete), but not copies that it leaves in the unused middle
of a page when it moves rows between pages. So its log of changes is emptied at once, and its file is
written anew soon: seconds after in a small store, in a large one so seldom that it takes a hundredth
of the time.

What stays is a tombstone: that there was a report, on which day, when and why it was erased, and the
hash of all that was sent, by which the same report sent again is known and refused. The hash tells
nothing to who does not have the whole report.
"""

import logging
import time

from sqlalchemy import Connection, delete, exists, func, select, update

from service.database import Database
from service.store import Erased, check, write_audit
from service.tables import bands, now, predictions, repeats, replaced, reports, reviews, staged

log = logging.getLogger("ruse.service")

_LEFT = {
    "text": None, "external_id": None, "source": None, "region": None, "campaign": None, "model": None,
    "audit": False, "waiting": False, "rank": 0.0, "reviewed": False, "leased_to": None, "leased_until": 0,
}  # fmt: skip
_DAY = 86_400_000
_AT_ONCE = 500  # reports that the retention erases in one transaction
RETRY, SELDOM = 60.0, 100  # seconds; how many times as long as it took is waited for the next


class Erasure:
    """What erases in one database.

    `lingers` tells that erased text may still stand in the files of SQLite: until `scrub` was done, or
    found nothing to do. That is so at first, too, for an earlier process may have been killed.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lingers = database.is_sqlite
        self._not_before = 0.0

    def erase(self, report: str, actor: str, why: str = "request") -> bool:
        """Erases a report for good; False where it was erased before. Raises Unknown."""
        with self.database.writing() as connection:
            try:
                check(connection, report, hold=True)
                _erase(connection, [report], why)
                write_audit(connection, actor, "report_erased", report, {"why": why})
                done = True
            except Erased:  # by a process that may have been killed before it came to the log
                done = False
        self.empty_log()
        return done

    def expire(self, before: int) -> int:
        """Erases all reports received before a time; how many. Some at once, so that others go on."""
        count = 0
        due = select(reports.c.id).where(reports.c.received_at < before, reports.c.erased_at.is_(None))
        while True:
            with self.database.writing() as connection:
                # What another worker is erasing just now is left to it.
                found = list(connection.scalars(due.limit(_AT_ONCE).with_for_update(skip_locked=True)))
                if found:
                    _erase(connection, found, "retention")
                    for report in found:
                        write_audit(connection, "retention", "report_erased", report, {"why": "retention"})
            count += len(found)
            if not found:
                break
        if count:
            self.empty_log()
        return count

    def empty_log(self) -> bool:
        """Overwrites SQLite's log of changes; False where it is being read, then `scrub` tries again."""
        self.lingers = self.database.is_sqlite
        done = self.database.checkpoint()
        if not done:
            log.warning("erased text lingers in the -wal file, for it is being read; it is tried again")
        return done

    def scrub(self) -> None:
        """Writes SQLite's file anew where something was erased since that was done last.

        Does nothing where it was done so lately that it would take more than a hundredth of the time.
        """
        began = time.monotonic()
        if began < self._not_before:
            return
        self._not_before = began + RETRY  # should it fail
        newest = select(func.max(reports.c.erased_at))
        with self.database.reading() as connection:
            erased_at = connection.scalar(newest) or 0
        if erased_at >= self.database.rewritten_at():
            self.database.rewrite()
        self.lingers = not self.empty_log()
        self._not_before = time.monotonic() + SELDOM * (time.monotonic() - began)


def _erase(connection: Connection, found: list[str], why: str) -> None:
    listed = reports.c.id.in_(found)
    # From here on no job can keep or apply an answer of theirs.
    touched = set(connection.scalars(select(reports.c.campaign).where(listed).with_for_update()))
    for table in (predictions, reviews, repeats, staged, replaced):
        connection.execute(delete(table).where(table.c.report.in_(found)))
    day = reports.c.received_at - reports.c.received_at % _DAY
    values = _LEFT | {"received_at": day, "created_at": day, "erased_at": now(), "erased_why": why}
    connection.execute(update(reports).where(listed).values(values))
    gone = ~exists().where(reports.c.campaign == bands.c.campaign)
    connection.execute(delete(bands).where(bands.c.campaign.in_(touched), gone))
