"""Connections for the policy inside PostgreSQL: who may not is told what it takes, tables in use are retried.

Each is opened for one thing and closed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar

import psycopg

from vallum.enforce.roles import apply as core
from vallum.enforce.roles.found import RolesRefused, TablesInUse
from vallum.postgres import connect, redact

__all__ = ["LOCK_TIMEOUT", "again", "connection_to", "drop_roles", "schema_of"]

Connection: TypeAlias = psycopg.Connection[Any]
T = TypeVar("T")
LOCK_TIMEOUT: Final = 5.0
_ATTEMPTS: Final = 4
# Seconds.
_PAUSE: Final = 1.0


def drop_roles(dsn: str, *, lock_timeout: float = LOCK_TIMEOUT) -> int:
    """Undo what was applied to a database, whose application need not be there any more.

    Raises: ConnectionFailed, RolesRefused, TablesInUse. Nothing is changed then.
    """
    with connection_to(dsn, readonly=False) as connection:
        schema = schema_of(connection, ())
        return again(connection, lambda: core.drop(connection, schema, lock_timeout=lock_timeout))


def schema_of(connection: Connection, tables: Iterable[str]) -> str:
    """Where the connection finds the application's tables."""
    row = connection.execute(
        "SELECT s.nspname::text FROM unnest(%s::text[]) WITH ORDINALITY t(name, n)"
        " JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.name))"
        " JOIN pg_namespace s ON s.oid = c.relnamespace ORDER BY t.n LIMIT 1",
        (list(tables),),
    ).fetchone()
    if row is None:
        row = connection.execute("SELECT current_schema()").fetchone()
    return str(row[0]) if row and row[0] else "public"


def again(connection: Connection, work: Callable[[], T]) -> T:
    """Do it; where others are using a table, some times over, each with a pause in which they get on."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return work()
        except TablesInUse:
            connection.execute("SELECT pg_sleep(%s)", (_PAUSE,))
    return work()


@contextmanager
def connection_to(dsn: str, *, readonly: bool = True) -> Iterator[Connection]:
    """A connection whose lack of rights is said in our words. Raises: ConnectionFailed, RolesRefused."""
    with connect(dsn, readonly=readonly, autocommit=True) as connection:
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise RolesRefused(
                f"PostgreSQL refuses: {error.diag.message_primary}; nothing was changed",
                where=redact(dsn),
                fix="connect as the owner of the tables with CREATEROLE, or as a superuser",
            ) from error
