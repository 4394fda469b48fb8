"""Which models have answered, one after the other: kept in the audit, so that it survives restarts."""

from typing import Any

from sqlalchemy import select

from service.database import Database
from service.store import write_audit
from service.tables import audit

_LINE = 722_165  # of workers that note a change of model
_MOST = 100  # versions that are remembered


def note(database: Database, actor: str, version: str) -> None:
    """Notes that a model answers from now on; nothing where it was noted last, as by another worker."""
    with database.writing() as connection:
        database.stand_in_line(connection, _LINE)
        before = connection.scalar(_newest_first().limit(1))
        if before != version:
            write_audit(connection, actor, "model_changed", version, {"before": before})


def versions(database: Database) -> list[str]:
    """The versions that have answered, the latest first. Raises SQLAlchemyError."""
    with database.reading() as connection:
        return list(dict.fromkeys(connection.scalars(_newest_first().limit(_MOST))))


def _newest_first() -> Any:
    return select(audit.c.subject).where(audit.c.action == "model_changed").order_by(audit.c.id.desc())
