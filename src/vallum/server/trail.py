"""What the server tells the trail besides changes of rows: refusals, exports, reads of sensitive models.

A refusal that cannot be recorded stays a refusal, and is logged; what would be given away is not given
unless that is recorded. With each: the user, the address and the request's id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import psycopg

from vallum.audit import Home, KeyRefused, Recorder, Who
from vallum.audit.gaps import LATE
from vallum.audit.sequencer import OLDEST
from vallum.enforce import Application
from vallum.facade.trail import MOST_IDS, SENSITIVE, NotRecorded, readable, watched_models
from vallum.kernel import ConnectionFailed, Settings, VallumError
from vallum.policy import SUPERUSER_ID
from vallum.server.calling import caller

if TYPE_CHECKING:
    from vallum.policy import Actor

__all__ = ["SENSITIVE", "NotRecorded", "ServerTrail", "readable", "who_is"]

_LOG: Final = logging.getLogger("vallum.server")
_SIZE: Final = b"SELECT size, extract(epoch FROM clock_timestamp() - at) FROM vallum.audit_state"
Transaction = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class ServerTrail:
    """The trail as the server writes to it. `transaction`: of the application's database, for writing."""

    def __init__(self, settings: Settings, transaction: Transaction) -> None:
        self.home = Home(settings.audit_dir) if settings.audit_dir is not None else None
        self._names = settings.audit_reads
        self._transaction = transaction
        self._state: tuple[float, str] | None = None
        self._recorder = Recorder(transaction, self.home) if self.home is not None else None

    def watch(self, application: Application) -> None:
        """Let the application's writes say who acts, and its reads of sensitive models be recorded.

        Raises: SettingsError (a model that is none).
        """
        if self._recorder is None:
            return
        if self._recorder.key is None:
            _LOG.warning("the audit trail has no keys: `vallum audit enable` makes them")
        application.stamps.append(self._stamp)
        application.watched = watched_models(application.schema, self._names, "audit_reads")
        application.watchers.append(self._read)

    def _stamp(self, connection: psycopg.Connection[Any], actor: Actor | None) -> None:
        from vallum.audit import stamp

        key = self._recorder.key if self._recorder is not None else None
        if key is not None:
            stamp(connection, key, who_is(actor))

    def _read(self, actor: Actor | None, model: str, detail: Mapping[str, Any], ids: Sequence[int]) -> None:
        listed = {"records": len(ids), "ids": list(ids[:MOST_IDS])}
        self.tell("sensitive-read", {**detail, **listed}, who_is(actor), model=model)

    def tell(self, kind: str, detail: Mapping[str, Any], who: Who, *, model: str | None = None) -> None:
        """Record what is about to be done, or to be given away.

        Raises: NotRecorded, ConnectionFailed: then it must not be done.
        """
        if self._recorder is None:
            return
        try:
            self._recorder(kind, detail, who, model=model)
        except (psycopg.Error, KeyRefused) as error:
            raise NotRecorded(
                "this could not be recorded, and so was not done",
                fix="see that the server's database role may call `vallum.audit_record`",
            ) from error

    @property
    def is_kept(self) -> bool:
        """Whether the server is told of a trail."""
        return self.home is not None

    def state(self) -> str:
        """`current`; `late`: events wait for too long, or are not signed; `none` is enabled; `unknown`."""
        now = monotonic()
        if self._state is None or now - self._state[0] > 1:
            self._state = (now, self._looked())
        return self._state[1]

    def _looked(self) -> str:
        try:
            if self._recorder is None or not self._recorder.is_there():
                return "none"
            with self._transaction() as connection:
                waits = connection.execute(OLDEST).fetchone()
                log = connection.execute(_SIZE).fetchone()
            signed = self.home.signed() if self.home is not None else None
        except (VallumError, psycopg.Error, OSError):
            return "unknown"
        behind = log is not None and log[0] > (signed.size if signed else 0) and log[1] > LATE.total_seconds()
        waiting = waits is not None and waits[0] is not None and waits[0] > LATE.total_seconds()
        return "late" if behind or waiting else "current"

    def refused(self, error: VallumError, detail: Mapping[str, Any], who: Who, model: str | None) -> None:
        """Record a refusal; one that cannot be recorded is logged, and still is one."""
        try:
            told = {**detail, "code": error.code, "what": readable(error.what)}
            self.tell("refusal", told, who, model=model)
        except (VallumError, ConnectionFailed):
            _LOG.error("a refusal could not be recorded", extra={"kind": error.code})


def who_is(actor: Actor | None) -> Who:
    """Who acts, for whatever request is answered here."""
    client = caller()
    user, login = (SUPERUSER_ID, "superuser") if actor is None else (actor.user_id, actor.login)
    return Who(user, login, client.address, client.request_id)
