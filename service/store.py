"""Reports and what the model said of them: stored once, found again, erased for good."""

import logging
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from model import Prediction
from service import campaigns, shapes
from service.database import Database
from service.tables import audit, bands, new_id, now, predictions, repeats, replaced, reports, reviews, staged

log = logging.getLogger("ruse.service")

# What an erasure leaves: that there was a report, on which day, and when and why it was erased.
_ERASED = {
    "text": None, "external_id": None, "source": None, "region": None, "body_hash": None,
    "campaign": None, "model": None, "audit": False, "waiting": False, "rank": 0.0,
    "reviewed": False, "leased_to": None, "leased_until": 0,
}  # fmt: skip
_DAY = 86_400_000
_AT_ONCE = 500  # reports that the retention erases in one transaction


class Conflict(Exception):
    """The external id or the idempotency key belongs to a report of another content."""


class Unknown(Exception):
    """There is no such report."""


class Erased(Exception):
    """The report was erased."""


@dataclass(frozen=True)
class NewReport:
    """A report as it came. `received_at` in milliseconds since 1970; `body_hash` of all of it."""

    text: str
    body_hash: str
    received_at: int
    external_id: str | None = None
    source: str | None = None
    region: str | None = None


@dataclass(frozen=True)
class Filters:
    """Which reports to list: each that is not None must hold; times as [since, until)."""

    category: str | None = None
    scheme: str | None = None
    needs_review: bool | None = None
    reviewed: bool | None = None
    source: str | None = None
    region: str | None = None
    since: int | None = None
    until: int | None = None


