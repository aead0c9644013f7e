"""What a pooler reads: a view over each table and view that users read, for whom its setting is signed.

Pure. Made only where there are poolers. A view gives what the user's own role would: the same rows, by the
same helpers, and an error for a column or a table that is not the user's. Nothing else asks for a signature,
so nothing changes for users who sign in themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from vallum.enforce.roles.columns import ColumnGrant
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.found import Relation
from vallum.enforce.roles.items import Item
from vallum.enforce.roles.links import Link
from vallum.enforce.roles.names import literal, quoted
from vallum.enforce.roles.pooler import TABLE
from vallum.enforce.roles.scopes import ModelRules, RuleCompiler
from vallum.enforce.roles.tables import SIGNED, target

__all__ = ["link_view", "model_view", "schema_items"]

_FIXED: Final = "LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
_ASKER: Final = f"(SELECT {HELPERS}.signed_for(current_user))"

# The role that stands for the user; any doubt is an error. The signatures are compared by what they hash to
# under the key, so that time tells nothing of them.
_FUNCTIONS: Final = f"""
CREATE OR REPLACE FUNCTION {HELPERS}.hmac(inner_key bytea, outer_key bytea, message text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT sha256(outer_key || sha256(inner_key || convert_to(message, 'UTF8'))) $$;
CREATE OR REPLACE FUNCTION {HELPERS}.signed_for(who name) RETURNS name {_FIXED} AS $$
DECLARE
    parts text[] := regexp_match(coalesce(current_setting('vallum.signed', true), ''),
        '^([0-9]{{1,10}})\\.([0-9]{{1,12}})\\.([0-9a-f]{{32}})\\.([0-9a-f]{{64}})$');
    started bigint;
    pooler {HELPERS}.poolers;
    asker name;
    wanted bytea;
BEGIN
    SELECT * INTO pooler FROM {HELPERS}.poolers p WHERE p.role_name = who;
    IF pooler IS NULL OR who <> session_user THEN
        RAISE insufficient_privilege USING MESSAGE = format('role %s is no pooler', who);
    END IF;
    SELECT (extract(epoch FROM a.backend_start) * 1000000)::bigint INTO started
        FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();
    wanted := {HELPERS}.hmac(pooler.inner_key, pooler.outer_key, format('vallum.1.%s.%s.%s.%s.%s.%s.%s',
        pg_backend_pid(), started, parts[1], parts[2], parts[3], who, current_database()));
    IF parts IS NULL OR started IS NULL
       OR {HELPERS}.hmac(pooler.inner_key, pooler.outer_key, encode(wanted, 'hex'))
       <> {HELPERS}.hmac(pooler.inner_key, pooler.outer_key, parts[4]) THEN
        RAISE insufficient_privilege USING MESSAGE = 'vallum.signed holds no signature for this session';
    END IF;
    IF to_timestamp(parts[2]::bigint) NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 hour'
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'the signature in vallum.signed holds no longer';
    END IF;
    SELECT u.role_name INTO asker FROM {HELPERS}.users u WHERE u.user_id::text = parts[1];
    IF asker IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'vallum.signed is for no user';
    END IF;
    RETURN asker;
END $$;
CREATE OR REPLACE FUNCTION {HELPERS}.must_read(who name, relation text, attribute text) RETURNS boolean
{_FIXED} AS $$
BEGIN
    IF NOT coalesce(has_column_privilege(who, relation, attribute, 'SELECT'), false) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('permission denied for column %s of %s', attribute, relation);
    END IF;
    RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION {HELPERS}.signed_for(name), {HELPERS}.must_read(name, text, text) TO PUBLIC;
REVOKE ALL ON FUNCTION {HELPERS}.hmac(bytea, bytea, text) FROM PUBLIC
"""  # noqa: S608 - names of our own


def schema_items(poolers: Sequence[str]) -> list[Item]:
    """The functions that hold a signature against the key, and the schema the poolers may use."""
    roles = ", ".join(map(quoted, poolers))
    functions = "signed_for(name)", "must_read(name, text, text)", "hmac(bytea, bytea, text)"
    undo = "; ".join(f"DROP FUNCTION IF EXISTS {HELPERS}.{function}" for function in functions)
    return [
        Item("functions", "signed", f"{TABLE};{_FUNCTIONS}", undo),
        Item(
            "schema",
            SIGNED,
            f"CREATE SCHEMA {SIGNED}; GRANT USAGE ON SCHEMA {SIGNED} TO {roles}",
            f"DROP SCHEMA IF EXISTS {SIGNED} CASCADE",
        ),
    ]


def model_view(
    relation: Relation,
    rules: ModelRules,
    grants: Iterable[ColumnGrant],
    compiler: RuleCompiler,
    poolers: Sequence[str],
    schema: str,
) -> Item | None:
    """The view over a model's relation; none where nobody reads it."""
    found = list(grants)
    if not found:
        return None
    columns = [c for grant in found for c in (grant.columns or relation.columns)]
    widest = next((grant for grant in found if grant.columns is None or "id" in grant.columns), None)
    if widest is None:
        return None
    free = set(widest.columns or relation.columns)
    where = [_must_read(relation, "id", schema)]
    if rules.restricted:
        where.append(f"id IN (SELECT {compiler.within(rules).qualified}({_ASKER}))")
    return _view(relation, columns, free, where, poolers, schema)


def link_view(
    link: Link,
    rules: Mapping[str, ModelRules],
    compiler: RuleCompiler,
    poolers: Sequence[str],
    schema: str,
) -> Item:
    """The view over a relation table: links both of whose ends the user may read."""
    columns = [column for column, _ in link.ends]
    where = [_must_read(link.relation, columns[0], schema)]
    for column, model in link.ends:
        if rules[model].restricted:
            where.append(f"{quoted(column)} IN (SELECT {compiler.within(rules[model]).qualified}({_ASKER}))")
    return _view(link.relation, columns, set(columns), where, poolers, schema)


def _view(
    relation: Relation,
    columns: Iterable[str],
    free: Collection[str],
    where: Sequence[str],
    poolers: Sequence[str],
    schema: str,
) -> Item:
    view, source = quoted(SIGNED, relation.name), quoted(schema, relation.name)
    shown = ", ".join(
        quoted(column)
        if column in free
        else f"CASE WHEN {_must_read(relation, column, schema)} THEN {quoted(column)} END AS {quoted(column)}"
        for column in columns
    )
    make = (
        f"CREATE VIEW {view} WITH (security_barrier) AS SELECT {shown} FROM {source}"  # noqa: S608
        f" WHERE {' AND '.join(where)};"
        f" GRANT SELECT ON {view} TO {', '.join(map(quoted, poolers))}"
    )
    return Item("view", f"{SIGNED}.{relation.name}", make, f"DROP VIEW IF EXISTS {view}")


def _must_read(relation: Relation, column: str, schema: str) -> str:
    """An error unless the user's own role may read the column."""
    arguments = f"{_ASKER}, {literal(target(relation, schema))}, {literal(column)}"
    return f"(SELECT {HELPERS}.must_read({arguments}))"
