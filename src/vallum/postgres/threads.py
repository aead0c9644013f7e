"""One database for a server's threads: each has a connection of its own, and none waits for another.

The same face as `Database`. A server has a fixed number of threads, so it has a fixed number of
connections; a pool would lend and take back what every thread keeps anyway.
Invariant: a statement, and a transaction, runs on the connection of the thread that asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import _GeneratorContextManager
from threading import Lock, local

from vallum.postgres.connection import Connection, Database, Params, Row, Statement

__all__ = ["ThreadDatabase"]


class ThreadDatabase(Database):
    """A `Database` that gives each thread a connection."""

    def __init__(
        self,
        dsn: str,
        *,
        readonly: bool = True,
        statement_timeout: float | None = None,
        application_name: str = "vallum",
    ) -> None:
        super().__init__(
            dsn, readonly=readonly, statement_timeout=statement_timeout, application_name=application_name
        )
        self._own = local()
        self._made: list[Database] = []
        self._making = Lock()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._making:
            return sum(database.connected for database in self._made)

    @property
    def server_version(self) -> int:
        """PostgreSQL's version as a number.

        Raises: ConnectionFailed.
        """
        return self._mine().server_version

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is within a transaction of its own making."""
        return self._mine().in_transaction

    def rows(self, statement: Statement, params: Params = None, *, reads: bool = False) -> list[Row]:
        """As `Database.rows`, on the connection of this thread."""
        return self._mine().rows(statement, params, reads=reads)

    def stream(self, statement: Statement, params: Params = None, *, batch: int = 2000) -> Iterator[Row]:
        """As `Database.stream`."""
        return self._mine().stream(statement, params, batch=batch)

    def limited(self, seconds: float) -> _GeneratorContextManager[None]:
        """As `Database.limited`."""
        return self._mine().limited(seconds)

    def check_time(self) -> None:
        """As `Database.check_time`."""
        self._mine().check_time()

    def transaction(self) -> _GeneratorContextManager[Connection]:
        """As `Database.transaction`, of this thread: others do not wait."""
        return self._mine().transaction()

    def at_end(self, action: Callable[[], None]) -> None:
        """As `Database.at_end`, of this thread's transaction."""
        self._mine().at_end(action)

    def snapshot(self) -> _GeneratorContextManager[Connection]:
        """As `Database.snapshot`, of this thread."""
        return self._mine().snapshot()

    def close(self) -> None:
        """Close the connections of all threads; none may be in use."""
        with self._making:
            for database in self._made:
                database.close()

    def _mine(self) -> Database:
        mine: Database | None = getattr(self._own, "database", None)
        if mine is None:
            mine = Database(
                self.dsn,
                readonly=self.readonly,
                statement_timeout=self._statement_timeout,
                application_name=self._application_name,
            )
            self._own.database = mine
            with self._making:
                self._made.append(mine)
        return mine
