"""Sessions of programs: what clients of RPC have open by `/web/session/authenticate`.

The server opens and checks them (`vallum.server.sessions`); here they are seen and ended beside those of
browsers, by whoever they belong to and by administrators.
Limits: where no server has made its table yet, or only one of a version before, nobody has any to be shown.
Invariant: one is its account's only while the account is tied to the user it was opened for; with another
it has ended, whatever the table still holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from vallum.identity.store import Connection, Store

__all__ = ["AGENT", "IDLE", "LONGEST", "ProgramSession", "Programs", "end_of_programs", "told"]

IDLE: Final = timedelta(hours=12)
LONGEST: Final = timedelta(days=7)
# So much is kept of what a browser or a program calls itself.
AGENT: Final = 400
# What is told of a session, be it of a browser or of a program.
_TOLD: Final = (
    *("kind", "id", "account_id", "login", "created", "seen", "expires"),
    *("methods", "address", "user_agent"),
)

_KEPT: Final = (
    "SELECT count(*) > 0 FROM pg_attribute WHERE attrelid = to_regclass('vallum.rpc_session')"
    " AND attname = 'account_id' AND NOT attisdropped"
)
_OWN: Final = (
    "FROM vallum.account a JOIN vallum.rpc_session p ON p.user_id = a.user_id AND p.account_id = a.id"
    " WHERE a.id = %(account)s AND a.active AND p.used >= %(used)s AND p.created >= %(created)s"
)
_LIST: Final = (
    f"SELECT p.id, p.account_id, a.login, p.created, p.used, host(p.address), p.user_agent {_OWN}"
    " ORDER BY p.used DESC, p.id DESC LIMIT %(most)s"
)
_END: Final = (
    f"DELETE FROM vallum.rpc_session WHERE token = (SELECT p.token {_OWN} AND p.id = %(id)s) RETURNING id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSession:
    """A session as stored. `seen`: when it was used last, to five minutes."""

    kind: ClassVar[str] = "program"
    # Nothing but a password opens one: with a second factor there are keys.
    methods: ClassVar[tuple[str, ...]] = ("pwd",)

    id: int
    account_id: int
    login: str
    created: datetime
    seen: datetime
    address: str | None
    user_agent: str

    @property
    def expires(self) -> datetime:
        """When it ends, used or not."""
        return self.created + LONGEST

    def as_dict(self) -> dict[str, Any]:
        """The session for a program."""
        return told(self)


def told(session: object) -> dict[str, Any]:
    """A session of either kind, for a program: instants in ISO 8601, methods as a list."""
    found = {name: getattr(session, name) for name in _TOLD}
    instants = {name: value.isoformat() for name, value in found.items() if isinstance(value, datetime)}
    return {**found, **instants, "methods": list(found["methods"])}


class Programs:
    """The sessions of programs in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, account_id: int, now: datetime, *, most: int | None = None) -> list[ProgramSession]:
        """An account's sessions, the one used last first; so many at most."""
        if not self._kept():
            return []
        return [
            ProgramSession(
                id=i,
                account_id=account,
                login=login,
                created=created,
                seen=used,
                address=address,
                user_agent=agent,
            )
            for i, account, login, created, used, address, agent in self._store.rows(
                _LIST, {**_open(account_id, now), "most": most}
            )
        ]

    def end_one(self, account_id: int, session_id: int, now: datetime) -> bool:
        """End one of an account's sessions; whether it was there."""
        asked = {**_open(account_id, now), "id": session_id}
        return self._kept() and bool(self._store.rows(_END, asked))

    def _kept(self) -> bool:
        [(kept,)] = self._store.rows(_KEPT)
        return bool(kept)


def end_of_programs(connection: Connection, account_id: int | None = None) -> int:
    """End programs' sessions of an account's user, or of everyone, where a server has any; how many."""
    [(kept,)] = connection.execute(b"SELECT to_regclass('vallum.rpc_session') IS NOT NULL").fetchall()
    if not kept:
        return 0
    return connection.execute(
        b"DELETE FROM vallum.rpc_session WHERE %(id)s::bigint IS NULL"
        b" OR user_id = (SELECT user_id FROM vallum.account WHERE id = %(id)s)",
        {"id": account_id},
    ).rowcount


def _open(account_id: int, now: datetime) -> dict[str, Any]:
    return {"account": account_id, "used": now - IDLE, "created": now - LONGEST}
