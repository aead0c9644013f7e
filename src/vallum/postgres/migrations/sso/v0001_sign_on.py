"""Identity providers, who is who there, sign-ins under way, and what has been used up."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("sso_seen", "sso_pending", "sso_link", "sso_provider"):
        op.execute(f"DROP TABLE vallum.{table}")


_TABLES = (
    """
    CREATE TABLE vallum.sso_provider (
        id text PRIMARY KEY,
        config jsonb NOT NULL,
        changed timestamptz NOT NULL)
    """,
    # The key is the pair that cannot be reassigned: the same subject at two issuers is two people.
    """
    CREATE TABLE vallum.sso_link (
        provider_id text NOT NULL REFERENCES vallum.sso_provider ON DELETE CASCADE,
        issuer text NOT NULL,
        subject text NOT NULL,
        account_id bigint NOT NULL,
        created timestamptz NOT NULL,
        last_seen timestamptz,
        PRIMARY KEY (issuer, subject, provider_id))
    """,
    "CREATE INDEX sso_link_account ON vallum.sso_link (account_id)",
    "CREATE INDEX sso_link_provider ON vallum.sso_link (provider_id)",
    """
    CREATE TABLE vallum.sso_pending (
        handle bytea PRIMARY KEY CHECK (length(handle) = 32),
        provider_id text NOT NULL REFERENCES vallum.sso_provider ON DELETE CASCADE,
        browser bytea NOT NULL CHECK (length(browser) = 32),
        request text,
        return_to text NOT NULL,
        max_age integer,
        account_id bigint,
        expires timestamptz NOT NULL)
    """,
    "CREATE INDEX sso_pending_expires ON vallum.sso_pending (expires)",
    """
    CREATE TABLE vallum.sso_seen (
        token bytea PRIMARY KEY CHECK (length(token) = 32),
        expires timestamptz NOT NULL)
    """,
    "CREATE INDEX sso_seen_expires ON vallum.sso_seen (expires)",
)
