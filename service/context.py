"""The parts of a service that its routes share."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from service import body
from service.counters import counters
from service.database import Database, DatabaseError, reason
from service.desk import Desk
from service.erasure import Erasure
from service.models import Models
from service.problems import RETRY_AFTER, Problem
from service.security import Gate, Key, KeyRing
from service.settings import Settings
from service.staged import Staged
from service.store import Conflict, Erased, Store, Unknown
from service.telemetry import Metrics

log = logging.getLogger("ruse.service")

T = TypeVar("T")
CONNECTIONS = 8  # to the database, a worker

_ANSWERS = {Unknown: "report_unknown", Erased: "report_erased", Conflict: "report_conflict"}


@dataclass
class Context:
    """One service; nothing here is global, so several may live in one process."""

    settings: Settings
    models: Models
    database: Database
    store: Store
    erasure: Erasure
    desk: Desk
    staged: Staged
    gate: Gate
    metrics: Metrics
    threads: CapacityLimiter
    draining: bool = False
    rehearsed: bool = False
    _store_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CONNECTIONS))

    async def in_store(self, work: Callable[..., T], *arguments: Any) -> T:
        """Runs what uses the database in a thread. Raises Problem."""
        try:
            return await run_sync(work, *arguments, limiter=self._store_threads)
        except tuple(_ANSWERS) as error:
            raise Problem(_ANSWERS[type(error)]) from None
        except (SQLAlchemyError, DatabaseError) as error:
            log.error("store_unavailable: %s", reason(error))
            raise Problem("store_unavailable", headers=RETRY_AFTER) from None

    async def admit(self, request: Request, scope: str | None) -> Key:
        """The key of a request that may do this. Raises Problem."""
        return await self.gate.admit(request, scope)

    async def read(self, request: Request) -> bytes:
        """The body of a request. Raises Problem."""
        return await body.read(request, self.settings)


def create(models: Models, settings: Settings, shared: Path | None) -> Context:
    """All parts; nothing is connected to yet. `shared` is a folder that the workers have in common."""
    database = Database(settings.database, CONNECTIONS)
    metrics = Metrics(shared)
    metrics.use_model(models.current.manifest.version, models.refused)
    return Context(
        settings,
        models,
        database,
        Store(database, settings.audit_share),
        Erasure(database),
        Desk(database),
        Staged(database, settings.audit_share),
        Gate(KeyRing(database), settings.host, settings.rate_limit, counters(shared)),
        metrics,
        CapacityLimiter(settings.threads),
    )


def json(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A good answer of JSON that is encoded already."""
    return Response(content, status, headers, "application/json")
