"""The application's database with its standbys: reads of calls go there, everything else to the primary.

Policy, users and the records that rules look up are read without `reads`, and so from the primary alone;
a standby answers what an actor asked for, under rights that the primary has given.
Invariant: what a user has written, that user's later calls find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from threading import local
from typing import Any, Final

from vallum.kernel import ConnectionFailed, SettingsError
from vallum.policy import Actor
from vallum.postgres import ThreadDatabase, redact
from vallum.postgres.connection import Params, Row, Statement, parse_dsn
from vallum.server.replicas.marks import Marks
from vallum.server.replicas.standby import Look, Standby

__all__ = ["ReplicatedDatabase", "check_replicas"]

PRIMARY: Final = "primary"


def check_replicas(dsns: Sequence[str]) -> None:
    """Refuse what cannot be a standby that stays the same one.

    Raises: SettingsError.
    """
    for number, dsn in enumerate(dsns, 1):
        try:
            parts = parse_dsn(dsn)
        except ConnectionFailed as error:
            raise SettingsError(f"replica {number}: {error.what}", where="replicas", fix=error.fix) from None
        if any("," in str(parts.get(key, "")) for key in ("host", "hostaddr")):
            raise SettingsError(
                "a replica is one server: which of several answers cannot be told",
                where=f"replicas: {redact(dsn)}",
                fix="list each with a DSN of its own",
            )


class ReplicatedDatabase(ThreadDatabase):
    """A `ThreadDatabase` whose calls may be answered by standbys. `counted`: told who has answered."""

    def __init__(
        self,
        dsn: str,
        replicas: Sequence[str],
        *,
        readonly: bool,
        statement_timeout: float,
        marks: Marks,
        counted: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(
            dsn, readonly=readonly, statement_timeout=statement_timeout, application_name="vallum-server"
        )
        self.marks = marks
        self.standbys = [Standby(n, given, dsn, statement_timeout) for n, given in enumerate(replicas, 1)]
        self._counted = counted
        self._turn = count()
        self._call = local()

    def start(self) -> None:
        """Begin to look at the standbys."""
        for standby in self.standbys:
            standby.start()

    def close(self) -> None:
        """As `ThreadDatabase.close`; those of the standbys as well."""
        for standby in self.standbys:
            standby.close()
        super().close()
        self.marks.close()

    @contextmanager
    def reading(self, user_id: int) -> Iterator[None]:
        """A call of the user's that only reads: one standby answers it, where one may, and to its end."""
        self._call.chosen = self._chosen(user_id)
        try:
            yield
        finally:
            self._call.chosen = None

    def stamp(self, _connection: Any, actor: Actor | None) -> None:
        """Told at the start of each writing call: mark its end, whether it succeeds or not."""
        if actor is not None:
            user_id = actor.user_id
            self.at_end(lambda: self.marks.wrote(user_id))

    def rows(self, statement: Statement, params: Params = None, *, reads: bool = False) -> list[Row]:
        """As `Database.rows`; within `reading`, what reads is asked of the standby."""
        chosen: tuple[Standby, Look] | None = getattr(self._call, "chosen", None)
        if chosen is not None and reads and not self.in_transaction:
            self.check_time()
            standby, look = chosen
            found = standby.rows(look, statement, params)
            if found is not None:
                self._counted(f"replica {standby.number}")
                return found
            # Not back to it within this call: what follows must not be older than this.
            self._call.chosen = None
        if reads:
            self._counted(PRIMARY)
        return super().rows(statement, params, reads=reads)

    def _chosen(self, user_id: int) -> tuple[Standby, Look] | None:
        since, start = self.marks.last(user_id), next(self._turn)
        for step in range(len(self.standbys)):
            standby = self.standbys[(start + step) % len(self.standbys)]
            look = standby.fresh(since)
            if look is not None:
                return standby, look
        return None
