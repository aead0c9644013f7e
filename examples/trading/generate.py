"""Fill a database with the company: tables, rows by COPY, then indexes and foreign keys.

One transaction: either everything is there or nothing. The same seed and number of
rows give the same rows. Memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
from lxml import etree
from psycopg import sql
from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable, ExecutableDDLElement

from .models import Base
from .rows import Stream, streams
from .world import MINIMUM_ROWS, World

__all__ = ["Progress", "generate", "read_groups"]

_GROUPS: Final = Path(__file__).parent / "security" / "groups.xml"
_BATCH: Final = 2_000
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


class Progress(Protocol):
    """Whoever shows how far the work is."""

    def start(self, total: int, label: str) -> None:
        """A phase of `total` steps begins."""

    def advance(self, n: int) -> None:
        """`n` more steps are done."""

    def done(self) -> None:
        """The phase is over."""


class _Silent:
    def start(self, total: int, label: str) -> None:
        pass

    def advance(self, n: int) -> None:
        pass

    def done(self) -> None:
        pass


def generate(dsn: str, rows: int = 10_000, seed: int = 7, progress: Progress | None = None) -> dict[str, int]:
    """Create the tables in an empty database and fill them; the number of rows per table.

    `rows` counts the records of all models; relation tables come on top of it.
    Raises: ValueError (too few rows, or the tables are there already), psycopg.Error.
    """
    if rows < MINIMUM_ROWS:
        raise ValueError(f"the company has at least {MINIMUM_ROWS} rows, not {rows}")
    report = progress or _Silent()
    plan = streams(World(rows, seed), read_groups())
    with psycopg.connect(dsn) as connection:
        _create_tables(connection)
        report.start(sum(stream.count for stream in plan), "rows")
        counts = {stream.table: _copy(connection, stream, report.advance) for stream in plan}
        report.done()
        steps = _finishing_steps(plan)
        report.start(len(steps), "indexes and foreign keys")
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        for step in steps:
            connection.execute(step)
            report.advance(1)
        report.done()
    return counts


def read_groups() -> tuple[tuple[str, str], ...]:
    """Xml id and name of every group in `security/groups.xml`, in the order of the file."""
    records = etree.parse(_GROUPS).iterfind(".//record[@model='res.groups']")
    found = []
    for record in records:
        id_, name = record.get("id", ""), record.findtext("field[@name='name']", "")
        found.append((id_ if "." in id_ else f"trading.{id_}", name))
    return tuple(found)


def _create_tables(connection: psycopg.Connection[Any]) -> None:
    names = list(Base.metadata.tables)
    there = connection.execute(
        "SELECT name FROM unnest(%s::text[]) name WHERE to_regclass(name) IS NOT NULL", (names,)
    )
    if found := there.fetchone():
        raise ValueError(f"the table {found[0]} is there already: give an empty database")
    for table in Base.metadata.tables.values():
        connection.execute(_ddl(CreateTable(table, include_foreign_key_constraints=[])))


def _copy(connection: psycopg.Connection[Any], stream: Stream, advance: Callable[[int], None]) -> int:
    """Rows that were copied. FREEZE: the table is new in this transaction, so its rows are final at once."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FREEZE)").format(
        sql.Identifier(stream.table), sql.SQL(", ").join(map(sql.Identifier, stream.columns))
    )
    lines, copied = stream.lines(), 0
    with connection.cursor().copy(statement) as copy:
        while batch := list(islice(lines, _BATCH)):
            copy.write("".join(batch))
            copied += len(batch)
            advance(len(batch))
    return copied


def _finishing_steps(plan: tuple[Stream, ...]) -> list[sql.SQL | sql.Composed]:
    """What is quicker once the rows are there: indexes, foreign keys, sequences, statistics."""
    tables = Base.metadata.tables.values()
    steps: list[sql.SQL | sql.Composed] = [
        _ddl(CreateIndex(index))
        for table in tables
        for index in sorted(table.indexes, key=lambda i: str(i.name))
    ]
    for table in tables:
        keys = (c for c in table.constraints if isinstance(c, ForeignKeyConstraint))
        for key in sorted(keys, key=lambda k: str(k.name)):
            steps.append(_ddl(AddConstraint(key, isolate_from_table=False)))
    for stream in plan:
        if "id" in stream.columns:
            setval = sql.SQL("SELECT setval({}, {})")
            steps.append(setval.format(sql.Literal(f"{stream.table}_id_seq"), sql.Literal(stream.count)))
    return [*steps, sql.SQL("ANALYZE")]


def _ddl(element: ExecutableDDLElement) -> sql.SQL:
    """A statement of SQLAlchemy for psycopg: its text comes from the models alone."""
    return sql.SQL(str(element.compile(dialect=_DIALECT)))
