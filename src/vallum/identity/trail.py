"""What happened to accounts, written to the audit trail where the store has one.

Within the transaction of what it tells, where there is one: what is not recorded has not happened.
Whether there is a trail is looked at once a minute, so that one that is switched on is used without a start.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from vallum.audit import record
from vallum.identity.events import Event
from vallum.identity.store import Store

__all__ = ["AuditTrail"]

_LOOK: Final = timedelta(minutes=1)
_FUNCTION: Final = "vallum.audit_record(text, text, text, text)"
# What the trail calls it; all else is an act of administration.
_KINDS: Final = {
    "session.started": "sign-in",
    "break-glass.used": "sign-in",
    "sign-in.refused": "sign-in-failed",
    "sign-in.locked": "sign-in-failed",
    "sso.refused": "sign-in-failed",
    "factor.wrong": "sign-in-failed",
    "factor.locked": "sign-in-failed",
    "session.ended": "sign-out",
    "session.all-ended": "sign-out",
    "key.refused": "refusal",
    "group.given": "permission-change",
    "group.taken": "permission-change",
    "group.approved": "permission-change",
    "group.ended": "permission-change",
}


class AuditTrail:
    """A sink of events."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._there = False
        self._looked: datetime | None = None

    def __call__(self, event: Event) -> None:
        """Write it.

        Raises: AuditRefused, psycopg.Error: whoever acts is denied.
        """
        if not self._is_there(event.at):
            return
        kind = _KINDS.get(event.kind, "administration")
        with self._store.transaction() as connection:
            record(connection, kind, {**event.as_dict(), "event": event.kind})

    def _is_there(self, now: datetime) -> bool:
        if not self._there and (self._looked is None or now - self._looked >= _LOOK):
            rows = self._store.rows("SELECT to_regprocedure(%s) IS NOT NULL", (_FUNCTION,))
            self._there, self._looked = bool(rows[0][0]), now
        return self._there
