"""One standby: looked at all the time, and read from as long as it is known to be complete enough.

Invariant: a result is used only from a connection older than the look that found the standby fresh. A
standby that was restarted in between has cut that connection, and may have gone back in time.
Nothing here raises for a standby that fails: it is not read from, until a look finds it well again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from vallum.kernel import ConnectionFailed, VallumError
from vallum.postgres import Database, OnePerThread
from vallum.postgres.connection import Connection, Params, Row, Statement, parse_dsn
from vallum.server.replicas.freshness import NEVER, Freshness

__all__ = ["BOUND", "Look", "Standby", "quick"]

BOUND: Final = 1.0
_EVERY: Final = 0.2
_WELL: Final = "well"
_LOG: Final = logging.getLogger("vallum.server")
# A standby that no longer answers must be noticed by the system, not by the client that waits.
_QUICK: Final = {
    "connect_timeout": "2",
    "tcp_user_timeout": "3000",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "2",
}
_SAME: Final = "(SELECT system_identifier FROM pg_control_system()), current_database(), current_user"
# Where the log will go on, not where it was written up to: commits may be visible before they are written.
_PRIMARY: Final = f"SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, {_SAME}"
_STANDBY: Final = f"SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn, {_SAME}, pg_is_in_recovery()"


def quick(dsn: str) -> str:
    """The DSN, with short patience where it says nothing of its own.

    >>> "connect_timeout=9" in quick("dbname=odoo connect_timeout=9")
    True
    """
    return make_conninfo("", **{**_QUICK, **parse_dsn(dsn)})


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found.

    `as_of`: what was committed before is there. `begun`: when the standby was asked.
    """

    as_of: float = NEVER
    begun: float = NEVER


class _Reading(Database):
    """A connection to a standby, and since when."""

    opened = NEVER

    def _connect(self, *, autocommit: bool) -> Connection:
        made = super()._connect(autocommit=autocommit)
        self.opened = monotonic()
        return made


class Standby:
    """A standby of `primary`. `number`: what logs and metrics call it."""

    def __init__(self, number: int, dsn: str, primary: str, statement_timeout: float) -> None:
        self.number = number
        self.look = Look()
        self._dsn = quick(dsn)
        self._readings = OnePerThread(
            lambda: _Reading(self._dsn, statement_timeout=statement_timeout, application_name="vallum-server")
        )
        self._freshness = Freshness(BOUND)
        self._ours, self._theirs = (
            Database(given, statement_timeout=BOUND, application_name="vallum-lag")
            for given in (primary, self._dsn)
        )
        self._state = ""
        self._done = Event()
        self._thread = Thread(target=self._run, name=f"standby-{number}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking; nobody may be reading."""
        self._done.set()
        self._thread.join(5)
        for database in (self._readings, self._ours, self._theirs):
            database.close()

    def fresh(self, since: float) -> Look | None:
        """The last look, where it found everything that was committed a second ago, or before `since`."""
        look = self.look
        return look if look.as_of >= max(since, monotonic() - BOUND) else None

    def rows(self, look: Look, statement: Statement, params: Params) -> list[Row] | None:
        """The rows; None where the standby cannot give them, or not as the look has found it.

        Raises: ConnectionFailed (the statement took too long, and would on the primary).
        """
        mine = self._readings.mine()
        try:
            if not mine.connected:
                _ = mine.server_version
            if mine.opened >= look.begun:
                return None
            found = mine.rows(statement, params)
        except ConnectionFailed as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise
            self.look = Look()
            return None
        except psycopg.Error:
            # A conflict with recovery, or a table not there yet. If it is the statement, the primary says so.
            return None
        # The connection may have been lost and opened anew.
        return found if mine.opened < look.begun else None

    # Looking

    def _run(self) -> None:
        while not self._done.wait(_EVERY):
            try:
                self.look, state = self._looked()
            except (VallumError, psycopg.Error):
                self.look, state = Look(), "it or the primary does not answer"
            except Exception as error:
                self.look, state = Look(), type(error).__name__
            self._tell(state)

    def _looked(self) -> tuple[Look, str]:
        known, moment = self._freshness.known, monotonic()
        end, *ours = self._asked(self._ours, _PRIMARY)
        same_history = self._freshness.ended(moment, int(end))
        begun = monotonic()
        replayed, *theirs, standing = self._asked(self._theirs, _STANDBY)
        if not standing or replayed is None:
            return Look(), "it is no standby"
        if ours != theirs:
            return Look(), "it is of another database, or asked as another role"
        as_of = self._freshness.as_of(int(replayed))
        if not same_history:
            return Look(), "it has followed another primary" if known else self._state
        return Look(as_of, begun), _WELL if as_of >= monotonic() - BOUND else "it lags"

    @staticmethod
    def _asked(database: Database, statement: str) -> tuple[Any, ...]:
        return database.rows(statement)[0]

    def _tell(self, state: str) -> None:
        """Log a change; never its DSN, nor what PostgreSQL says about it."""
        if state == self._state:
            return
        self._state = state
        if state != _WELL:
            _LOG.warning("a replica is not read from", extra={"replica": self.number, "reason": state})
        else:
            _LOG.info("a replica is read from", extra={"replica": self.number})
