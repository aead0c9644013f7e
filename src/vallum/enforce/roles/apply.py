"""Bring a database to a plan: what is new is made, what has changed is made anew, the rest is undone.

One transaction: either the whole plan holds afterwards, or nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import psycopg

from vallum.enforce.roles.base import BASE, DROP_BASE, FORGET_PLANS
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.found import (
    Relation,
    RolesRefused,
    TablesInUse,
    check_rights,
    check_roles,
    is_applied,
    read_relations,
)
from vallum.enforce.roles.items import Item, undo_role
from vallum.enforce.roles.leftovers import sweep, undo_all
from vallum.enforce.roles.names import RoleNames
from vallum.enforce.roles.plan import Plan
from vallum.kernel import NO_PROGRESS, Progress

__all__ = ["Changes", "Relation", "apply", "changes", "drop", "read_relations", "wait_for_locks"]

Connection = psycopg.Connection[Any]
T = TypeVar("T")
# Statements that go to the server together.
_TOGETHER: Final = 200
_REFUSALS: Final = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.DependentObjectsStillExist,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateSchema,
)
# What decides for whom a kept plan was made.
_MEMBERSHIPS: Final = frozenset({"user", "membership", "values"})


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
        return [
            *([BASE] if self.base else []),
            *(u for _, _, u in self.undo if u),
            *(i.make for i in self.make),
            *([FORGET_PLANS] if self._moves_users else []),
        ]

    @property
    def _moves_users(self) -> bool:
        kinds = {kind for kind, _, _ in self.undo} | {i.kind for i in self.make}
        return not self.base and bool(kinds & _MEMBERSHIPS)


def changes(connection: Connection, plan: Plan) -> Changes:
    """What has to be done for a plan."""
    if not is_applied(connection):
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


def apply(
    connection: Connection,
    plan: Plan,
    *,
    lock_timeout: float | None = None,
    progress: Progress = NO_PROGRESS,
) -> Changes:
    """Carry out a plan in one transaction and say what was done.

    `lock_timeout`: seconds to wait for a table that others are using.

    Raises: RolesRefused where the database does not let it, TablesInUse; nothing is changed then.
    """
    with connection.transaction():
        wait_for_locks(connection, lock_timeout)
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('vallum.roles'))")
        todo = changes(connection, plan)
        if todo.is_empty:
            return todo
        check_rights(connection)
        if todo.base:
            sweep(connection, plan.names, plan.schema)
        gone = {name for kind, name, _ in todo.undo if kind in ("role", "user")}
        made = {i.name for i in todo.make if i.kind in ("role", "user")}
        left = check_roles(connection, made - gone)
        progress.start(len(todo.undo) + len(todo.make), "policies and roles")
        _carry_out(connection, [undo_role(name) for name in left], "a role left behind")
        if todo.base:
            _carry_out(connection, [BASE], "the schema of helpers")
        _undo(connection, todo.undo, progress)
        _make(connection, plan, todo.make, progress)
        if todo._moves_users:
            connection.execute(FORGET_PLANS)
        progress.done()
    return todo


def _undo(connection: Connection, stale: Sequence[tuple[str, str, str]], progress: Progress) -> None:
    for some in _together(stale):
        what = f"undoing {some[0][0]} {some[0][1]} …"
        undo_all(connection, [undo for _, _, undo in some], partial(_carry_out, connection, what=what))
        connection.cursor().executemany(
            f"DELETE FROM {HELPERS}.applied WHERE kind = %s AND name = %s",  # noqa: S608
            [(kind, name) for kind, name, _ in some],
        )
        progress.advance(len(some))


def _make(connection: Connection, plan: Plan, items: Sequence[Item], progress: Progress) -> None:
    position = {(i.kind, i.name): n for n, i in enumerate(plan.items)}
    for some in _together(items):
        _carry_out(connection, [item.make for item in some], f"{some[0].kind} {some[0].name} …")
        connection.cursor().executemany(
            f"INSERT INTO {HELPERS}.applied VALUES (%s, %s, %s, %s, %s)",  # noqa: S608
            [(position[i.kind, i.name], i.kind, i.name, i.digest, i.undo) for i in some],
        )
        progress.advance(len(some))


def _carry_out(connection: Connection, statements: Sequence[str], what: str) -> None:
    """Statements in one go. Raises RolesRefused with the server's own words."""
    if not statements:
        return
    try:
        with connection.transaction():
            connection.execute(";\n".join(statements))
    except psycopg.errors.LockNotAvailable as error:
        raise TablesInUse(
            f"others are using a table for longer than Vallum waits: {what}; nothing was changed",
            where=error.diag.context or None,
            fix="try again when they are done, or wait longer: --lock-timeout SECONDS",
        ) from error
    except _REFUSALS as error:
        raise _refused(connection, statements, error, what) from error


def _refused(
    connection: Connection, statements: Sequence[str], error: psycopg.Error, what: str
) -> RolesRefused:
    """What went wrong, and in which statement: they are tried one by one."""
    culprit = statements[0]
    try:
        with connection.transaction(force_rollback=True):
            for culprit in statements:
                connection.execute(culprit)
    except psycopg.Error as again:
        error = again
    denied = isinstance(error, psycopg.errors.InsufficientPrivilege)
    return RolesRefused(
        f"{error.diag.message_primary or error}: `{culprit[:200]}`; nothing was changed",
        where=what,
        fix="connect as a superuser, or as the owner of the database and its tables with CREATEROLE"
        if denied
        else error.diag.message_detail or "rename or drop what is in the way",
    )


def _together(things: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(things), _TOGETHER):
        yield things[start : start + _TOGETHER]


def wait_for_locks(connection: Connection, seconds: float | None) -> None:
    """How long this transaction waits for each table that others are using; None: as the server says."""
    if seconds is not None:
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{round(seconds * 1000)}ms",))


def drop(connection: Connection, schema: str = "public", *, lock_timeout: float | None = None) -> int:
    """Undo everything that was applied and say how much it was; what others have dropped of it is gone.

    Raises: RolesRefused, TablesInUse. Nothing is changed then.
    """
    names = RoleNames.of(connection.info.dbname)
    with connection.transaction():
        wait_for_locks(connection, lock_timeout)
        if not is_applied(connection):
            return sweep(connection, names, schema)
        rows = connection.execute(
            f"SELECT undo FROM {HELPERS}.applied ORDER BY position DESC"  # noqa: S608
        ).fetchall()
        for some in _together(rows):
            statements = [undo for (undo,) in some]
            undo_all(connection, statements, partial(_carry_out, connection, what="undoing"))
        _carry_out(connection, [DROP_BASE], "the schema of helpers")
    return len(rows)
