"""What providers are shown when somebody signs out, and how providers have answered of late."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("sso_hint", "sso_state"):
        op.execute(f"DROP TABLE vallum.{table}")


_TABLES = (
    # Sealed by the secret of sign-in; `session`: what the provider calls its session, or empty.
    """
    CREATE TABLE vallum.sso_hint (
        provider_id text NOT NULL REFERENCES vallum.sso_provider ON DELETE CASCADE,
        account_id bigint NOT NULL,
        session text NOT NULL,
        hint bytea NOT NULL,
        expires timestamptz NOT NULL,
        PRIMARY KEY (provider_id, account_id, session))
    """,
    "CREATE INDEX sso_hint_expires ON vallum.sso_hint (expires)",
    # One row a provider: for people who look whether it works.
    """
    CREATE TABLE vallum.sso_state (
        provider_id text PRIMARY KEY REFERENCES vallum.sso_provider ON DELETE CASCADE,
        success timestamptz,
        failure timestamptz,
        cause text)
    """,
)
