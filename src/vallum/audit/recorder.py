"""Record what is no change of a row, where a database has a trail; where it has none, nothing is done.

Whether there is one is looked at once a minute, so that a trail that is switched on is used without a start.
Invariant: where there is a trail and it cannot be written, whoever acts is told so by an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from vallum.audit.actors import Who, record
from vallum.audit.errors import KeyRefused
from vallum.audit.keys import actor_key
from vallum.audit.state import Home
from vallum.kernel import Clock, SystemClock

__all__ = ["Recorder"]

_LOOK: Final = timedelta(minutes=1)
_FUNCTION: Final = (
    b"SELECT pg_catalog.to_regprocedure('vallum.audit_record(text, text, text, text)') IS NOT NULL"
)
Transaction = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class Recorder:
    """Writes to one database's trail. Safe to be shared by threads, where `transaction` is.

    `transaction`: a transaction of that database, or the one that runs. `home`: the log's folder, whose key
    says who acts; without one the database's role is shown instead.
    """

    def __init__(self, transaction: Transaction, home: Home | None, clock: Clock | None = None) -> None:
        self._transaction, self._home = transaction, home
        self._clock = clock or SystemClock()
        self._key: bytes | None = None
        self._there = False
        self._looked: datetime | None = None

    def is_there(self, now: datetime | None = None) -> bool:
        """Whether the database has a trail. Raises: psycopg.Error, ConnectionFailed."""
        now = now or self._clock.now()
        if not self._there and (self._looked is None or now - self._looked >= _LOOK):
            with self._transaction() as connection:
                row = connection.execute(_FUNCTION).fetchone()
            self._there, self._looked = row == (True,), now
        return self._there

    def __call__(
        self,
        kind: str,
        detail: Mapping[str, Any],
        who: Who,
        *,
        model: str | None = None,
        record_id: int | None = None,
    ) -> None:
        """Record it, where there is a trail.

        Raises: AuditRefused, psycopg.Error, ConnectionFailed: then it must not be done.
        """
        if not self.is_there():
            return
        key = self.key
        if key is None:
            # Nobody can vouch for it; what was said is kept all the same.
            detail = {**detail, "by": who.login, "address": who.ip, "request_id": who.request}
        with self._transaction() as connection:
            record(
                connection,
                kind,
                detail,
                key=key,
                who=None if key is None else who,
                model=model,
                record_id=record_id,
            )

    @property
    def key(self) -> bytes | None:
        """What actors are stamped with; read again as long as it is not there."""
        if self._key is None and self._home is not None:
            try:
                self._key = actor_key(self._home.actor_key)
            except KeyRefused:
                return None
        return self._key
