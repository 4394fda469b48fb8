"""Reports and what the model said of them: stored once and found again."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from model import Prediction
from service import campaigns, shapes
from service.database import Database
from service.tables import audit, bands, new_id, now, predictions, repeats, reports, reviews

_DIALECTS = {"postgresql": postgresql, "sqlite": sqlite}


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

        The same external id or idempotency key again returns the same report. Raises Conflict, and
        Erased where that report was erased.
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


def check(connection: Connection, report: str, hold: bool = False) -> None:
    """Raises Unknown or Erased. Where `hold`, no other transaction changes or erases it until this ends."""
    query = select(reports.c.erased_at).where(reports.c.id == report)
    erased = connection.execute(query.with_for_update() if hold else query).first()
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
        check(connection, report, hold=True)
        hashed = connection.scalar(select(reports.c.body_hash).where(reports.c.id == report))
        if hashed != new.body_hash:
            raise Conflict
    if not found and (key or new.external_id is not None):
        erased = (reports.c.body_hash == new.body_hash) & reports.c.erased_at.is_not(None)
        if connection.scalar(select(reports.c.id).where(erased).limit(1)):
            raise Erased  # its sender, who had no answer or sends all again, brings it back no more
    return found[0] if found else None


def _repeat(connection: Connection, owner: str, key: str) -> str | None:
    query = select(repeats.c.report).where(repeats.c.owner == owner, repeats.c.idempotency_key == key)
    return connection.scalar(query)


def _campaign(connection: Connection, marks: list[int], report: str) -> str:
    """The campaign that shares a band with the report, or a new one; all its bands go there."""
    shared = select(bands.c.band, bands.c.campaign).where(bands.c.band.in_(marks))
    rows = connection.execute(shared).all()
    campaign = min((row.campaign for row in rows), default=report)
    missing = sorted(set(marks) - {row.band for row in rows})
    values = [{"band": band, "campaign": campaign} for band in missing]
    add = _DIALECTS[connection.dialect.name].insert(bands).on_conflict_do_nothing()
    if values and connection.execute(add.values(values)).rowcount < len(values):
        # Another report of the same campaign was faster, between our look and our insert.
        campaign = min(row.campaign for row in connection.execute(shared))
    return campaign


def _row(report: str, prediction: Prediction, probabilities: Mapping[str, float]) -> dict[str, Any]:
    said = {name: value for name, value in prediction._asdict().items() if name != "ranked"}
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
