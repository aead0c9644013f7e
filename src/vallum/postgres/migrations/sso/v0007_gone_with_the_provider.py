"""What a directory said, and its tokens, go with its provider."""

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = ("scim_token", "scim_user", "scim_group", "scim_external")


def upgrade() -> None:
    """Drop what removed providers have left; from now on nothing is, not even by a request under way."""
    for table in _TABLES:
        op.execute(
            f"DELETE FROM vallum.{table} d WHERE NOT EXISTS"  # noqa: S608 - a name of our own
            " (SELECT FROM vallum.sso_provider p WHERE p.id = d.provider_id)"
        )
        op.execute(
            f"ALTER TABLE vallum.{table} ADD CONSTRAINT {table}_provider"
            " FOREIGN KEY (provider_id) REFERENCES vallum.sso_provider ON DELETE CASCADE"
        )


def downgrade() -> None:
    """Let it be left."""
    for table in _TABLES:
        op.execute(f"ALTER TABLE vallum.{table} DROP CONSTRAINT {table}_provider")
