"""What happened to accounts, written to the audit trail: in the store, or else in the application's database.

In the store it is within the transaction of what it tells: what is not recorded has not happened. In another
database it is recorded before that transaction ends: what was rolled back then may have been told.
Who acts is stamped, so that login and address can be erased; who only tried to sign in has not acted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import psycopg

from vallum.audit import Home, Recorder, Who
from vallum.identity.accounts import login_key
from vallum.identity.events import Event
from vallum.identity.store import Store
from vallum.kernel import Clock, Settings
from vallum.postgres import connect

__all__ = ["TRAIL_KINDS", "AuditTrail"]

# What the trail calls it; all else is an act of administration.
TRAIL_KINDS: Final[Mapping[str, str]] = {
    "session.started": "sign-in",
    "break-glass.used": "sign-in",
    "api.signed-in": "sign-in",
    "sign-in.refused": "sign-in-failed",
    "sign-in.locked": "sign-in-failed",
    "sso.refused": "sign-in-failed",
    "factor.wrong": "sign-in-failed",
    "factor.locked": "sign-in-failed",
    "api.refused": "sign-in-failed",
    "session.ended": "sign-out",
    "session.all-ended": "sign-out",
    "key.refused": "refusal",
    "group.given": "permission-change",
    "group.taken": "permission-change",
    "group.approved": "permission-change",
    "group.ended": "permission-change",
}
_USER: Final = "SELECT user_id FROM vallum.account WHERE login_key = %s AND user_id IS NOT NULL"


class AuditTrail:
    """A sink of events. `settings`: where the application's database is, and its log's folder."""

    def __init__(self, store: Store, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self._store = store
        home = Home(settings.audit_dir) if settings is not None and settings.audit_dir is not None else None
        self._recorders = [Recorder(store.transaction, home, clock)]
        if home is not None and settings is not None and settings.dsn is not None:
            self._recorders.append(Recorder(_transactions(settings.dsn), home, clock))

    def __call__(self, event: Event) -> None:
        """Write it.

        Raises: AuditRefused, ConnectionFailed, psycopg.Error: whoever acts is denied.
        """
        for recorder in self._recorders:
            if recorder.is_there(event.at):
                kind = TRAIL_KINDS.get(event.kind, "administration")
                recorder(kind, self._detail(event), self._who(event, kind))
                return

    @staticmethod
    def _detail(event: Event) -> dict[str, Any]:
        return {**event.facts, "account_id": event.account_id, "event": event.kind}

    def _who(self, event: Event, kind: str) -> Who:
        """Who acts: of a sign-in that failed nobody does, and the account is only what was tried."""
        login = "" if kind == "sign-in-failed" else event.by
        rows = self._store.rows(_USER, (login_key(login),)) if login else []
        user = int(rows[0][0]) if len(rows) == 1 else int(event.facts.get("user") or 0)
        return Who(user, login, event.address, event.request_id)


def _transactions(dsn: str) -> Callable[[], AbstractContextManager[psycopg.Connection[Any]]]:
    @contextmanager
    def transaction() -> Iterator[psycopg.Connection[Any]]:
        with (
            connect(dsn, readonly=False, autocommit=True, application_name="vallum-trail") as connection,
            connection.transaction(),
        ):
            yield connection

    return transaction
