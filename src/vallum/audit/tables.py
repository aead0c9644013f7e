"""What the PostgreSQL catalogue says about a table that is to be audited.

Reads only. Names are split and quoted here, and nowhere else; all of them come from the catalogue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from vallum.audit.errors import AuditRefused

__all__ = ["Column", "Table", "are_watched", "find_table", "ident", "literal", "read_tables"]

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `type` is the base type's name, `written` as PostgreSQL writes it; `number` its place."""

    name: str
    type: str
    written: str
    enum: bool
    array: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `key`: the primary key, else a unique index without nulls, else nothing.

    `truncatable`: the tables that hold its rows, itself or its partitions. `children`: tables that inherit.
    `watched`: an event trigger sees alterations as they are made.
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    truncatable: tuple[str, ...]
    children: tuple[str, ...]
    mine: bool
    rows: int
    watched: bool

    @property
    def relation(self) -> str:
        """Its name as events give it."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """Its name in SQL."""
        return f"{ident(self.schema)}.{ident(self.name)}"

    @property
    def signature(self) -> str:
        """A digest of everything that capturing depends on."""
        columns = [(c.name, c.written) for c in self.columns]
        parts = [self.relation, self.key, columns, self.truncatable, self.watched]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def ident(name: str) -> str:
    """A name as an identifier of SQL.

    >>> ident('odd"name')
    '"odd""name"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a literal of SQL, whatever `standard_conforming_strings` says.

    >>> literal("it's")
    "'it''s'"
    """
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return f"E{quoted}" if "\\" in text else quoted


_WATCHED: Final = (
    b"SELECT EXISTS (SELECT FROM pg_event_trigger"
    b" WHERE evtname = 'vallum_audit_altered' AND evtenabled = 'A')"
)


def are_watched(connection: Connection) -> bool:
    """Whether the event trigger that sees alterations is there, and on."""
    return connection.execute(_WATCHED).fetchone() == (True,)


_TABLES: Final = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text, pg_has_role(c.relowner, 'USAGE'),
       greatest(c.reltuples, 0)::bigint,
       coalesce((SELECT array_agg(k.attname::text ORDER BY u.place)
                 FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS u(attnum, place)
                 JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = u.attnum
                 WHERE i.indexrelid = (
                     SELECT x.indexrelid FROM pg_index x
                     WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL
                       AND x.indexprs IS NULL AND NOT EXISTS (
                           SELECT FROM unnest(x.indkey) AS a(attnum)
                           JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = a.attnum
                           WHERE NOT t.attnotnull OR t.attgenerated <> '')
                     ORDER BY x.indisprimary DESC, x.indexrelid LIMIT 1)
                   AND u.place <= i.indnkeyatts), '{}') AS key,
       CASE WHEN c.relkind = 'p' THEN ARRAY(
           SELECT quote_ident(pn.nspname) || '.' || quote_ident(pc.relname)
           FROM pg_partition_tree(c.oid) t JOIN pg_class pc ON pc.oid = t.relid
           JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE t.isleaf ORDER BY 1)
       ELSE ARRAY[quote_ident(n.nspname) || '.' || quote_ident(c.relname)] END AS truncatable,
       CASE WHEN c.relkind = 'r' THEN ARRAY(
           SELECT hn.nspname || '.' || h.relname FROM pg_inherits x JOIN pg_class h ON h.oid = x.inhrelid
           JOIN pg_namespace hn ON hn.oid = h.relnamespace WHERE x.inhparent = c.oid ORDER BY 1)
       ELSE '{}' END AS children
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
  AND n.nspname NOT IN ('vallum', 'vallum_private', 'pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_' AND (%(names)s::text[] IS NULL OR n.nspname || '.' || c.relname = ANY (%(names)s))
ORDER BY n.nspname, c.relname
"""

# Generated columns follow from the others.
_COLUMNS: Final = """
SELECT a.attrelid, a.attname, b.typname, format_type(a.atttypid, a.atttypmod), b.typtype = 'e',
       b.typcategory = 'A'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN
    (WITH RECURSIVE base AS (SELECT t.oid, t.typtype, t.typbasetype UNION ALL
        SELECT y.oid, y.typtype, y.typbasetype FROM base JOIN pg_type y ON y.oid = base.typbasetype
        WHERE base.typtype = 'd') SELECT oid FROM base WHERE typtype <> 'd') ELSE t.oid END
WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attrelid, a.attnum
"""


def read_tables(connection: Connection, relations: Iterable[str] | None = None) -> dict[str, Table]:
    """The tables of these names (`schema.table`), or all that can be audited, by name."""
    names = None if relations is None else list(relations)
    rows = connection.execute(_TABLES.encode(), {"names": names}).fetchall()
    watched = are_watched(connection)
    columns: dict[int, list[Column]] = {row[0]: [] for row in rows}
    for oid, *column in connection.execute(_COLUMNS.encode(), (list(columns),)):
        columns[oid].append(Column(*column))
    made = (
        Table(
            oid,
            schema,
            name,
            kind,
            tuple(columns[oid]),
            tuple(key),
            tuple(leaves),
            tuple(heirs),
            mine,
            rows_,
            watched,
        )
        for oid, schema, name, kind, mine, rows_, key, leaves, heirs in rows
    )
    return {table.relation: table for table in made}


def find_table(connection: Connection, name: str) -> Table:
    """The table a person means: `schema.table`, or one on the search path.

    Raises: AuditRefused.
    """
    found = read_tables(connection, [name] if "." in name else None)
    if name in found:
        return found[name]
    path = connection.execute("SELECT unnest(current_schemas(false))").fetchall()
    for (schema,) in path:
        if f"{schema}.{name}" in found:
            return found[f"{schema}.{name}"]
    raise AuditRefused(
        f"there is no table `{name}` that could be audited",
        fix="name a table, not a view or a partition, as `schema.table`",
    )
