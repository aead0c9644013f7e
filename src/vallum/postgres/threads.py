"""One database for a server's threads: each has a connection of its own, and none waits for another.

The same face as `Database`. A server has a fixed number of threads, so it has a fixed number of
connections; a pool would lend and take back what every thread keeps anyway. The connection of a thread that
has ended is closed when another is made.
Invariant: a statement, and a transaction, runs on the connection of the thread that asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import _GeneratorContextManager
from threading import Lock, Thread, current_thread, local
from typing import Generic, TypeVar

from vallum.postgres.connection import Connection, Database, Params, Row, Statement

__all__ = ["OnePerThread", "ThreadDatabase"]

D = TypeVar("D", bound=Database)


class OnePerThread(Generic[D]):
    """A database for each thread that asks; of a thread that has ended, closed when another is made."""

    def __init__(self, make: Callable[[], D]) -> None:
        self._make = make
        self._own = local()
        self._made: list[tuple[Thread, D]] = []
        self._making = Lock()

    def mine(self) -> D:
        """This thread's."""
        mine: D | None = getattr(self._own, "database", None)
        if mine is None:
            mine = self._own.database = self._make()
            with self._making:
                for thread, left in self._made:
                    if not thread.is_alive():
                        left.close()
                self._made = [made for made in self._made if made[0].is_alive()]
                self._made.append((current_thread(), mine))
        return mine

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._making:
            return sum(database.connected for _, database in self._made)

    def close(self) -> None:
        """Close the connections of all threads; none may be in use."""
        with self._making:
            for _, database in self._made:
                database.close()


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
        self._databases = OnePerThread(
            lambda: Database(
                dsn,
                readonly=readonly,
                statement_timeout=statement_timeout,
                application_name=application_name,
            )
        )
        self._mine = self._databases.mine

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._databases.connections

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
        self._databases.close()
