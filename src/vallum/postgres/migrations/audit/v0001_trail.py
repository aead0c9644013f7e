"""The audit trail: what triggers and applications write to, the log itself, and its state.

Roles other than the owner reach none of it but through the functions: triggers run as the owner, and
`audit_record` may be called by whoever is granted it. Values that others can set (`vallum.audit_n`,
`vallum.audit_stamp`) decide nothing here: the sequencer checks them.
"""

from alembic import op

revision = "0001"
down_revision = None

# What waits in the inbox is as a trigger writes it with the least work: `key` and `content` are the inside of
# JSON objects, each member with a comma before it, `who` is fields between separators (see `audit.waiting`).
TABLES = """
CREATE SEQUENCE vallum.audit_event_id;

CREATE TABLE vallum.audit_inbox (
    id bigint,
    xid xid8,
    at timestamptz,
    kind text,
    relation text,
    key text,
    content text,
    who text,
    careful boolean
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
    shape text NOT NULL,
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

# An event that no trigger of a table's own writes. It counts: see FOOTER.
RECORD = """
CREATE FUNCTION vallum.audit_event(kind text, relation text, key text, content text, careful boolean)
RETURNS bigint LANGUAGE plpgsql SET search_path = '' AS $body$
DECLARE
    made bigint := nextval('vallum.audit_event_id');
    n integer := concat('0', current_setting('vallum.audit_n', true))::integer + 1;