class Store:
    """The reports of one database. `share` of what the model answers is drawn for an audit."""

    def __init__(self, database: Database, share: float = 0.02, lot: random.Random | None = None) -> None:
        self.database = database
        self._share = share
        self._lot = lot or random.SystemRandom()

    def add(
        self,
        new: NewReport,
        prediction: Prediction,
        probabilities: Mapping[str, float],
        owner: str,
        idempotency_key: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Stores a report with its prediction; returns it, and whether it is new.

        The same external id or idempotency key again returns the same report. Raises Conflict.
        """
        try:
            return self._add(new, prediction, probabilities, owner, idempotency_key)
        except IntegrityError:  # another process was faster; now it is there to be found
            return self._add(new, prediction, probabilities, owner, idempotency_key)

    def _add(
        self,
        new: NewReport,
        prediction: Prediction,
        probabilities: Mapping[str, float],
        owner: str,
        idempotency_key: str | None,
    ) -> tuple[dict[str, Any], bool]:
        marks = campaigns.bands(new.text)
        drawn = not prediction.needs_review and self._lot.random() < self._share
        with self.database.writing() as connection:
            known = _known(connection, new, owner, idempotency_key)
            if known is None:
                known = new_id()
                values = asdict(new) | {
                    "id": known,
                    "created_at": now(),
                    "campaign": _campaign(connection, marks, known),
                    "model": prediction.model,
                    "audit": drawn,
                    "waiting": drawn or prediction.needs_review,
                    # A report drawn by lot stands anywhere in the queue, or its place would tell.
                    "rank": self._lot.random() if drawn else prediction.category_probability,
                    "reviewed": False,
                }
                connection.execute(insert(reports).values(values))
                connection.execute(insert(predictions).values(_row(known, prediction, probabilities)))
                fresh = True
            else:
                fresh = False
            if idempotency_key and not _repeat(connection, owner, idempotency_key):
                row = {"owner": owner, "idempotency_key": idempotency_key, "report": known}
                connection.execute(insert(repeats).values(row))
            return _show(connection, known), fresh

    def get(self, report: str) -> dict[str, Any]:
        """A report with every prediction and review it ever had. Raises Unknown, Erased."""
        with self.database.reading() as connection:
            check(connection, report)
            shown = _show(connection, report)
            past = select(predictions).where(predictions.c.report == report)
            said = select(reviews).where(reviews.c.report == report)
            rows = connection.execute(past.order_by(predictions.c.created_at)).mappings()
            shown["predictions"] = [shapes.prediction(row) for row in rows]
            rows = connection.execute(said.order_by(reviews.c.id)).mappings()
            return shown | {"reviews": [shapes.review(row) for row in rows]}

    def page(
        self, filters: Filters, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Up to `limit` reports, newest first, and the cursor of the next page. Raises ValueError."""
        query = _joined().where(reports.c.erased_at.is_(None), *_conditions(filters))
        if cursor is not None:
            at, report = shapes.read_cursor(cursor)
            older = and_(reports.c.received_at == at, reports.c.id < report)
            query = query.where(or_(reports.c.received_at < at, older))
        query = query.order_by(reports.c.received_at.desc(), reports.c.id.desc()).limit(limit + 1)
        with self.database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            shown = _with_reviews(connection, rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        return shown, shapes.cursor(last["received_at"], last["id"]) if last else None

    def erase(self, report: str, actor: str, why: str = "request") -> bool:
        """Erases a report for good; False where it was erased before. Raises Unknown."""
        with self.database.writing() as connection:
            try:
                check(connection, report)
            except Erased:
                return False
            _erase(connection, [report], why)
            write_audit(connection, actor, "report_erased", report, {"why": why})
        self._empty_log()
        return True

    def expire(self, before: int) -> int:
        """Erases all reports received before a time; how many. Some at once, so that others go on."""
        count = 0
        due = select(reports.c.id).where(reports.c.received_at < before, reports.c.erased_at.is_(None))
        while True:
            with self.database.writing() as connection:
                found = list(connection.scalars(due.limit(_AT_ONCE)))
                if found:
                    _erase(connection, found, "retention")
                    for report in found:
                        write_audit(connection, "retention", "report_erased", report, {"why": "retention"})
            count += len(found)
            if not found:
                break
        if count:
            self._empty_log()
        return count

    def _empty_log(self) -> None:
        if not self.database.checkpoint():
            log.warning("erased text lingers in the -wal file, for it is being read; erase or wait")

    def audit_trail(self) -> list[dict[str, Any]]:
        """Every entry of the audit, oldest first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(audit).order_by(audit.c.id)).mappings()
            return [dict(row) for row in rows]


def write_audit(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    """Notes who did what to what; no text and nothing that a person wrote goes in."""
    values = {"id": new_id(), "at": now(), "actor": actor, "action": action, "subject": subject}
    connection.execute(insert(audit).values(values | {"details": dict(details)}))


def check(connection: Connection, report: str) -> None:
    """Raises Unknown or Erased."""
    erased = connection.execute(select(reports.c.erased_at).where(reports.c.id == report)).first()
    if erased is None:
        raise Unknown
    if erased[0] is not None:
        raise Erased


def _known(connection: Connection, new: NewReport, owner: str, key: str | None) -> str | None:
    found = []
    if key and (before := _repeat(connection, owner, key)):
        found.append(before)
    if new.external_id is not None:
        same = select(reports.c.id).where(reports.c.external_id == new.external_id)
        found += connection.scalars(same)
    for report in found:
        check(connection, report)
        hashed = connection.scalar(select(reports.c.body_hash).where(reports.c.id == report))
        if hashed != new.body_hash:
            raise Conflict
    return found[0] if found else None


def _repeat(connection: Connection, owner: str, key: str) -> str | None:
    query = select(repeats.c.report).where(repeats.c.owner == owner, repeats.c.idempotency_key == key)
    return connection.scalar(query)


def _campaign(connection: Connection, marks: list[int], report: str) -> str:
    """The campaign that shares a band with the report, or a new one; all its bands go there."""
    rows = connection.execute(select(bands.c.band, bands.c.campaign).where(bands.c.band.in_(marks))).all()
    campaign = min((row.campaign for row in rows), default=report)
    known = {row.band for row in rows}
    for band in sorted(set(marks) - known):
        values = insert(bands).values(band=band, campaign=campaign)
        connection.execute(values)
    return campaign


def _erase(connection: Connection, found: list[str], why: str) -> None:
    listed = reports.c.id.in_(found)
    # From here on no job can keep or apply an answer of theirs.
    touched = set(connection.scalars(select(reports.c.campaign).where(listed).with_for_update()))
    for table in (predictions, reviews, repeats, staged, replaced):
        connection.execute(delete(table).where(table.c.report.in_(found)))
    day = reports.c.received_at - reports.c.received_at % _DAY
    values = _ERASED | {"received_at": day, "created_at": day, "erased_at": now(), "erased_why": why}
    connection.execute(update(reports).where(listed).values(values))
    gone = ~exists().where(reports.c.campaign == bands.c.campaign)
    connection.execute(delete(bands).where(bands.c.campaign.in_(touched), gone))


def _row(report: str, prediction: Prediction, probabilities: Mapping[str, float]) -> dict[str, Any]:
    said = {name: value for name, value in prediction.__dict__.items() if name != "ranked"}
    return said | {"report": report, "probabilities": dict(probabilities), "created_at": now()}


def _joined() -> Any:
    current = and_(predictions.c.report == reports.c.id, predictions.c.model == reports.c.model)
    columns = [column for column in predictions.c if column.name not in ("report", "created_at", "model")]
    return select(reports, *columns).join(predictions, current)


def _conditions(filters: Filters) -> list[Any]:
    columns = {
        "category": predictions.c.category, "scheme": predictions.c.scheme,
        "needs_review": predictions.c.needs_review, "reviewed": reports.c.reviewed,
        "source": reports.c.source, "region": reports.c.region,
    }  # fmt: skip
    wanted = [columns[n] == v for n, v in asdict(filters).items() if n in columns and v is not None]
    if filters.since is not None:
        wanted.append(reports.c.received_at >= filters.since)
    if filters.until is not None:
        wanted.append(reports.c.received_at < filters.until)
    return wanted


def _show(connection: Connection, report: str) -> dict[str, Any]:
    row = connection.execute(_joined().where(reports.c.id == report)).mappings().one()
    return _with_reviews(connection, [row])[0]


def _with_reviews(connection: Connection, rows: Any) -> list[dict[str, Any]]:
    """Rows of `_joined` as reports, each with its latest review."""
    ids = [row["id"] for row in rows]
    latest = select(func.max(reviews.c.id)).where(reviews.c.report.in_(ids)).group_by(reviews.c.report)
    said = connection.execute(select(reviews).where(reviews.c.id.in_(latest))).mappings()
    by_report = {row["report"]: shapes.review(row) for row in said}
    fields = ("id", "external_id", "source", "region", "received_at", "created_at", "text")
    return [
        {name: row[name] for name in fields}
        | {"prediction": shapes.prediction(row), "review": by_report.get(row["id"])}
        for row in rows
    ]
