"""Accounts, their credentials and sessions, attempts, keys, groups and mail to be sent.

Instants come from the application's clock, never from the server's. Tokens are here as digests only.
"""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE vallum.account (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('person', 'service')),
        login text NOT NULL CHECK (login <> ''),
        login_key text NOT NULL UNIQUE,
        name text NOT NULL,
        email text,
        user_id integer,
        source text NOT NULL,
        active boolean NOT NULL DEFAULT true,
        break_glass boolean NOT NULL DEFAULT false,
        local_password boolean NOT NULL DEFAULT true,
        password_hash text,
        password_set timestamptz,
        factor_deadline timestamptz,
        handle bytea NOT NULL UNIQUE,
        created timestamptz NOT NULL,
        deactivated timestamptz,
        deactivated_by text,
        last_sign_in timestamptz,
        CHECK (kind = 'person' OR password_hash IS NULL),
        CHECK (kind = 'person' OR NOT break_glass))
    """,
    "CREATE UNIQUE INDEX account_user ON vallum.account (user_id) WHERE kind = 'person'",
    "CREATE INDEX account_imported ON vallum.account (id) WHERE password_hash LIKE '$pbkdf2%'",
    "CREATE INDEX account_email ON vallum.account (lower(email)) WHERE email IS NOT NULL",
    """
    CREATE TABLE vallum.password_history (
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        hash text NOT NULL,
        set timestamptz NOT NULL)
    """,
    "CREATE INDEX password_history_account ON vallum.password_history (account_id, set DESC)",
    """
    CREATE TABLE vallum.device (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        digest bytea NOT NULL UNIQUE,
        user_agent text NOT NULL,
        address inet,
        created timestamptz NOT NULL,
        seen timestamptz NOT NULL)
    """,
    "CREATE INDEX device_account ON vallum.device (account_id)",
    "CREATE INDEX device_seen ON vallum.device (seen)",
    """
    CREATE TABLE vallum.session (
        digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        id bigint GENERATED ALWAYS AS IDENTITY,
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        created timestamptz NOT NULL,
        seen timestamptz NOT NULL,
        fresh timestamptz NOT NULL,
        expires timestamptz NOT NULL,
        methods text[] NOT NULL CHECK (cardinality(methods) > 0),
        address inet,
        user_agent text NOT NULL,
        device_id bigint REFERENCES vallum.device ON DELETE SET NULL,
        provider text,
        provider_session text)
    """,
    "CREATE INDEX session_account ON vallum.session (account_id)",
    "CREATE INDEX session_expires ON vallum.session (expires)",
    "CREATE INDEX session_device ON vallum.session (device_id) WHERE device_id IS NOT NULL",
    """
    CREATE INDEX session_provider ON vallum.session (provider, provider_session)
        WHERE provider_session IS NOT NULL
    """,
    """
    CREATE TABLE vallum.ticket (
        digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        kind text NOT NULL,
        account_id bigint REFERENCES vallum.account ON DELETE CASCADE,
        data jsonb NOT NULL,
        created timestamptz NOT NULL,
        expires timestamptz NOT NULL)
    """,
    "CREATE INDEX ticket_account ON vallum.ticket (account_id) WHERE account_id IS NOT NULL",
    "CREATE INDEX ticket_expires ON vallum.ticket (expires)",
    """
    CREATE TABLE vallum.attempt (
        stage text NOT NULL,
        scope text NOT NULL,
        subject bytea NOT NULL,
        failures integer NOT NULL,
        blocked integer NOT NULL,
        locks integer NOT NULL,
        first timestamptz NOT NULL,
        until timestamptz,
        PRIMARY KEY (stage, scope, subject))
    """,
    "CREATE INDEX attempt_first ON vallum.attempt (first)",
    """
    CREATE TABLE vallum.totp (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        name text NOT NULL,
        secret bytea NOT NULL,
        last_step bigint NOT NULL,
        created timestamptz NOT NULL,
        used timestamptz)
    """,
    "CREATE INDEX totp_account ON vallum.totp (account_id)",
    """
    CREATE TABLE vallum.passkey (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        name text NOT NULL,
        credential_id bytea NOT NULL UNIQUE,
        public_key bytea NOT NULL,
        sign_count bigint NOT NULL,
        transports text[] NOT NULL,
        backed_up boolean NOT NULL,
        created timestamptz NOT NULL,
        used timestamptz)
    """,
    "CREATE INDEX passkey_account ON vallum.passkey (account_id)",
    """
    CREATE TABLE vallum.recovery_code (
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        digest bytea NOT NULL CHECK (octet_length(digest) = 32),
        created timestamptz NOT NULL,
        PRIMARY KEY (account_id, digest))
    """,
    # A key without a scope or an end, or one that lives longer than 90 days, cannot be in this table.
    """
    CREATE TABLE vallum.api_key (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        name text NOT NULL,
        prefix text NOT NULL UNIQUE,
        digest bytea NOT NULL CHECK (octet_length(digest) = 32),
        models text[] NOT NULL CHECK (cardinality(models) > 0 AND NOT '*' = ANY (models)),
        operations text[] NOT NULL CHECK (cardinality(operations) > 0
            AND operations <@ ARRAY['read', 'write', 'create', 'unlink']),
        addresses cidr[] NOT NULL,
        rate integer CHECK (rate > 0),
        created timestamptz NOT NULL,
        created_by text NOT NULL,
        expires timestamptz NOT NULL CHECK (expires > created AND expires <= created + interval '90 days'),
        used timestamptz,
        used_from inet,
        revoked timestamptz,
        revoked_why text,
        replaced_by bigint REFERENCES vallum.api_key ON DELETE SET NULL)
    """,
    "CREATE INDEX api_key_account ON vallum.api_key (account_id)",
    """
    CREATE TABLE vallum.membership (
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        group_name text NOT NULL,
        source text NOT NULL,
        granted timestamptz NOT NULL,
        granted_by text NOT NULL,
        expires timestamptz,
        PRIMARY KEY (account_id, group_name, source),
        CHECK (source <> 'request' OR expires IS NOT NULL))
    """,
    "CREATE INDEX membership_group ON vallum.membership (group_name)",
    "CREATE INDEX membership_expires ON vallum.membership (expires) WHERE expires IS NOT NULL",
    """
    CREATE TABLE vallum.elevation (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id bigint NOT NULL REFERENCES vallum.account ON DELETE CASCADE,
        group_name text NOT NULL,
        reason text NOT NULL CHECK (reason <> ''),
        minutes integer NOT NULL CHECK (minutes > 0),
        state text NOT NULL CHECK (state IN ('asked', 'approved', 'refused', 'ended')),
        asked timestamptz NOT NULL,
        decided timestamptz,
        decided_by bigint REFERENCES vallum.account ON DELETE SET NULL,
        expires timestamptz,
        CHECK (decided_by IS DISTINCT FROM account_id))
    """,
    "CREATE INDEX elevation_account ON vallum.elevation (account_id)",
    "CREATE INDEX elevation_open ON vallum.elevation (asked) WHERE state = 'asked'",
    """
    CREATE TABLE vallum.outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL,
        recipient text NOT NULL,
        message bytea,
        created timestamptz NOT NULL,
        due timestamptz NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        sent timestamptz,
        failed timestamptz,
        error text)
    """,
    "CREATE INDEX outbox_done ON vallum.outbox (coalesce(sent, failed))",
    "CREATE INDEX outbox_due ON vallum.outbox (due) WHERE sent IS NULL AND failed IS NULL",
)

_NAMES = (
    "outbox",
    "elevation",
    "membership",
    "api_key",
    "recovery_code",
    "passkey",
    "totp",
    "attempt",
    "ticket",
    "session",
    "device",
    "password_history",
    "account",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for name in _NAMES:
        op.execute(f"DROP TABLE vallum.{name}")
