"""For which session somebody proves at a provider to be there still."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; sign-ins under way are for no session."""
    op.execute("ALTER TABLE vallum.sso_pending ADD COLUMN session_id bigint")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE vallum.sso_pending DROP COLUMN session_id")
