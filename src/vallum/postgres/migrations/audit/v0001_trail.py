"""The audit trail: what triggers and applications write to, the log itself, and its state.

Roles other than the owner reach none of it but through the functions: triggers run as the owner, and
`audit_record` may be called by whoever is granted it. Values that others can set (`vallum.audit_n`,
`vallum.audit_stamp`) decide nothing here: the sequencer checks them.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE SEQUENCE vallum.audit_event_id;

CREATE TABLE vallum.audit_inbox (
    id bigint NOT NULL,
    xid xid8 NOT NULL,
    n integer NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    relation text,
    key text,
    op "char",
    old text,
    new text,
    stamp text,
    pid integer NOT NULL,
    role text NOT NULL,
    acting text,
    app text,
    ip inet,
    stale boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 100000);

CREATE TABLE vallum.audit_footer (xid xid8 NOT NULL, count integer)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
          autovacuum_vacuum_insert_threshold = -1);

CREATE TABLE vallum.audit_leaf (
    index bigint NOT NULL PRIMARY KEY,
    entry text COLLATE "C",
    at timestamptz,
    relation text COLLATE "C",
    key text COLLATE "C",
    op "char",
    actor text COLLATE "C",
    seed bytea,
    secret text
) PARTITION BY RANGE (index);
CREATE INDEX audit_leaf_record ON vallum.audit_leaf (relation, key, index);
CREATE INDEX audit_leaf_actor ON vallum.audit_leaf (actor, index);
CREATE INDEX audit_leaf_at ON vallum.audit_leaf USING brin (at);

CREATE TABLE vallum.audit_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    origin text NOT NULL,
    epoch bigint NOT NULL,
    size bigint NOT NULL,
    frontier bytea NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE vallum.audit_checkpoint (
    size bigint PRIMARY KEY,
    note text NOT NULL,
    at timestamptz NOT NULL,
    timestamp_token bytea
);

CREATE TABLE vallum.audit_table (
    relation text PRIMARY KEY,
    key text[] NOT NULL,
    columns jsonb NOT NULL,
    signature text NOT NULL,
    function text NOT NULL,
    digest text NOT NULL,
    since timestamptz NOT NULL
);

CREATE TABLE vallum.audit_forward (target text PRIMARY KEY, next bigint NOT NULL, at timestamptz NOT NULL);
"""

# The number of a transaction's events is written at its end, where it is more than one: what is deleted
# before the sequencer reads it is missed. The second event leaves a mark here, and the mark's trigger writes
# the number: a trigger on the inbox itself would be looked at for each event. No search path is set: every
# name says where it is from, which is faster.
FOOTER = """
CREATE FUNCTION vallum.audit_footer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
    INSERT INTO vallum.audit_footer (xid, count)
    VALUES (NEW.xid, pg_catalog.current_setting('vallum.audit_n')::pg_catalog.int4);
    RETURN NULL;
END $body$;
CREATE CONSTRAINT TRIGGER audit_footer AFTER INSERT ON vallum.audit_footer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.count IS NULL)
    EXECUTE FUNCTION vallum.audit_footer();
ALTER TABLE vallum.audit_footer ENABLE ALWAYS TRIGGER audit_footer;
"""

RECORD = """
CREATE FUNCTION vallum.audit_record(kind text, detail text, relation text, key text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
DECLARE
    made bigint := nextval('vallum.audit_event_id');
    n integer := coalesce(nullif(current_setting('vallum.audit_n', true), '')::integer, 0) + 1;
BEGIN
    IF $1 IN ('row', 'alarm') OR $1 !~ '^[a-z][a-z-]{0,39}$' THEN
        RAISE EXCEPTION USING MESSAGE = 'no application event may be called ' || $1, ERRCODE = '22023';
    END IF;
    PERFORM $2::json;
    PERFORM set_config('vallum.audit_n', n::text, true);
    INSERT INTO vallum.audit_inbox VALUES (made, pg_current_xact_id(), n, clock_timestamp(), $1, $3, $4, NULL,
        NULL, $2, current_setting('vallum.audit_stamp', true), pg_backend_pid(), session_user,
        current_setting('role'), current_setting('application_name'), inet_client_addr(), false);
    IF n = 2 THEN
        INSERT INTO vallum.audit_footer (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN made;
END $body$;
"""

