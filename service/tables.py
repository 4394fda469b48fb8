"""The tables of the store, as the newest migration leaves them.

Times are milliseconds since 1970 in UTC, ids are 32 hexadecimal digits that sort by time: so both
are the same on SQLite and PostgreSQL, and a row can be copied between them as it is.
"""

import secrets
import time

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

predictions = Table(
    "predictions",
    metadata,
    Column("report", Text, ForeignKey("reports.id"), primary_key=True),
    Column("model", Text, primary_key=True),
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

# One row: the newest migration that has run. Alembic's own table.
version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))


def new_id() -> str:
    """An id that nobody can guess and that sorts by time."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
