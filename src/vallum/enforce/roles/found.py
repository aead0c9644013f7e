"""What a database holds already: its tables and views, who else reads them, and what we may do there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.names import RoleNames, pattern
from vallum.kernel import VallumError

__all__ = [
    "GUARD",
    "MADE_BY",
    "Relation",
    "RolesRefused",
    "TablesInUse",
    "check_rights",
    "check_roles",
    "is_open",
    "read_relations",
    "taken_roles",
]

Connection = psycopg.Connection[Any]
MADE_BY: Final = "made by Vallum"
# The policy, for nobody, that tells that row level security was switched on by us: unlike our records of it,
# it depends on nothing that could be dropped.
GUARD: Final = "vallum_guard"


class RolesRefused(VallumError):
    """The database does not let the policy in; nothing was changed."""

    code = "roles-refused"


class TablesInUse(RolesRefused):
    """Others were using a table for too long; nothing was changed."""

    code = "roles-tables-in-use"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as it is: kind `r`, `p`, `v` or `m`, owner, columns.

    `mine`: whether we may act as its owner; `guarded`: it has row level security that is not ours,
    `foreign` are the policies of others on it; `readers`: other roles that may read it and do not
    bypass row level security; `public`: everybody may read it; `widened`: a policy of others lets
    everybody read rows. `sequence`: what its ids come from, quoted, with its schema; None where nothing
    has to be granted for them, `strange` where it is not ours to grant. `opened`: policies of others let
    everybody write.
    """

    name: str
    kind: str
    owner: str
    columns: tuple[str, ...]
    mine: bool
    guarded: bool = False
    foreign: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    public: bool = False
    widened: bool = False
    sequence: str | None = None
    strange: bool = False
    opened: bool = False


_RELATIONS: Final = """
SELECT c.relname, c.relkind::text, r.rolname, pg_has_role(r.oid, 'USAGE'),
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       c.relrowsecurity, EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid
                                 AND p.polname = %(guard)s),
       ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = c.oid
             AND NOT starts_with(p.polname, 'vallum_') ORDER BY 1),
       ARRAY(SELECT DISTINCT g.rolname::text FROM aclexplode(c.relacl) x JOIN pg_roles g ON g.oid = x.grantee
             WHERE x.privilege_type = 'SELECT' AND x.grantee <> c.relowner AND NOT g.rolsuper
             AND NOT g.rolbypassrls
             AND shobj_description(g.oid, 'pg_authid') IS DISTINCT FROM %(mark)s ORDER BY 1),
       EXISTS (SELECT FROM aclexplode(c.relacl) x WHERE x.grantee = 0 AND x.privilege_type = 'SELECT')
    OR EXISTS (SELECT FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = c.oid
               AND x.grantee = 0 AND x.privilege_type = 'SELECT'),
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT starts_with(p.polname, 'vallum_')
               AND p.polpermissive AND p.polcmd IN ('r', '*') AND 0 = ANY (p.polroles)),
       ids.name, ids.strange,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT starts_with(p.polname, 'vallum_')
               AND p.polpermissive AND p.polcmd <> 'r' AND 0 = ANY (p.polroles))
FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
    LEFT JOIN LATERAL (
        SELECT format('%%I.%%I', s.relnamespace::regnamespace, s.relname) AS name,
               NOT pg_has_role(s.relowner, 'USAGE') AS strange
        FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid
                AND u.refclassid = 'pg_class'::regclass
            JOIN pg_class s ON s.oid = u.refobjid AND s.relkind = 'S'
        WHERE a.attrelid = c.oid AND a.attname = 'id' LIMIT 1) ids ON true
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
"""


def read_relations(connection: Connection, schema: str = "public") -> dict[str, Relation]:
    """The tables and views of a schema, with their columns and whether they are ours to guard."""
    rows = connection.execute(_RELATIONS, {"schema": schema, "mark": MADE_BY, "guard": GUARD}).fetchall()
    return {
        name: Relation(
            name,
            kind,
            owner,
            tuple(columns or ()),
            mine,
            guarded and not by_us,
            tuple(foreign),
            tuple(readers),
            public,
            widened,
            sequence,
            bool(strange),
            opened,
        )
        for (
            name,
            kind,
            owner,
            mine,
            columns,
            guarded,
            by_us,
            foreign,
            readers,
            public,
            widened,
            sequence,
            strange,
            opened,
        ) in rows
    }


def is_applied(connection: Connection) -> bool:
    """Whether a plan has been applied to the database."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{HELPERS}.applied",)).fetchone()
    return row is not None and bool(row[0])


def is_open(connection: Connection, schema: str) -> bool:
    """Whether everybody may make tables and functions in a schema, as before PostgreSQL 15."""
    row = connection.execute("SELECT has_schema_privilege('public', %s, 'CREATE')", (schema,)).fetchone()
    return row is not None and bool(row[0])


def check_rights(connection: Connection) -> None:
    """Raises RolesRefused where the connection may not make roles and schemas."""
    row = connection.execute(
        "SELECT rolname, rolsuper, rolsuper OR rolcreaterole,"
        " has_database_privilege(current_database(), 'CREATE'), current_database()"
        " FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None:
        raise RolesRefused("the role of the connection is gone")
    name, _, may_make_roles, may_make_schemas, database = row
    missing = []
    if not may_make_roles:
        missing.append("CREATE ROLE, GRANT and DROP ROLE need the attribute CREATEROLE")
    if not may_make_schemas:
        missing.append(f"CREATE SCHEMA needs the right CREATE on the database {database}")
    if missing:
        raise RolesRefused(
            f"{name} may not put the policy into the database: {'; '.join(missing)}",
            where=database,
            fix="connect as a superuser, or as the owner of the database and its tables with CREATEROLE",
        )


def taken_roles(connection: Connection, names: RoleNames) -> frozenset[str]:
    """Roles of others that bear names Vallum wants."""
    rows = connection.execute(
        "SELECT rolname::text FROM pg_roles WHERE rolname ~ %s"
        " AND shobj_description(oid, 'pg_authid') IS DISTINCT FROM %s",
        (pattern(names), MADE_BY),
    ).fetchall()
    return frozenset(name for (name,) in rows)


def check_roles(connection: Connection, names: Iterable[str]) -> list[str]:
    """Roles of these names left behind by a database of the same name that is gone.

    Raises: RolesRefused where a name is taken by a role that is not ours.
    """
    rows = connection.execute(
        "SELECT rolname::text, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ANY(%s)"
        " ORDER BY 1",
        (list(names),),
    ).fetchall()
    taken = [name for name, comment in rows if comment != MADE_BY]
    if taken:
        raise RolesRefused(
            f"there is a role {', '.join(taken[:5])} that Vallum did not make",
            fix="rename or drop it: Vallum needs the name",
        )
    return [name for name, _ in rows]
