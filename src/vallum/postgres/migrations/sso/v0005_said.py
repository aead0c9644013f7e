"""What a provider said of its last failure: for those who look after it."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE vallum.sso_state ADD COLUMN said text CHECK (length(said) <= 300)")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE vallum.sso_state DROP COLUMN said")
