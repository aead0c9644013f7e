"""Changes of an application's policy: proposed by one person, decided by another, kept for good."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE vallum.policy_change (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            kind text NOT NULL CHECK (kind IN ('group', 'right', 'rule')),
            xml_id text NOT NULL CHECK (length(xml_id) BETWEEN 3 AND 200),
            before jsonb,
            after jsonb,
            reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
            state text NOT NULL DEFAULT 'waiting'
                CHECK (state IN ('waiting', 'approved', 'refused', 'withdrawn', 'retired')),
            author_id integer NOT NULL,
            author text NOT NULL CHECK (author <> ''),
            asked timestamptz NOT NULL DEFAULT now(),
            decider_id integer,
            decider text,
            decided timestamptz,
            comment text NOT NULL DEFAULT '',
            turn bigint UNIQUE,
            CHECK (before IS DISTINCT FROM after),
            CHECK (state NOT IN ('approved', 'retired') OR turn IS NOT NULL),
            -- Four eyes: whoever proposed a change does not approve it.
            CHECK (turn IS NULL OR (decider IS NOT NULL AND decider_id IS NOT NULL
                AND lower(decider) <> lower(author) AND (author_id = 0 OR author_id <> decider_id)))
        )
        """
    )
    op.execute("CREATE INDEX policy_change_item ON vallum.policy_change (kind, xml_id)")


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE vallum.policy_change")
