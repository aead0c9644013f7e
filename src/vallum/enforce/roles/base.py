"""What every policy rests on: the schema of helpers, who stands for whom, and their values.

The tables are the owner's alone: no role of a user may read or write them, and nobody has
USAGE on the schema, so that helpers can be called by policies and by nothing else.
Identity is the role that asks; the only setting a user has a hand in, `vallum.companies`,
narrows.
"""

from __future__ import annotations

from typing import Final

from vallum.enforce.roles.expressions import HELPERS

__all__ = ["BASE", "DROP_BASE", "FORGET_PLANS", "FUNCTIONS", "SHOWN"]

SHOWN: Final = "vallum"

# What a record is made to refer to has to be readable: it runs as whoever writes, whose policies decide. So a
# foreign key tells nothing of what is hidden.
# The stamp cannot ask for `current_user`, which is its owner's: the role that was set, else who signed in.
# PL/pgSQL keeps its plans for a session, which SQL functions do not before PostgreSQL 18.
_FIXED: Final = "LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

BASE: Final = f"""
CREATE SCHEMA IF NOT EXISTS {SHOWN};
CREATE SCHEMA {HELPERS};
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
"""  # noqa: S608 - names of our own

FUNCTIONS: Final = f"""
CREATE OR REPLACE FUNCTION {HELPERS}.companies(who name) RETURNS integer[] {_FIXED} AS $$
DECLARE wanted integer[] := string_to_array(nullif(current_setting('vallum.companies', true), ''), ',');
BEGIN RETURN (
    SELECT coalesce(
        array_agg(c.company_id ORDER BY coalesce(array_position(wanted, c.company_id), c.company_id)), '{{}}')
    FROM {HELPERS}.companies c
    WHERE c.role_name = $1 AND (wanted IS NULL OR c.company_id = ANY (wanted)));
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.ints(who name, place integer) RETURNS integer[] {_FIXED} AS $$
BEGIN
    IF $2 = 1 THEN RETURN {HELPERS}.companies($1); END IF;
    IF $2 = 2 THEN RETURN ({HELPERS}.companies($1))[1:1]; END IF;
    RETURN coalesce((SELECT b.ints FROM {HELPERS}.bindings b
                     WHERE b.role_name = $1 AND b.place = $2), '{{}}');
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.texts(who name, place integer) RETURNS text[] {_FIXED} AS $$
BEGIN
    RETURN coalesce((SELECT b.texts FROM {HELPERS}.bindings b
                     WHERE b.role_name = $1 AND b.place = $2), '{{}}');
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.member_of(who name, groups integer[]) RETURNS boolean {_FIXED} AS $$
BEGIN
    RETURN EXISTS (SELECT FROM {HELPERS}.members m WHERE m.role_name = $1 AND m.group_id = ANY ($2));
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.free_of(who name, groups integer[]) RETURNS boolean {_FIXED} AS $$
BEGIN
    RETURN EXISTS (SELECT FROM {HELPERS}.users u WHERE u.role_name = $1)
       AND NOT EXISTS (SELECT FROM {HELPERS}.members m
                       WHERE m.role_name = $1 AND m.group_id = ANY ($2));
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    asker name := CASE current_setting('role') WHEN 'none' THEN session_user
                  ELSE current_setting('role') END;
    me integer := (SELECT u.user_id FROM {HELPERS}.users u WHERE u.role_name = asker);
BEGIN
    IF me IS NULL THEN
        IF EXISTS (SELECT FROM {HELPERS}.applied a WHERE a.kind = 'role' AND a.name = asker) THEN
            RAISE insufficient_privilege USING MESSAGE = format('role %s stands for no user', asker);
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.create_uid := me;
        NEW.create_date := now();
    END IF;
    NEW.write_uid := me;
    NEW.write_date := now();
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.refer() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new_row jsonb := to_jsonb(NEW);
    old_row jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) END;
    wanted text;
    is_there boolean;
BEGIN
    FOR place IN 0 .. TG_NARGS / 2 - 1 LOOP
        wanted := new_row ->> TG_ARGV[2 * place];
        CONTINUE WHEN wanted IS NULL OR wanted IS NOT DISTINCT FROM (old_row ->> TG_ARGV[2 * place]);
        EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE t.id = $1)', TG_ARGV[2 * place + 1])
            INTO is_there USING wanted::integer;
        IF NOT is_there THEN
            RAISE insufficient_privilege USING MESSAGE = format(
                '%s: no record %s that %s may read', TG_ARGV[2 * place], wanted, current_user);
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {HELPERS} TO PUBLIC;
"""  # noqa: S608 - names of our own

# A plan that is kept holds the policies of the groups its role was in. PostgreSQL 18 plans anew by itself
# when a membership goes; a change of a function that a policy calls makes sure of it everywhere.
FORGET_PLANS: Final = (
    f"ALTER FUNCTION {HELPERS}.member_of(name, integer[]) STABLE;"
    f" ALTER FUNCTION {HELPERS}.free_of(name, integer[]) STABLE"
)

# The schema that is shown may hold more than ours: it goes only when it is empty.
DROP_BASE: Final = f"""
DROP SCHEMA IF EXISTS {HELPERS} CASCADE;
DROP VIEW IF EXISTS {SHOWN}.login_roles;
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('{SHOWN}'))
       AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('{SHOWN}'))
    THEN DROP SCHEMA IF EXISTS {SHOWN} RESTRICT; END IF;
END $$;
"""  # noqa: S608 - names of our own
