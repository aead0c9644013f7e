"""What the server keeps: counters of requests, and sessions of clients that sign in by cookie."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables. Counters need not outlive a crash."""
    op.execute(
        """
        CREATE UNLOGGED TABLE vallum.rate (
            key bytea PRIMARY KEY,
            arrival double precision NOT NULL)
        """
    )
    op.execute(
        """
        CREATE TABLE vallum.rpc_session (
            token bytea PRIMARY KEY,
            user_id integer NOT NULL,
            mark bytea NOT NULL,
            created timestamptz NOT NULL,
            used timestamptz NOT NULL)
        """
    )
    op.execute("CREATE INDEX rpc_session_used ON vallum.rpc_session (used)")


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE vallum.rpc_session")
    op.execute("DROP TABLE vallum.rate")
