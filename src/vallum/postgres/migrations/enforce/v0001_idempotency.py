"""Creations that were asked for under a key: asked for again, they give the same records."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE vallum.idempotency (
            user_id integer NOT NULL,
            key text NOT NULL,
            model text NOT NULL,
            content bytea NOT NULL,
            ids integer[] NOT NULL,
            created timestamptz NOT NULL,
            PRIMARY KEY (user_id, key))
        """
    )
    op.execute("CREATE INDEX idempotency_created ON vallum.idempotency (created)")


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE vallum.idempotency")
