"""Notice changes of policy and users, and open the application anew: in every worker, within a second.

Polling finds every change, whoever made it; `NOTIFY vallum_policy` has it looked at once.
Invariant: where what has changed cannot be read, or for long not be looked at, nobody is answered under what
was known before.
Invariant: what is read is of the instant that was looked at: else a right given after the look, read, and
taken before the next one would look as if nothing had been, and stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event, Thread
from time import monotonic
from typing import Final

import psycopg

from vallum.kernel import VallumError
from vallum.postgres import connect
from vallum.server.fingerprint import Fingerprint

__all__ = ["CHANNEL", "Watch"]

CHANNEL: Final = "vallum_policy"
PATIENCE: Final = 5.0
_EVERY: Final = 0.5
_LOG: Final = logging.getLogger("vallum.server")


class Watch:
    """A thread that calls `changed` after a change, `failed` where that fails. Close it.

    `instant`: within it, all that this thread reads is of one.
    """

    def __init__(
        self,
        dsn: str,
        instant: Callable[[], AbstractContextManager[object]],
        fingerprint: Fingerprint,
        changed: Callable[[], Fingerprint],
        failed: Callable[[], None],
    ) -> None:
        self._dsn = dsn
        self._instant = instant
        self._fingerprint = fingerprint
        self._changed = changed
        self._failed = failed
        self._done = Event()
        # Nothing: what changed after the application was read, and before the first look, is read again.
        self._last: object = None
        self._looked = monotonic()
        self._thread = Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop, soon."""
        self._done.set()
        self._thread.join(5)

    def _run(self) -> None:
        listening: psycopg.Connection[tuple[object, ...]] | None = None
        while not self._done.is_set():
            try:
                if listening is None:
                    listening = connect(self._dsn, autocommit=True, application_name="vallum-watch")
                    listening.execute(f"LISTEN {CHANNEL}".encode())
                for _ in listening.notifies(timeout=_EVERY, stop_after=1):
                    pass
                self._look()
            except (VallumError, psycopg.Error) as error:
                if listening is not None:
                    listening.close()
                    listening = None
                _LOG.warning("policy and users cannot be looked at", extra={"kind": type(error).__name__})
                self._rest()
            except Exception as error:
                _LOG.error("policy and users cannot be read", extra={"kind": type(error).__name__})
                self._rest()
        if listening is not None:
            listening.close()

    def _rest(self) -> None:
        """Wait for the next look; after too many in vain what is known is not to be answered from."""
        if monotonic() - self._looked > PATIENCE:
            self._failed()
            self._last = None
        self._done.wait(_EVERY)

    def _look(self) -> None:
        with self._instant():
            self._compare()

    def _compare(self) -> None:
        found = self._fingerprint.take()
        self._looked = monotonic()
        if found == self._last:
            return
        try:
            self._fingerprint = self._changed()
        except Exception:
            self._failed()
            raise
        # Of what was just read, at the same instant.
        self._last = self._fingerprint.take()
        _LOG.info("policy and users were read anew")
