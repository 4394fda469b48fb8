"""The tables of the store, as the newest migration leaves them.

Times are milliseconds since 1970 in UTC, ids are 32 hexadecimal digits that sort by time: so both
are the same on SQLite and PostgreSQL, and a row can be copied between them as it is.
"""

import secrets
import time
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()
_ERASED = text("erased_at IS NOT NULL")

reports = Table(
    "reports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("text", Text),  # null once erased, as most that follows, see service.erasure
    Column("external_id", Text, unique=True),
    Column("source", Text),
    Column("region", Text),
    Column("body_hash", Text),  # of what was sent, to tell a repetition from another report
    Column("campaign", Text),  # the first report that this one nearly repeats, or itself
    Column("received_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("model", Text),  # whose prediction holds now
    Column("audit", Boolean, nullable=False),  # drawn by lot from what the model answered
    Column("waiting", Boolean, nullable=False),  # for a person
    Column("rank", Float, nullable=False),  # lowest first in the queue
    Column("reviewed", Boolean, nullable=False),
    Column("leased_to", Text),
    Column("leased_until", BigInteger, nullable=False, server_default="0"),
    Column("erased_at", BigInteger),
    Column("erased_why", Text),  # "request" or "retention"
    Index("reports_by_time", "received_at", "id"),
    Index("reports_by_campaign", "campaign"),
    *(
        Index(name, column, sqlite_where=_ERASED, postgresql_where=_ERASED)
        for name, column in (("reports_erased", "body_hash"), ("reports_by_erasure", "erased_at"))
    ),
    Index("reports_waiting", "rank", "id", sqlite_where=text("waiting"), postgresql_where=text("waiting")),
)


def _answer() -> tuple[Column[Any], ...]:
    """What a model says of a report."""
    return (
        Column("taxonomy", Text, nullable=False),
        Column("category", Text, nullable=False),
        Column("category_probability", Float, nullable=False),
        Column("scheme", Text, nullable=False),
        Column("scheme_probability", Float, nullable=False),
        Column("scheme_sure", Boolean, nullable=False),
        Column("needs_review", Boolean, nullable=False),
        Column("review_reason", Text),
        Column("probabilities", JSON, nullable=False),  # category -> probability, all of them
        Column("created_at", BigInteger, nullable=False),
    )


predictions = Table(
    "predictions",
    metadata,
    Column("report", Text, ForeignKey("reports.id"), primary_key=True),
    Column("model", Text, primary_key=True),
    *_answer(),
    Index("predictions_by_category", "category", "scheme"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Text, primary_key=True),
    Column("report", Text, ForeignKey("reports.id"), nullable=False, index=True),
    Column("category", Text, nullable=False),
    Column("scheme", Text),
    Column("second_category", Text),
    Column("note", Text),
    Column("reviewer", Text, nullable=False),
    Column("model", Text),  # whose prediction the reviewer had before him
    Column("created_at", BigInteger, nullable=False),
)

# What makes a report nearly another one: hashes of which one shared is enough, see service.campaigns.
bands = Table(
    "bands",
    metadata,
    Column("band", BigInteger, primary_key=True, autoincrement=False),
    Column("campaign", Text, nullable=False, index=True),
)

repeats = Table(
    "repeats",
    metadata,
    Column("owner", Text, primary_key=True),  # the API key that sent it, so that none sees another's
    Column("idempotency_key", Text, primary_key=True),
    Column("report", Text, ForeignKey("reports.id"), nullable=False, index=True),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by blanks
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)

# Append-only: triggers refuse updates and deletions.
audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSON, nullable=False),
)

# Jobs that classify again what was classified before. A table of another database has its own copy,
# beside it; see service.foreign.
relabels = Table(
    "relabels",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),  # "store", a path under the folder, or a table
    Column("target", Text),  # a path under the folder
    Column("options", JSON, nullable=False),
    Column("owner", Text, nullable=False),  # who asked for it
    Column("idempotency_key", Text),
    Column("body_hash", Text),
    Column("state", Text, nullable=False),  # see service.jobs
    Column("problem", Text),  # the code of what made it fail
    Column("model", Text),  # with the taxonomy null until it runs
    Column("taxonomy", Text),
    Column("total", BigInteger),  # rows that there were when it began
    Column("done", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("share", Float, nullable=False),  # that is done, 0 to 1
    Column("diff", JSON),  # what a person decides by
    Column("leftovers", Boolean, nullable=False),  # whether it may have answers beside that nobody needs
    Column("previous", Text),  # of a table: the job whose answers were current before
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("decided_at", BigInteger),  # applied, reverted or cancelled
    Column("decided_by", Text),
    UniqueConstraint("owner", "idempotency_key"),
)

# What a job would say of each report, until a person approves.
staged = Table(
    "staged",
    metadata,
    Column("report", Text, ForeignKey("reports.id"), primary_key=True),
    Column("relabel", Text, ForeignKey("relabels.id"), primary_key=True),
    *_answer(),
    Column("lot", Float),  # its place in the queue where it is drawn for an audit, else null
)

# What an applied job has replaced: all that it takes to undo it.
replaced = Table(
    "replaced",
    metadata,
    Column("report", Text, ForeignKey("reports.id"), primary_key=True),
    Column("relabel", Text, ForeignKey("relabels.id"), primary_key=True),
    Column("model", Text),
    Column("audit", Boolean, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("rank", Float, nullable=False),
    Column("fresh", Boolean, nullable=False),  # whether the job brought the prediction
)

# One row: the newest migration that has run. Alembic's own table.
version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))


def new_id() -> str:
    """An id that nobody can guess and that sorts by time."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