# What differs, where a table was altered since its own function was written: slower, and always right.
CAREFUL = """
CREATE FUNCTION vallum.audit_difference(before jsonb, after jsonb, hidden text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = '' AS $body$
    SELECT json_object_agg(b.key, CASE
        WHEN b.key = ANY (hidden) THEN json_build_object('hidden', true)
        WHEN jsonb_typeof(b.value) IN ('null', 'boolean', 'number') THEN b.value::json
        WHEN octet_length(b.value #>> '{}') > 262144 THEN json_build_object(
            'bytes', octet_length(b.value #>> '{}'),
            'digest', encode(sha256(convert_to(b.value #>> '{}', 'UTF8')), 'hex'))
        ELSE to_json(b.value #>> '{}') END)::text
    FROM jsonb_each(before) b
    WHERE after IS NULL OR b.value IS DISTINCT FROM after -> b.key
$body$;

CREATE FUNCTION vallum.audit_whole(did text, before jsonb, after jsonb, keys text[], hidden text[],
    OUT key text, OUT old text, OUT new text, OUT careful boolean)
LANGUAGE plpgsql STABLE SET search_path = '' AS $body$
BEGIN
    before := CASE WHEN did <> 'INSERT' THEN before END;
    after := CASE WHEN did <> 'DELETE' THEN after END;
    IF before = after THEN
        RETURN;
    END IF;
    key := (SELECT json_object_agg(k, coalesce(before, after) -> k)::text FROM unnest(keys) k);
    old := vallum.audit_difference(before, after, hidden);
    new := vallum.audit_difference(after, before, hidden);
    careful := true;
END $body$;

CREATE FUNCTION vallum.audit_careful() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
DECLARE
    n integer := coalesce(nullif(current_setting('vallum.audit_n', true), '')::integer, 0) + 1;
    d record;
BEGIN
    SELECT * INTO d FROM vallum.audit_whole(TG_OP, to_jsonb(OLD), to_jsonb(NEW), TG_ARGV[1]::text[],
                                            TG_ARGV[2]::text[]);
    IF d.careful IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('vallum.audit_n', n::text, true);
    INSERT INTO vallum.audit_inbox VALUES (nextval('vallum.audit_event_id'), pg_current_xact_id(), n,
        clock_timestamp(), 'row', TG_ARGV[0], d.key, lower(left(TG_OP, 1))::"char", d.old, d.new,
        current_setting('vallum.audit_stamp', true), pg_backend_pid(), session_user,
        current_setting('role'), current_setting('application_name'), inet_client_addr(), true);
    IF n = 2 THEN
        INSERT INTO vallum.audit_footer (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN NULL;
END $body$;
"""

# Who alters a table is told on, and the table watched carefully from then on, where PostgreSQL lets us.
ALTERED = """
CREATE FUNCTION vallum.audit_altered() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
DECLARE
    made record;
    known record;
    hidden text[];
    did text;
    name text;
BEGIN
    IF current_setting('vallum.audit_own', true) = 'on' THEN
        RETURN;
    END IF;
    FOR made IN SELECT DISTINCT objid FROM pg_event_trigger_ddl_commands()
                WHERE classid = 'pg_class'::regclass LOOP
        SELECT t.relation, t.key, t.columns INTO known FROM vallum.audit_table t
        JOIN pg_trigger g ON g.tgrelid = made.objid AND g.tgname = 'zz_vallum_audit_u' AND g.tgparentid = 0
        JOIN pg_proc p ON p.oid = g.tgfoid AND p.proname = t.function || 'u';
        CONTINUE WHEN NOT FOUND;
        -- Row security, statistics and the like are nothing to us; columns and our own triggers are.
        CONTINUE WHEN (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = made.objid AND g.tgenabled = 'A'
                       AND g.tgname ~ '^zz_vallum_audit_[iud]$') = 3
            AND ARRAY(SELECT c.key FROM jsonb_each(known.columns) c ORDER BY 1) = ARRAY(
                SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = made.objid AND a.attnum > 0
                AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY 1);
        PERFORM vallum.audit_record('table-altered', json_build_object('command', tg_tag)::text,
                                    known.relation, NULL);
        hidden := ARRAY(SELECT c.key FROM jsonb_each_text(known.columns) c WHERE c.value = 'hidden');
        -- UPDATE first: these statements come here themselves, and find nothing more to do then.
        FOREACH did IN ARRAY ARRAY['UPDATE', 'INSERT', 'DELETE'] LOOP
            name := 'zz_vallum_audit_' || lower(left(did, 1));
            EXECUTE 'CREATE OR REPLACE TRIGGER ' || name || ' AFTER ' || did || ' ON '
                || made.objid::regclass::text || ' FOR EACH ROW EXECUTE FUNCTION vallum.audit_careful('
                || quote_literal(known.relation) || ', ' || quote_literal(known.key::text) || ', '
                || quote_literal(hidden::text) || ')';
            EXECUTE 'ALTER TABLE ' || made.objid::regclass::text || ' ENABLE ALWAYS TRIGGER ' || name;
        END LOOP;
    END LOOP;
END $body$;
"""

GUARD = """
REVOKE ALL ON FUNCTION vallum.audit_record, vallum.audit_footer, vallum.audit_difference, vallum.audit_whole,
    vallum.audit_careful, vallum.audit_altered FROM PUBLIC;
"""


def upgrade() -> None:
    """Make the tables and functions."""
    for part in (TABLES, FOOTER, RECORD, CAREFUL, ALTERED, GUARD):
        op.get_bind().exec_driver_sql(part)


def downgrade() -> None:
    """Drop them, and the log with them."""
    op.execute("DROP EVENT TRIGGER IF EXISTS vallum_audit_altered")
    for name in ("forward", "table", "checkpoint", "state", "leaf", "footer", "inbox"):
        op.execute(f"DROP TABLE vallum.audit_{name}")
    op.execute(
        "DROP FUNCTION vallum.audit_altered, vallum.audit_careful, vallum.audit_whole,"
        " vallum.audit_difference, vallum.audit_record, vallum.audit_footer CASCADE"
    )
    op.execute("DROP SEQUENCE vallum.audit_event_id")
