"""What PostgreSQL itself holds of the policy, and whether somebody has changed it since it was applied.

After each apply the definitions are written down as PostgreSQL gives them; later ones are held
against those. Nothing is ever written down as right that was found changed: whoever applies
repairs first. What was there before Vallum is known as foreign, and stays named as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import psycopg

from vallum.enforce.roles.base import SHOWN
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.names import RoleNames, pattern
from vallum.enforce.roles.tables import SIGNED, VIEWS

__all__ = [
    "Drift",
    "Entries",
    "drift",
    "foreign_entries",
    "has_table",
    "is_applied",
    "read_entries",
    "remember",
]

Connection: TypeAlias = psycopg.Connection[Any]
Entries: TypeAlias = Mapping[tuple[str, str], str]
Change: TypeAlias = Literal["missing", "changed", "added", "foreign"]

# Of these, others may have had some before Vallum came; all other kinds are Vallum's alone.
_SHARED: Final = frozenset({"policy", "grant"})

_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {HELPERS}.catalogue (
    kind text, name text, definition text NOT NULL, is_foreign boolean NOT NULL, PRIMARY KEY (kind, name))
"""

# `%(ours)s`: a regular expression for the names of our roles. Who is in one of our roles without being
# ours, such as a pooler, is not asked about: that membership is its owner's to give.
_ENTRIES: Final = """
WITH ours AS (SELECT oid, rolname::text FROM pg_roles WHERE rolname ~ %(ours)s),
    schemas AS (SELECT oid, nspname::text, nspacl FROM pg_namespace WHERE nspname = ANY (%(schemas)s)),
    relations AS (SELECT c.*, s.nspname FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        -- Others of Vallum's have their own tables in the schema that is shown.
        AND (s.nspname <> %(shown)s OR c.relname = 'login_roles')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
            AND d.objid = c.oid AND d.deptype = 'e')),
    grantees AS (SELECT oid, rolname FROM ours UNION ALL SELECT 0, 'PUBLIC'),
    privileges AS (
        SELECT r.oid, g.rolname, a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END AS said
        FROM relations r, aclexplode(r.relacl) a JOIN grantees g ON g.oid = a.grantee
        UNION ALL
        SELECT r.oid, g.rolname, a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END
            || ' ' || t.attname
        FROM relations r JOIN pg_attribute t ON t.attrelid = r.oid AND NOT t.attisdropped,
            aclexplode(t.attacl) a JOIN grantees g ON g.oid = a.grantee)
SELECT 'row security', relname::text, concat_ws(', ', 'on', CASE WHEN relforcerowsecurity THEN 'forced' END)
    FROM relations WHERE relrowsecurity
UNION ALL
SELECT 'policy', r.relname || ': ' || p.polname, concat_ws(' ',
        CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, 'for', p.polcmd, 'to',
        (SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(o) END, ', ' ORDER BY 1)
            FROM unnest(p.polroles) o),
        'using ' || pg_get_expr(p.polqual, p.polrelid),
        'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
UNION ALL
SELECT 'trigger', r.relname || ': ' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE starts_with(t.tgname, 'vallum_')
UNION ALL
SELECT 'helper', f.oid::regprocedure::text,
        concat_ws(' ', pg_get_userbyid(f.proowner), f.proacl::text, pg_get_functiondef(f.oid))
    FROM pg_proc f JOIN schemas s ON s.oid = f.pronamespace
    WHERE s.nspname = %(helpers)s
UNION ALL
SELECT 'view', nspname || '.' || relname,
        concat_ws(' ', pg_get_userbyid(relowner), reloptions::text, pg_get_viewdef(oid))
    FROM relations WHERE relkind = 'v' AND nspname = ANY (%(own)s)
UNION ALL
SELECT 'grant', r.nspname || '.' || r.relname || ' to ' || p.rolname, string_agg(p.said, ', ' ORDER BY p.said)
    FROM privileges p JOIN relations r USING (oid) GROUP BY r.nspname, r.relname, p.rolname
UNION ALL
SELECT 'schema', s.nspname || ' to ' || g.rolname,
        string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
    FROM schemas s, aclexplode(s.nspacl) a JOIN grantees g ON g.oid = a.grantee
    GROUP BY s.nspname, g.rolname
UNION ALL
SELECT 'role', r.rolname::text, concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolinherit THEN 'INHERIT' END, array_to_string(rolconfig, ', '))
    FROM pg_roles r JOIN ours USING (oid)
UNION ALL
SELECT 'membership', o.rolname, string_agg(
        pg_get_userbyid(m.roleid) || CASE WHEN m.admin_option THEN '*' ELSE '' END
        || CASE WHEN (to_jsonb(m) ->> 'inherit_option') = 'false' THEN ' not inherited' ELSE '' END, ', '
        ORDER BY pg_get_userbyid(m.roleid)::text)
    FROM pg_auth_members m JOIN ours o ON o.oid = m.member GROUP BY o.rolname
"""

