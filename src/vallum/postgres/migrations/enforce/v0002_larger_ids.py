"""Ids of created records may be larger than an integer."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Widen the column."""
    op.execute("ALTER TABLE vallum.idempotency ALTER COLUMN ids TYPE bigint[]")


def downgrade() -> None:
    """Narrow it; fails where an id is too large."""
    op.execute("ALTER TABLE vallum.idempotency ALTER COLUMN ids TYPE integer[]")
