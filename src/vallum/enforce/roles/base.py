"""What every policy rests on: the schema of helpers, who stands for whom, and their values.

The tables are the owner's alone: no role of a user may read or write them, and nobody has
USAGE on the schema, so that helpers can be called by policies and by nothing else.
Identity is the role that asks; the only setting a user has a hand in, `vallum.companies`,
narrows.
"""

from __future__ import annotations

from typing import Final

from vallum.enforce.roles.expressions import HELPERS

__all__ = ["BASE", "DROP_BASE", "SHOWN"]

SHOWN: Final = "vallum"

BASE: Final = f"""
CREATE SCHEMA IF NOT EXISTS {SHOWN};
CREATE SCHEMA IF NOT EXISTS {HELPERS};
REVOKE ALL ON SCHEMA {HELPERS} FROM PUBLIC;
CREATE TABLE {HELPERS}.users (role_name name PRIMARY KEY, user_id integer NOT NULL UNIQUE);
CREATE TABLE {HELPERS}.members (
    role_name name NOT NULL REFERENCES {HELPERS}.users ON DELETE CASCADE, group_id integer,
    PRIMARY KEY (role_name, group_id));
CREATE TABLE {HELPERS}.companies (
    role_name name NOT NULL REFERENCES {HELPERS}.users ON DELETE CASCADE, company_id integer,
    PRIMARY KEY (role_name, company_id));
CREATE TABLE {HELPERS}.bindings (
    role_name name NOT NULL REFERENCES {HELPERS}.users ON DELETE CASCADE, place integer,
    ints integer[] NOT NULL, texts text[] NOT NULL, PRIMARY KEY (role_name, place));
CREATE TABLE {HELPERS}.applied (
    position integer NOT NULL, kind text, name text, digest text NOT NULL, undo text NOT NULL,
    PRIMARY KEY (kind, name));
CREATE VIEW {SHOWN}.login_roles AS SELECT user_id, role_name FROM {HELPERS}.users;
CREATE FUNCTION {HELPERS}.companies(who name) RETURNS integer[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(c.company_id ORDER BY coalesce(array_position(w.ids, c.company_id), c.company_id)), '{{}}')
    FROM {HELPERS}.companies c,
         (SELECT string_to_array(nullif(current_setting('vallum.companies', true), ''), ',')::integer[] AS ids) w
    WHERE c.role_name = who AND (w.ids IS NULL OR c.company_id = ANY (w.ids)) $$;
CREATE FUNCTION {HELPERS}.ints(who name, place integer) RETURNS integer[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE $2 WHEN 1 THEN {HELPERS}.companies($1)
                   WHEN 2 THEN ({HELPERS}.companies($1))[1:1]
                   ELSE coalesce((SELECT b.ints FROM {HELPERS}.bindings b
                                  WHERE b.role_name = $1 AND b.place = $2), '{{}}') END $$;
CREATE FUNCTION {HELPERS}.texts(who name, place integer) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT b.texts FROM {HELPERS}.bindings b
                     WHERE b.role_name = $1 AND b.place = $2), '{{}}') $$;
CREATE FUNCTION {HELPERS}.member_of(who name, groups integer[]) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM {HELPERS}.members m
                   WHERE m.role_name = $1 AND m.group_id = ANY ($2)) $$;
"""

DROP_BASE: Final = f"DROP SCHEMA IF EXISTS {SHOWN} CASCADE; DROP SCHEMA IF EXISTS {HELPERS} CASCADE"
