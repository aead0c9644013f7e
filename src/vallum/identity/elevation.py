"""Groups for a while: asked for with a reason, granted by somebody else, gone by themselves.

Invariant: nobody decides on a request of their own (the table refuses it too), and no grant is without end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vallum.identity.accounts import Account
from vallum.identity.authenticator import Client
from vallum.identity.base import Base
from vallum.identity.errors import NotPermitted, RequestRefused
from vallum.identity.memberships import REQUEST
from vallum.identity.store import one

__all__ = ["Elevation", "Elevations"]

_COLUMNS: Final = (
    "e.id, e.account_id, a.login, e.group_name, e.reason, e.minutes, e.state, e.asked, e.decided,"
    " d.login, e.expires"
)
_FROM: Final = (
    "FROM vallum.elevation e JOIN vallum.account a ON a.id = e.account_id"
    " LEFT JOIN vallum.account d ON d.id = e.decided_by"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elevation:
    """A request. `state`: asked, approved, refused or ended."""

    id: int
    account_id: int
    login: str
    group: str
    reason: str
    minutes: int
    state: str
    asked: datetime
    decided: datetime | None
    decided_by: str | None
    expires: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The request for a program."""
        return {
            "id": self.id,
            "login": self.login,
            "group": self.group,
            "reason": self.reason,
            "minutes": self.minutes,
            "state": self.state,
            "asked": self.asked.isoformat(),
            "decided": self.decided.isoformat() if self.decided else None,
            "decided_by": self.decided_by,
            "expires": self.expires.isoformat() if self.expires else None,
        }


class Elevations:
    """The requests of a store."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def ask(
        self, account: Account, group: str, reason: str, minutes: int, client: Client | None = None
    ) -> Elevation:
        """Ask for a group. Whoever may decide is told by mail.

        Raises: RequestRefused.
        """
        base, now = self._base, self._base.now()
        most = base.settings.max_elevation_minutes
        if not account.active:
            raise RequestRefused("this account is shut")
        if not reason.strip():
            raise RequestRefused("a request needs a reason", fix="say what the group is needed for")
        if not 1 <= minutes <= most:
            raise RequestRefused(f"a group is given for {most} minutes at most", fix="ask for less")
        with base.store.transaction() as connection:
            row = one(
                connection,
                "INSERT INTO vallum.elevation (account_id, group_name, reason, minutes, state, asked)"
                " VALUES (%s, %s, %s, %s, 'asked', %s) RETURNING id",
                (account.id, group, reason.strip()[:2000], minutes, now),
            )
            for recipient in base.settings.alarm:
                message = base.notices.elevation(recipient, account, group, minutes, reason.strip()[:500])
                base.mail(connection, "elevation", message)
        base.record("group.asked", account, client=client, group=group, minutes=minutes)
        return self.get(row[0] if row else 0)

    def may_decide(self, account: Account) -> bool:
        """Whether an account is one of those who approve requests."""
        settings = self._base.settings
        approvers = settings.approvers or settings.administrators
        return self._base.people.is_in(account, approvers, self._base.now())

    def decide(
        self, request: Elevation, by: Account, *, approve: bool, client: Client | None = None
    ) -> Elevation:
        """Approve or refuse a request, as somebody who may and who is not the one who asked.

        Raises: NotPermitted, RequestRefused.
        """
        base, now = self._base, self._base.now()
        if by.id == request.account_id:
            raise NotPermitted("nobody decides on a request of their own", fix="ask a colleague who may")
        if not self.may_decide(by):
            raise NotPermitted("this is for those who approve requests", where=by.login)
        if not base.accounts.get(request.account_id).active:
            raise RequestRefused("the account that asked is shut")
        end = now + timedelta(minutes=request.minutes) if approve else None
        with base.store.transaction() as connection:
            done = connection.execute(
                b"UPDATE vallum.elevation SET state = %s, decided = %s, decided_by = %s, expires = %s"
                b" WHERE id = %s AND state = 'asked'",
                ("approved" if approve else "refused", now, by.id, end, request.id),
            )
            if done.rowcount != 1:
                raise RequestRefused("this request was decided already")
            if end is not None:
                base.memberships.give(
                    connection,
                    request.account_id,
                    request.group,
                    now,
                    by=by.login,
                    source=REQUEST,
                    expires=end,
                )
        kind = "group.approved" if approve else "group.refused"
        base.record(
            kind, request.account_id, client=client, by=by.login, group=request.group, request=request.id
        )
        return self.get(request.id)

    def end(self, request: Elevation, *, by: str) -> Elevation:
        """End a grant before its time.

        Raises: RequestRefused (it is none).
        """
        with self._base.store.transaction() as connection:
            done = connection.execute(
                b"UPDATE vallum.elevation SET state = 'ended', expires = %s"
                b" WHERE id = %s AND state = 'approved'",
                (self._base.now(), request.id),
            )
            if done.rowcount != 1:
                raise RequestRefused("this request was not approved, or has ended")
            self._base.memberships.take(connection, request.account_id, request.group, source=REQUEST)
        self._base.record("group.ended", request.account_id, by=by, group=request.group, request=request.id)
        return self.get(request.id)

    def get(self, number: int) -> Elevation:
        """Raises: RequestRefused."""
        rows = self._base.store.rows(f"SELECT {_COLUMNS} {_FROM} WHERE e.id = %s", (number,))
        if not rows:
            raise RequestRefused(f"no request has the number {number}")
        return _elevation(rows[0])

    def running(self, now: datetime) -> list[Elevation]:
        """What is granted now, the first to end first."""
        rows = self._base.store.rows(
            f"SELECT {_COLUMNS} {_FROM} WHERE e.state = 'approved' AND e.expires > %s"
            " ORDER BY e.expires, e.id LIMIT 200",
            (now,),
        )
        return [_elevation(row) for row in rows]

    def some(
        self, *, state: str | None = None, account_id: int | None = None, limit: int = 200
    ) -> list[Elevation]:
        """Requests, the newest first."""
        rows = self._base.store.rows(
            f"SELECT {_COLUMNS} {_FROM} WHERE (%(state)s::text IS NULL OR e.state = %(state)s)"
            " AND (%(account)s::bigint IS NULL OR e.account_id = %(account)s)"
            " ORDER BY e.id DESC LIMIT %(limit)s",
            {"state": state, "account": account_id, "limit": limit},
        )
        return [_elevation(row) for row in rows]


def _elevation(row: Any) -> Elevation:
    i, account_id, login, group, reason, minutes, state, asked, decided, by, expires = row
    return Elevation(
        id=i,
        account_id=account_id,
        login=login,
        group=group,
        reason=reason,
        minutes=minutes,
        state=state,
        asked=asked,
        decided=decided,
        decided_by=by,
        expires=expires,
    )
