"""The first tables. Written out, not taken from service.tables, which goes on changing."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables, and triggers that keep the audit append-only."""
    op.create_table(
        "reports",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Column("external_id", sa.Text, unique=True),
        sa.Column("source", sa.Text),
        sa.Column("region", sa.Text),
        sa.Column("body_hash", sa.Text),
        sa.Column("campaign", sa.Text),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("audit", sa.Boolean, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("rank", sa.Float, nullable=False),
        sa.Column("reviewed", sa.Boolean, nullable=False),
        sa.Column("leased_to", sa.Text),
        sa.Column("leased_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("erased_at", sa.BigInteger),
        sa.Column("erased_why", sa.Text),
    )
    op.create_index("reports_by_time", "reports", ["received_at", "id"])
    op.create_index("reports_by_campaign", "reports", ["campaign"])
    waiting = sa.text("waiting")
    op.create_index(
        "reports_waiting", "reports", ["rank", "id"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_table(
        "predictions",
        sa.Column("report", sa.Text, sa.ForeignKey("reports.id"), primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
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
    )
    op.create_index("predictions_by_category", "predictions", ["category", "scheme"])
    op.create_table(
        "reviews",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("report", sa.Text, sa.ForeignKey("reports.id"), nullable=False, index=True),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("scheme", sa.Text),
        sa.Column("second_category", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "bands",
        sa.Column("band", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("campaign", sa.Text, nullable=False, index=True),
    )
    op.create_table(
        "repeats",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("idempotency_key", sa.Text, primary_key=True),
        sa.Column("report", sa.Text, sa.ForeignKey("reports.id"), nullable=False, index=True),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
    )
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )
