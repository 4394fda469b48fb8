"""Jobs that classify again: the table from which workers take them, and the states they go through.

    queued -> running -> waiting_for_approval -> applied -> reverted
                     \\-> failed
    queued, running and waiting_for_approval -> cancelled

Every change of state is one UPDATE that names the states it may start from, so that of two who want
to change a job one is told that he came too late.
"""

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.database import Database
from service.labels import RelabelError
from service.tables import new_id, now, relabels

log = logging.getLogger("ruse.relabel")

STATES = ("queued", "running", "waiting_for_approval", "applied", "reverted", "failed", "cancelled")
OPEN = ("queued", "running", "waiting_for_approval")


class UnknownJob(Exception):
    """There is no such job."""


class JobConflict(Exception):
    """The idempotency key belongs to a job that was asked for with another body."""


class WrongState(Exception):
    """The job is in a state from which this cannot be done."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Cancelled(Exception):
    """Somebody has cancelled the job that was being worked on."""


class Jobs:
    """The jobs of a database."""

    def __init__(self, database: Database, table: Table = relabels) -> None:
        self.database = database
        self.table = table

    def create(
        self,
        source: str,
        target: str | None,
        options: Mapping[str, Any],
        owner: str,
        key: str | None = None,
        body_hash: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Queues a job; returns it, and whether it is new: the same key again is the same job.

        Raises JobConflict.
        """
        row = dict.fromkeys(self.table.c.keys()) | {
            "id": new_id(), "source": source, "target": target, "options": dict(options), "owner": owner,
            "idempotency_key": key, "body_hash": body_hash, "state": "queued", "done": 0, "errors": 0,
            "share": 0.0, "leftovers": False, "created_at": now(),
        }  # fmt: skip
        try:
            with self.database.writing() as connection:
                if key and (known := self._repeat(connection, owner, key)):
                    return _same(known, body_hash), False
                connection.execute(insert(self.table).values(row))
        except IntegrityError:  # another process was faster
            with self.database.reading() as connection:
                known = self._repeat(connection, owner, key or "")
            if known is None:
                raise
            return _same(known, body_hash), False
        log.info("relabel_queued", extra={"relabel": row["id"]})
        return row, True

    def get(self, job: str) -> dict[str, Any]:
        """A job. Raises UnknownJob."""
        with self.database.reading() as connection:
            return self.read(connection, job)

    def read(self, connection: Connection, job: str, lock: bool = False) -> dict[str, Any]:
        """A job inside a transaction; `lock`: nobody else changes it meanwhile. Raises UnknownJob."""
        query = select(self.table).where(self.table.c.id == job)
        row = connection.execute(query.with_for_update() if lock else query).mappings().first()
        if row is None:
            raise UnknownJob
        return dict(row)

    def page(self, limit: int, before: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
        """Up to `limit` jobs, newest first, without their diffs, and from where to go on."""
        columns = [column for column in self.table.c if column.name != "diff"]
        query = select(*columns).order_by(self.table.c.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(self.table.c.id < before)
        with self.database.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None

    def next(self) -> dict[str, Any] | None:
        """The job to work on: the oldest that waits for a worker, or that a worker has left behind."""
        due = self.table.c.state.in_(("queued", "running"))
        with self.database.reading() as connection:
            query = select(self.table).where(due).order_by(self.table.c.id).limit(1)
            row = connection.execute(query).mappings().first()
            return dict(row) if row else None

    def begin(self, job: str, model: str, taxonomy: str, total: int | None = None) -> dict[str, Any]:
        """Notes which model answers; goes on with a job that ran before.

        Raises Cancelled, and RelabelError where another model began it.
        """
        values = {"state": "running", "model": model, "taxonomy": taxonomy, "leftovers": True}
        with self.database.writing() as connection:
            row = self.read(connection, job, lock=True)
            if row["state"] not in ("queued", "running"):
                raise Cancelled
            if row["model"] not in (None, model):
                raise RelabelError(
                    "model_changed", f"job {job} was begun with model {row['model']}; start another job"
                )
            if row["started_at"] is None:
                values |= {"started_at": now(), "total": total}
            connection.execute(update(self.table).where(self.table.c.id == job).values(values))
            return row | values

    def note(self, connection: Connection, job: str, done: int, errors: int, share: float) -> None:
        """Notes how far a job is, in the transaction that brought it there. Raises Cancelled."""
        runs = (self.table.c.id == job) & (self.table.c.state == "running")
        values = {"done": done, "errors": errors, "share": min(share, 1.0)}
        if not connection.execute(update(self.table).where(runs).values(values)).rowcount:
            raise Cancelled

    def settle(self, job: str, state: str, **values: Any) -> None:
        """A job that ran waits for approval, or failed. Raises Cancelled."""
        runs = (self.table.c.id == job) & self.table.c.state.in_(("queued", "running"))
        values |= {"state": state, "finished_at": now()} | ({"share": 1.0} if "diff" in values else {})
        with self.database.writing() as connection:
            if not connection.execute(update(self.table).where(runs).values(values)).rowcount:
                raise Cancelled

    def decide(
        self, connection: Connection, job: str, origins: tuple[str, ...], state: str, actor: str
    ) -> dict[str, Any] | None:
        """A person's decision, in its transaction; None where it has been taken before.

        Raises UnknownJob, WrongState.
        """
        row = self.read(connection, job, lock=True)
        if row["state"] == state:
            return None
        if row["state"] not in origins:
            raise WrongState(row["state"])
        latest = connection.scalar(select(func.max(self.table.c.decided_at))) or 0
        values = {"state": state, "decided_at": max(now(), latest + 1), "decided_by": actor}
        connection.execute(update(self.table).where(self.table.c.id == job).values(values))
        log.info("relabel_decided", extra={"relabel": job, "state": state, "actor": actor})
        return row | values

    def newest_applied(self, connection: Connection, source: str) -> str | None:
        """The job of this source that was applied last and still is."""
        applied = (self.table.c.source == source) & (self.table.c.state == "applied")
        query = select(self.table.c.id).where(applied).order_by(self.table.c.decided_at.desc())
        return connection.scalar(query.limit(1))

    def with_leftovers(self, states: tuple[str, ...]) -> list[dict[str, Any]]:
        """Jobs in these states beside which answers may lie."""
        query = select(self.table).where(self.table.c.leftovers, self.table.c.state.in_(states))
        with self.database.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def is_tidy(self, job: str) -> None:
        """Notes that nothing lies beside a job any more."""
        with self.database.writing() as connection:
            clean = update(self.table).where(self.table.c.id == job).values(leftovers=False)
            connection.execute(clean)

    def numbers(self) -> tuple[dict[str, int], int, float]:
        """How many jobs are in each state; of the one that runs the rows done, and their share."""
        table, runs = self.table, self.table.c.state == "running"
        with self.database.reading() as connection:
            states = select(table.c.state, func.count().label("n")).group_by(table.c.state)
            counts = {row.state: row.n for row in connection.execute(states)}
            row = connection.execute(select(table.c.done, table.c.share).where(runs)).first()
        return dict.fromkeys(STATES, 0) | counts, row.done if row else 0, row.share if row else 0.0

    def _repeat(self, connection: Connection, owner: str, key: str) -> dict[str, Any] | None:
        same = (self.table.c.owner == owner) & (self.table.c.idempotency_key == key)
        row = connection.execute(select(self.table).where(same)).mappings().first()
        return dict(row) if row else None


def _same(row: dict[str, Any], body_hash: str | None) -> dict[str, Any]:
    if row["body_hash"] != body_hash:
        raise JobConflict
    return row
