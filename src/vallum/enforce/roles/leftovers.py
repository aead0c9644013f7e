"""Undo what is applied, whatever others have dropped of it; and what is left where the record of it is gone.

Invariant: only what bears Vallum's names, and for roles its mark, is ever removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import psycopg

from vallum.enforce.roles.base import DROP_BASE
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.found import GUARD, MADE_BY
from vallum.enforce.roles.items import undo_role
from vallum.enforce.roles.names import RoleNames, pattern, quoted
from vallum.enforce.roles.tables import SIGNED, VIEWS

__all__ = ["sweep", "undo_all"]

Connection: TypeAlias = psycopg.Connection[Any]

# What an undoing is about is gone already: a role, table, column, schema, function or policy.
_GONE: Final = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)


def undo_all(
    connection: Connection, statements: Sequence[str], together: Callable[[Sequence[str]], None]
) -> None:
    """Undo by `together` in one go; where something is gone, one by one without what is gone."""
    wanted = [statement for statement in statements if statement]
    if not wanted:
        return
    try:
        with connection.transaction():
            connection.execute(";\n".join(wanted).encode())
    except psycopg.Error as error:
        if not isinstance(error, _GONE):
            together(wanted)
            return
        for statement in wanted:
            try:
                with connection.transaction():
                    connection.execute(statement.encode())
            except _GONE:
                continue
            except psycopg.Error:
                together([statement])


def sweep(connection: Connection, names: RoleNames, schema: str) -> int:
    """Remove what bears our names where nothing is known to be applied; says how much that was.

    Somebody has dropped the schema that tells what was applied: policies, roles and grants outlive it.
    """
    values = {"schema": schema, "guard": GUARD}
    with connection.transaction():
        guarded = connection.execute(_GUARDED, values).fetchall()
        policies = connection.execute(_POLICIES, values).fetchall()
        for table, policy in policies:
            connection.execute(f"DROP POLICY {quoted(policy)} ON {quoted(schema, table)}".encode())
        for (table,) in guarded:
            connection.execute(f"ALTER TABLE {quoted(schema, table)} DISABLE ROW LEVEL SECURITY".encode())
        roles = connection.execute(_ROLES, (pattern(names), MADE_BY)).fetchall()
        schemas = connection.execute(_SCHEMAS, {"views": [VIEWS, SIGNED], "helpers": HELPERS}).fetchall()
        for (name,) in schemas:
            connection.execute(f"DROP SCHEMA {quoted(name)} CASCADE".encode())
        for (role,) in roles:
            connection.execute(undo_role(role).encode())
        if policies or roles or schemas:
            connection.execute(DROP_BASE.encode())
    return len(policies) + len(roles) + len(schemas)


_POLICIES: Final = """
SELECT c.relname::text, p.polname::text FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND starts_with(p.polname, 'vallum_')
"""
# Row level security that we have switched on.
_GUARDED: Final = """
SELECT c.relname::text FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND p.polname = %(guard)s
"""
_ROLES: Final = """
SELECT rolname::text FROM pg_roles WHERE rolname ~ %s AND shobj_description(oid, 'pg_authid') = %s
"""
# Others may have a schema of such a name: ours are known by what is in them, or by standing empty.
_SCHEMAS: Final = """
SELECT nspname::text FROM pg_namespace n WHERE pg_has_role(nspowner, 'USAGE')
AND (nspname = ANY (%(views)s)
        AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relkind <> 'v')
     OR nspname = %(helpers)s AND (
        EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid AND proname = 'member_of')
        OR NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
           AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)))
"""
