"""People and groups as a directory has provisioned them by SCIM, and the tokens that directories use."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("scim_member", "scim_group", "scim_user", "scim_token"):
        op.execute(f"DROP TABLE vallum.{table}")


_TABLES = (
    # A directory's word about somebody. `data`: the resource as SCIM has it; `folded`: the same with texts as
    # they are compared (lower case, composed), so that no collation of the database decides.
    """
    CREATE TABLE vallum.scim_user (
        id uuid PRIMARY KEY,
        provider_id text NOT NULL,
        account_id bigint NOT NULL,
        name_key text NOT NULL,
        external_id text,
        active boolean,
        data jsonb NOT NULL,
        folded jsonb NOT NULL,
        version integer NOT NULL,
        created timestamptz NOT NULL,
        modified timestamptz NOT NULL)
    """,
    "CREATE UNIQUE INDEX scim_user_name ON vallum.scim_user (provider_id, name_key)",
    "CREATE UNIQUE INDEX scim_user_external ON vallum.scim_user (provider_id, external_id)",
    "CREATE UNIQUE INDEX scim_user_account ON vallum.scim_user (account_id)",
    """
    CREATE TABLE vallum.scim_group (
        id uuid PRIMARY KEY,
        provider_id text NOT NULL,
        name_key text NOT NULL,
        external_id text,
        data jsonb NOT NULL,
        folded jsonb NOT NULL,
        version integer NOT NULL,
        created timestamptz NOT NULL,
        modified timestamptz NOT NULL)
    """,
    "CREATE UNIQUE INDEX scim_group_name ON vallum.scim_group (provider_id, name_key)",
    "CREATE UNIQUE INDEX scim_group_external ON vallum.scim_group (provider_id, external_id)",
    """
    CREATE TABLE vallum.scim_member (
        group_id uuid NOT NULL REFERENCES vallum.scim_group ON DELETE CASCADE,
        user_id uuid NOT NULL REFERENCES vallum.scim_user ON DELETE CASCADE,
        PRIMARY KEY (group_id, user_id))
    """,
    "CREATE INDEX scim_member_user ON vallum.scim_member (user_id)",
    """
    CREATE TABLE vallum.scim_token (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        provider_id text NOT NULL,
        prefix text NOT NULL UNIQUE,
        digest bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
        created timestamptz NOT NULL,
        expires timestamptz NOT NULL CHECK (expires > created AND expires <= created + interval '366 days'),
        last_used timestamptz)
    """,
)
