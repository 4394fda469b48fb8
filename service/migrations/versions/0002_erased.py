"""Tombstones are found by the hash of what was sent, so that no repetition brings an erased text back."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the index."""
    erased = sa.text("erased_at IS NOT NULL")
    op.create_index("reports_erased", "reports", ["body_hash"], sqlite_where=erased, postgresql_where=erased)
