"""Say who writes, by the application's stamps: once a transaction, and anew where a savepoint undid it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from vallum.enforce.session.criteria import Criteria

if TYPE_CHECKING:
    from vallum.enforce.session.connection import GuardedConnection

__all__ = ["Stamping"]

_PSYCOPG: Final = (psycopg.Connection, psycopg.AsyncConnection)


class Stamping:
    """Where one session has said who writes: in transactions, and in savepoints that may be rolled back."""

    def __init__(self, criteria: Criteria) -> None:
        self._criteria = criteria
        self._said: list[object] = []
        # The transaction or savepoint that is written in.
        self.level: Callable[[], Any] = lambda: None

    def ended(self) -> None:
        """The transaction is over, and what was said with it."""
        self._said.clear()

    def say(self, connection: GuardedConnection) -> None:
        """Say who writes, unless that was said where it still holds."""
        stamps = self._criteria.application.stamps
        raw: Any = connection.connection.driver_connection
        if not stamps or not isinstance(raw, _PSYCOPG) or raw.autocommit:
            return
        level = outer = self.level()
        while outer is not None:
            if any(outer is known for known in self._said):
                return
            outer = outer.parent
        if raw.info.transaction_status == TransactionStatus.IDLE:
            # Begun by its first statement.
            connection.run_checked("SELECT 1", {})
        said_on: Any = raw if isinstance(raw, psycopg.Connection) else _Awaited(connection.connection)
        for stamp in stamps:
            stamp(said_on, self._criteria.actor)
        self._said.append(level)


class _Awaited:
    """What stamps need of a connection, of one that SQLAlchemy awaits for them."""

    def __init__(self, pooled: Any) -> None:
        self._pooled = pooled
        self.info = pooled.driver_connection.info

    def execute(self, query: Any, params: Any = None) -> Any:
        cursor = self._pooled.cursor()
        cursor.execute(query, params)
        return cursor
