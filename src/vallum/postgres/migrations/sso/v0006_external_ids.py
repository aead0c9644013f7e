"""Which account a directory's own id for somebody belongs to, for good, also after a removal."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table, with what is provisioned now."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE vallum.scim_external")


_STATEMENTS = (
    """
    CREATE TABLE vallum.scim_external (
        provider_id text NOT NULL,
        external_id text NOT NULL,
        account_id bigint NOT NULL,
        PRIMARY KEY (provider_id, external_id))
    """,
    "CREATE UNIQUE INDEX scim_external_account ON vallum.scim_external (provider_id, account_id)",
    """
    INSERT INTO vallum.scim_external (provider_id, external_id, account_id)
    SELECT provider_id, external_id, account_id FROM vallum.scim_user WHERE external_id IS NOT NULL
    """,
)