_VALUES: Final = f"""
SELECT 'values', u.role_name::text, concat_ws(' ', u.user_id,
    md5((SELECT string_agg(m.group_id::text, ',' ORDER BY m.group_id) FROM {HELPERS}.members m
        WHERE m.role_name = u.role_name)),
    md5((SELECT string_agg(c.company_id::text, ',' ORDER BY c.company_id) FROM {HELPERS}.companies c
        WHERE c.role_name = u.role_name)),
    md5((SELECT string_agg(b::text, ',' ORDER BY b.place) FROM {HELPERS}.bindings b
        WHERE b.role_name = u.role_name)))
FROM {HELPERS}.users u
"""  # noqa: S608 - names of our own


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that is not as Vallum left it: `was` and `found` are definitions, None where there is none.

    `foreign`: not made by Vallum and there before it; PostgreSQL counts it nevertheless.
    """

    kind: str
    name: str
    change: Change
    was: str | None
    found: str | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.change}"

    def as_dict(self) -> dict[str, str | None]:
        """Ready for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change,
            "was": self.was,
            "found": self.found,
        }


def has_table(connection: Connection, name: str) -> bool:
    """Whether the helpers' schema has that table."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{HELPERS}.{name}",)).fetchone()
    return bool(row and row[0])


def is_applied(connection: Connection) -> bool:
    """Whether Vallum has applied anything here."""
    return has_table(connection, "applied")


def read_entries(
    connection: Connection, names: RoleNames, schema: str = "public"
) -> dict[tuple[str, str], str]:
    """The definitions as they are now, by kind and name."""
    own = [SHOWN, HELPERS, VIEWS, SIGNED]
    with connection.transaction():
        # PostgreSQL names what is on the search path without its schema.
        connection.execute("SET LOCAL search_path = pg_catalog")
        rows = connection.execute(
            _ENTRIES,
            {
                "ours": pattern(names),
                "schemas": [schema, *own],
                "own": own,
                "shown": SHOWN,
                "helpers": HELPERS,
            },
        ).fetchall()
        if is_applied(connection):
            rows += connection.execute(_VALUES).fetchall()
        connection.execute("SET LOCAL search_path = DEFAULT")
    return {(kind, name): definition for kind, name, definition in rows}


def remember(connection: Connection, entries: Entries, foreign: Iterable[tuple[str, str]] = ()) -> None:
    """Write these definitions down as right. `foreign`: what was there before Vallum."""
    known = set(foreign)
    with connection.transaction():
        connection.execute(_TABLE)
        connection.execute(f"TRUNCATE {HELPERS}.catalogue")
        with connection.cursor().copy(f"COPY {HELPERS}.catalogue FROM STDIN") as copy:
            for (kind, name), definition in entries.items():
                is_foreign = kind in _SHARED and (kind, name) in known
                copy.write_row((kind, name, definition, is_foreign))


def foreign_entries(connection: Connection, names: RoleNames, schema: str = "public") -> set[tuple[str, str]]:
    """What others have made: all there is before anything is applied, what was known as such afterwards."""
    if not is_applied(connection):
        return {key for key in read_entries(connection, names, schema) if key[0] in _SHARED}
    return {key for key, (_, is_foreign) in _remembered(connection).items() if is_foreign}


def drift(connection: Connection, names: RoleNames, schema: str = "public") -> tuple[Drift, ...]:
    """What has changed since the last apply, by kind and name; nothing where nothing is applied."""
    if not is_applied(connection):
        return ()
    found = read_entries(connection, names, schema)
    return tuple(sorted(_differences(_remembered(connection), found), key=lambda d: (d.kind, d.name)))


def _remembered(connection: Connection) -> dict[tuple[str, str], tuple[str, bool]]:
    if not has_table(connection, "catalogue"):
        return {}
    rows = connection.execute(
        f"SELECT kind, name, definition, is_foreign FROM {HELPERS}.catalogue"  # noqa: S608
    ).fetchall()
    return {(kind, name): (definition, is_foreign) for kind, name, definition, is_foreign in rows}


def _differences(remembered: Mapping[tuple[str, str], tuple[str, bool]], found: Entries) -> Iterator[Drift]:
    for key, (was, is_foreign) in remembered.items():
        now = found.get(key)
        if is_foreign:
            if now is not None:
                yield Drift(*key, "foreign", None, now)
        elif now is None:
            yield Drift(*key, "missing", was, None)
        elif now != was:
            yield Drift(*key, "changed", was, now)
    for key, now in found.items():
        if key not in remembered:
            yield Drift(*key, "added", None, now)
