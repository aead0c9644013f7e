-- The peer: one generic trigger for all tables that keeps whole rows as jsonb, after the public description of
-- supa_audit: a version a change, with the record and the old record, found by a stable id of its key.
CREATE SCHEMA peer;
CREATE TABLE peer.record_version (
    id bigserial PRIMARY KEY,
    record_id uuid,
    old_record_id uuid,
    op text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now(),
    table_oid oid NOT NULL,
    table_schema name NOT NULL,
    table_name name NOT NULL,
    record jsonb,
    old_record jsonb
);
CREATE INDEX ON peer.record_version (record_id) WHERE record_id IS NOT NULL;
CREATE INDEX ON peer.record_version (old_record_id) WHERE old_record_id IS NOT NULL;
CREATE INDEX ON peer.record_version USING brin (ts);
CREATE INDEX ON peer.record_version (table_oid);

CREATE FUNCTION peer.record_id(entity oid, keys text[], rec jsonb) RETURNS uuid STABLE LANGUAGE sql AS $$
    SELECT md5(entity::text || (SELECT string_agg(rec ->> k, ',' ORDER BY k) FROM unnest(keys) k))::uuid
    WHERE rec IS NOT NULL
$$;
CREATE FUNCTION peer.keys(entity oid) RETURNS text[] STABLE SECURITY DEFINER SET search_path = '' LANGUAGE sql AS $$
    SELECT array_agg(a.attname::text) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = entity AND i.indisprimary
$$;
CREATE FUNCTION peer.version() RETURNS trigger SECURITY DEFINER SET search_path = '' LANGUAGE plpgsql AS $$
DECLARE
    keys text[] := peer.keys(TG_RELID);
    record jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    old_record jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
BEGIN
    INSERT INTO peer.record_version (record_id, old_record_id, op, table_oid, table_schema, table_name, record,
                                     old_record)
    SELECT peer.record_id(TG_RELID, keys, record), peer.record_id(TG_RELID, keys, old_record), TG_OP, TG_RELID,
           TG_TABLE_SCHEMA, TG_TABLE_NAME, record, old_record;
    RETURN coalesce(NEW, OLD);
END $$;