BEGIN
    PERFORM set_config('vallum.audit_n', n::text, true);
    INSERT INTO vallum.audit_inbox VALUES (made, pg_current_xact_id(), clock_timestamp(), kind, relation, key,
        content, concat_ws(E'\\x1f', n, inet_client_addr(), pg_backend_pid(),
            current_setting('application_name'), quote_ident(session_user),
            quote_ident(current_setting('role')), current_setting('vallum.audit_stamp', true)), careful);
    IF n = 2 THEN
        INSERT INTO vallum.audit_footer (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN made;
END $body$;

CREATE FUNCTION vallum.audit_record(kind text, detail text, relation text, key text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
BEGIN
    IF $1 IN ('row', 'create', 'write', 'unlink', 'truncate', 'baseline', 'alarm')
        OR $1 !~ '^[a-z][a-z-]{0,39}$' THEN
        RAISE EXCEPTION USING MESSAGE = 'no application event may be called ' || $1, ERRCODE = '22023';
    END IF;
    IF json_typeof($2::json) <> 'object' OR json_typeof($4::json) <> 'object' THEN
        RAISE EXCEPTION USING MESSAGE = 'detail and key are JSON objects', ERRCODE = '22023';
    END IF;
    RETURN vallum.audit_event($1, $3, vallum.audit_members($4), vallum.audit_members($2), NULL);
END $body$;

CREATE FUNCTION vallum.audit_members(object text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $body$
    SELECT CASE WHEN inside = '' THEN '' ELSE ',' || inside END
    FROM regexp_replace(object, '^\\s*\\{\\s*|\\s*\\}\\s*$', '', 'g') AS inside
$body$;

CREATE FUNCTION vallum.audit_long(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $body$
    SELECT json_build_object('bytes', octet_length(value),
                             'digest', encode(sha256(convert_to(value, 'UTF8')), 'hex'))::text
$body$;

CREATE FUNCTION vallum.audit_long_bytes(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $body$
    SELECT json_build_object('bytes', octet_length(value), 'digest', encode(sha256(value), 'hex'))::text
$body$;
"""

# What differs, where a table was altered since its own function was written: slower, and always right.
CAREFUL = """
CREATE FUNCTION vallum.audit_value(value jsonb, hidden boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = '' AS $body$
    SELECT CASE WHEN hidden THEN '{"hidden":true}'
        WHEN jsonb_typeof(value) IN ('null', 'boolean', 'number') THEN value::text
        WHEN octet_length(value #>> '{}') > 262144 THEN vallum.audit_long(value #>> '{}')
        ELSE to_json(value #>> '{}')::text END
$body$;

CREATE FUNCTION vallum.audit_difference(before jsonb, after jsonb, hidden text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = '' AS $body$
    SELECT coalesce(string_agg(',' || to_json(c.name)::text || ':' || CASE
        WHEN after IS NULL THEN vallum.audit_value(before -> c.name, c.name = ANY (hidden))
        WHEN before IS NULL THEN vallum.audit_value(after -> c.name, c.name = ANY (hidden))
        ELSE '[' || vallum.audit_value(before -> c.name, c.name = ANY (hidden)) || ','
            || vallum.audit_value(after -> c.name, c.name = ANY (hidden)) || ']' END, ''), '')
    FROM jsonb_object_keys(coalesce(before, after)) AS c(name)
    WHERE before IS NULL OR after IS NULL OR before -> c.name IS DISTINCT FROM after -> c.name
$body$;

CREATE FUNCTION vallum.audit_whole(did text, before jsonb, after jsonb, keys text[], hidden text[],
    OUT key text, OUT content text, OUT careful boolean)
LANGUAGE plpgsql STABLE SET search_path = '' AS $body$
BEGIN
    before := CASE WHEN did <> 'INSERT' THEN before END;
    after := CASE WHEN did <> 'DELETE' THEN after END;
    IF before = after THEN
        RETURN;
    END IF;
    key := (SELECT string_agg(',' || to_json(k)::text || ':'
                              || coalesce((coalesce(before, after) -> k)::text, 'null'), '')
            FROM unnest(keys) k);
    content := vallum.audit_difference(before, after, hidden);
    careful := true;
END $body$;

CREATE FUNCTION vallum.audit_careful() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
DECLARE
    d record;
BEGIN
    SELECT * INTO d FROM vallum.audit_whole(TG_OP, to_jsonb(OLD), to_jsonb(NEW), TG_ARGV[1]::text[],
                                            TG_ARGV[2]::text[]);
    IF d.careful THEN
        PERFORM vallum.audit_event(
            CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'write' ELSE 'unlink' END,
            TG_ARGV[0], d.key, d.content, true);
    END IF;
    RETURN NULL;
END $body$;
"""

# Who alters a table is told on, and the table watched carefully from then on, where PostgreSQL lets us.
# Columns go with their types, schemas and extensions as well; those commands do not say of which tables.
ALTERED = """
CREATE FUNCTION vallum.audit_shape(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = '' AS $body$
    SELECT string_agg(concat_ws(' ', quote_ident(attname), atttypid::oid, atttypmod), ',' ORDER BY attname)
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
$body$;

CREATE FUNCTION vallum.audit_altered() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
DECLARE
    known record;
    hidden text[];
    did text;
    name text;
BEGIN
    IF current_setting('vallum.audit_own', true) = 'on' THEN
        RETURN;
    END IF;
    FOR known IN
        WITH RECURSIVE altered AS (
            SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass
            UNION SELECT i.inhrelid FROM altered JOIN pg_inherits i ON i.inhparent = altered.objid)
        SELECT t.relation, t.key, t.columns, g.tgrelid FROM vallum.audit_table t
        JOIN pg_proc p ON p.proname = t.function || 'u' AND p.pronamespace = 'vallum'::regnamespace
        JOIN pg_trigger g ON g.tgfoid = p.oid AND g.tgname = 'zz_vallum_audit_u' AND g.tgparentid = 0
        WHERE (tg_tag <> 'ALTER TABLE' OR g.tgrelid IN (SELECT objid FROM altered))
            -- Row security, statistics and the like are nothing to us; columns and our own triggers are.
            AND (vallum.audit_shape(g.tgrelid) IS DISTINCT FROM t.shape OR 3 <> (
                SELECT count(*) FROM pg_trigger o WHERE o.tgrelid = g.tgrelid AND o.tgenabled = 'A'
                AND o.tgname ~ '^zz_vallum_audit_[iud]$'))
    LOOP
        PERFORM vallum.audit_record('table-altered', json_build_object('command', tg_tag)::text,
                                    known.relation, NULL);
        hidden := ARRAY(SELECT c.key FROM jsonb_each_text(known.columns) c WHERE c.value = 'hidden');
        -- UPDATE first: these statements come here themselves, and find nothing more to do then.
        FOREACH did IN ARRAY ARRAY['UPDATE', 'INSERT', 'DELETE'] LOOP
            name := 'zz_vallum_audit_' || lower(left(did, 1));
            EXECUTE 'CREATE OR REPLACE TRIGGER ' || name || ' AFTER ' || did || ' ON '
                || known.tgrelid::regclass::text || ' FOR EACH ROW EXECUTE FUNCTION vallum.audit_careful('
                || quote_literal(known.relation) || ', ' || quote_literal(known.key::text) || ', '
                || quote_literal(hidden::text) || ')';
            EXECUTE 'ALTER TABLE ' || known.tgrelid::regclass::text || ' ENABLE ALWAYS TRIGGER ' || name;
        END LOOP;
    END LOOP;
END $body$;
"""

GUARD = """
REVOKE ALL ON FUNCTION vallum.audit_event, vallum.audit_record, vallum.audit_members, vallum.audit_long,
    vallum.audit_long_bytes, vallum.audit_footer, vallum.audit_value, vallum.audit_difference,
    vallum.audit_whole, vallum.audit_careful, vallum.audit_shape, vallum.audit_altered FROM PUBLIC;
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
        "DROP FUNCTION vallum.audit_altered, vallum.audit_shape, vallum.audit_careful, vallum.audit_whole,"
        " vallum.audit_difference, vallum.audit_value, vallum.audit_record, vallum.audit_event,"
        " vallum.audit_members, vallum.audit_long, vallum.audit_long_bytes, vallum.audit_footer CASCADE"
    )
    op.execute("DROP SEQUENCE vallum.audit_event_id")
