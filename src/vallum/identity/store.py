"""Where accounts live: what the rest of this package needs of a database.

`vallum.postgres.Database` and its pool are such stores. Instants are given by the caller, from a `Clock`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import psycopg

__all__ = ["Connection", "Row", "Store", "one"]

Connection = psycopg.Connection[tuple[Any, ...]]
Row = tuple[Any, ...]


class Store(Protocol):
    """A database of Vallum's own tables (area `identity`), writable, safe to be shared by threads."""

    def rows(self, statement: str, params: Any = None) -> list[Row]:
        """All rows of one statement, committed at once."""
        ...

    def transaction(self) -> AbstractContextManager[Connection]:
        """One transaction: committed at the end, rolled back by an exception."""
        ...


def one(connection: Connection, statement: str, params: Any = None) -> Row | None:
    """The first row of a statement, if it has one."""
    return connection.execute(statement.encode(), params).fetchone()
