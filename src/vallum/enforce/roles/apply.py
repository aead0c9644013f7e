"""Bring a database to a plan: what is new is made, what has changed is made anew, the rest is undone.

One transaction: either the whole plan holds afterwards, or nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from vallum.enforce.roles.base import BASE, DROP_BASE
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.plan import Item, Plan, Relation
from vallum.kernel import NO_PROGRESS, Progress

__all__ = ["Changes", "apply", "changes", "drop", "read_relations"]

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """What stands between a database and a plan, in the order it is carried out."""

    undo: tuple[tuple[str, str, str], ...]
    make: tuple[Item, ...]
    base: bool

    @property
    def is_empty(self) -> bool:
        """Whether the database is as planned."""
        return not (self.undo or self.make or self.base)

    def statements(self) -> list[str]:
        """The exact SQL."""
        return [*([BASE] if self.base else []), *(u for _, _, u in self.undo), *(i.make for i in self.make)]


def read_relations(connection: Connection, schema: str = "public") -> dict[str, Relation]:
    """The tables and views of a schema, with their columns and whether they are ours to guard."""
    rows = connection.execute(
        "SELECT c.relname, c.relkind::text, r.rolname, pg_has_role(r.oid, 'USAGE'),"
        " array_agg(a.attname::text ORDER BY a.attnum)"
        " FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r','p','v','m')"
        " AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1, 2, 3, 4",
        (schema,),
    ).fetchall()
    return {n: Relation(n, kind, owner, tuple(columns), mine) for n, kind, owner, mine, columns in rows}


def changes(connection: Connection, plan: Plan) -> Changes:
    """What has to be done for a plan."""
    there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{HELPERS}.applied",)).fetchone()
    if not there or not there[0]:
        return Changes((), plan.items, base=True)
    rows = connection.execute(
        f"SELECT kind, name, digest, undo FROM {HELPERS}.applied ORDER BY position DESC"  # noqa: S608
    ).fetchall()
    applied = {(kind, name): digest for kind, name, digest, _ in rows}
    wanted = {(i.kind, i.name): i.digest for i in plan.items}
    stale = [(k, n, undo) for k, n, digest, undo in rows if wanted.get((k, n)) != digest]
    return Changes(
        tuple(stale), tuple(i for i in plan.items if applied.get((i.kind, i.name)) != i.digest), False
    )


def apply(connection: Connection, plan: Plan, *, progress: Progress = NO_PROGRESS) -> Changes:
    """Carry out a plan in one transaction and say what was done."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('vallum.roles'))")
        todo = changes(connection, plan)
        if todo.base:
            connection.execute(BASE)
        progress.start(len(todo.undo) + len(todo.make), "policies and roles")
        for kind, name, undo in todo.undo:
            connection.execute(undo)
            connection.execute(
                f"DELETE FROM {HELPERS}.applied WHERE kind = %s AND name = %s",  # noqa: S608
                (kind, name),
            )
            progress.advance()
        position = {(i.kind, i.name): n for n, i in enumerate(plan.items)}
        for item in todo.make:
            connection.execute(item.make)
            _remember(connection, item, position)
            progress.advance()
        progress.done()
    return todo


def _remember(connection: Connection, item: Item, position: Mapping[tuple[str, str], int]) -> None:
    connection.execute(
        f"INSERT INTO {HELPERS}.applied VALUES (%s, %s, %s, %s, %s)",  # noqa: S608
        (position[item.kind, item.name], item.kind, item.name, item.digest, item.undo),
    )


def drop(connection: Connection) -> int:
    """Undo everything that was applied and say how much it was."""
    with connection.transaction():
        there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{HELPERS}.applied",)).fetchone()
        if not there or not there[0]:
            return 0
        rows: Sequence[tuple[Any, ...]] = connection.execute(
            f"SELECT undo FROM {HELPERS}.applied ORDER BY position DESC"  # noqa: S608
        ).fetchall()
        _each(connection, (undo for (undo,) in rows))
        connection.execute(DROP_BASE)
    return len(rows)


def _each(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement)
