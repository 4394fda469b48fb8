"""Jobs that classify again, their staged answers, and what an applied one has replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "relabels",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("body_hash", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("taxonomy", sa.Text),
        sa.Column("total", sa.BigInteger),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("diff", sa.JSON),
        sa.Column("leftovers", sa.Boolean, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("decided_by", sa.Text),
        sa.UniqueConstraint("owner", "idempotency_key"),
    )
    op.create_table(
        "staged",
        sa.Column("report", sa.Text, sa.ForeignKey("reports.id"), primary_key=True),
        sa.Column("relabel", sa.Text, sa.ForeignKey("relabels.id"), primary_key=True),
        sa.Column("taxonomy", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("category_probability", sa.Float, nullable=False),
        sa.Column("scheme", sa.Text, nullable=False),
        sa.Column("scheme_probability", sa.Float, nullable=False),
        sa.Column("scheme_sure", sa.Boolean, nullable=False),
        sa.Column("needs_review", sa.Boolean, nullable=False),
        sa.Column("review_reason", sa.Text),
        sa.Column("probabilities", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("lot", sa.Float),
    )
    op.create_table(
        "replaced",
        sa.Column("report", sa.Text, sa.ForeignKey("reports.id"), primary_key=True),
        sa.Column("relabel", sa.Text, sa.ForeignKey("relabels.id"), primary_key=True),
        sa.Column("model", sa.Text),
        sa.Column("audit", sa.Boolean, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("rank", sa.Float, nullable=False),
        sa.Column("fresh", sa.Boolean, nullable=False),
    )
