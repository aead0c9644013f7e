"""Whose sessions of programs are, and from where, so that they can be shown to whoever may end them."""

from alembic import op

revision = "0002"
down_revision = "0001"

_INDEXES = ("user_id", "created")


def upgrade() -> None:
    """Add the columns. Sessions of which nobody knows where they come from end: programs sign in again."""
    op.execute("DELETE FROM vallum.rpc_session")
    op.execute(
        """
        ALTER TABLE vallum.rpc_session
            ADD id bigint GENERATED ALWAYS AS IDENTITY,
            ADD account_id bigint,
            ADD address inet,
            ADD user_agent text NOT NULL DEFAULT ''
        """
    )
    for column in _INDEXES:
        op.execute(f"CREATE INDEX rpc_session_{column} ON vallum.rpc_session ({column})")


def downgrade() -> None:
    """Drop the columns."""
    for column in _INDEXES:
        op.execute(f"DROP INDEX vallum.rpc_session_{column}")
    op.execute("ALTER TABLE vallum.rpc_session DROP id, DROP account_id, DROP address, DROP user_agent")
