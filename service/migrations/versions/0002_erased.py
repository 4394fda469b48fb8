"""Tombstones are found by the hash of what was sent and by when it was erased."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the indexes."""
    erased = sa.text("erased_at IS NOT NULL")
    for name, column in (("reports_erased", "body_hash"), ("reports_by_erasure", "erased_at")):
        op.create_index(name, "reports", [column], sqlite_where=erased, postgresql_where=erased)
