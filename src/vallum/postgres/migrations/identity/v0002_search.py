"""Accounts are found by the beginning of a login, of a word of a name, and of a mail address."""

from alembic import op

revision = "0002"
down_revision = "0001"

# Compared byte by byte, so that a beginning is a range whatever the database's collation is.
_INDEXES = {
    "account_login_begins": "(login_key text_pattern_ops)",
    "account_name_begins": "(lower(name) text_pattern_ops)",
    "account_email_begins": "(lower(email) text_pattern_ops) WHERE email IS NOT NULL",
    "account_name_words": "USING gin (to_tsvector('simple'::regconfig, name))",
}


def upgrade() -> None:
    """Make the indexes."""
    for name, definition in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON vallum.account {definition}")


def downgrade() -> None:
    """Drop them."""
    for name in _INDEXES:
        op.execute(f"DROP INDEX vallum.{name}")
