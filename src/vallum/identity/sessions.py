"""Sessions of browsers: who is signed in, on which device, since when, and until when.

The browser holds a token of 256 bits, the database its digest. Every request asks the database, so that
a session ended here has ended everywhere.
Invariant: a session exists only after every factor that is needed was shown (ASVS 7.2.4, 7.3.1, 7.3.2); where
more is needed later, `SignIn.session` finds none.
Invariant: one look-up by primary key and one join; the time of last use is written once a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from vallum.identity.accounts import end_all
from vallum.identity.authenticator import Client
from vallum.identity.errors import FreshSignInNeeded
from vallum.identity.network import address_of
from vallum.identity.programs import AGENT, end_of_programs, told
from vallum.identity.settings import SessionSettings
from vallum.identity.store import Connection, Store
from vallum.identity.tokens import digest, new_token

__all__ = ["Session", "Sessions"]

_TOUCH: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as stored. `fresh`: when the credentials were shown last; `methods`: how (`pwd`, …)."""

    kind: ClassVar[str] = "browser"

    id: int
    account_id: int
    login: str
    name: str
    user_id: int | None
    created: datetime
    seen: datetime
    fresh: datetime
    expires: datetime
    methods: tuple[str, ...]
    address: str | None
    user_agent: str
    device_id: int | None
    provider: str | None
    provider_session: str | None

    def as_dict(self) -> dict[str, Any]:
        """The session for a program."""
        return told(self)


_COLUMNS: Final = (
    "s.id, s.account_id, a.login, a.name, a.user_id, s.created, s.seen, s.fresh, s.expires, s.methods,"
    " host(s.address), s.user_agent, s.device_id, s.provider, s.provider_session"
)
_FROM: Final = "FROM vallum.session s JOIN vallum.account a ON a.id = s.account_id"
_CHECK: Final = (
    f"SELECT {_COLUMNS} {_FROM} WHERE s.digest = %s AND s.expires > %s AND s.seen > %s AND a.active"
)
_LIST: Final = (
    f"SELECT {_COLUMNS} {_FROM}"
    " WHERE s.account_id = %s AND s.expires > %s AND s.seen > %s ORDER BY s.seen DESC, s.id DESC"
)
_SURPLUS: Final = (
    b"DELETE FROM vallum.session WHERE digest IN (SELECT digest FROM vallum.session"
    b" WHERE account_id = %s ORDER BY created DESC, id DESC OFFSET %s)"
)


class Sessions:
    """The sessions of a store."""

    def __init__(self, store: Store, settings: SessionSettings) -> None:
        self._store = store
        self._idle = timedelta(minutes=settings.idle_minutes)
        self._lifetime = timedelta(hours=settings.hours)
        self._freshness = timedelta(minutes=settings.fresh_minutes)
        self._most = settings.most

    def start(
        self,
        connection: Connection,
        account_id: int,
        client: Client,
        methods: Sequence[str],
        now: datetime,
        *,
        device_id: int | None = None,
        provider: str | None = None,
        provider_session: str | None = None,
        expires: datetime | None = None,
        fresh: datetime | None = None,
        replaces: str | None = None,
    ) -> str:
        """A new session's token. The one in `replaces` ends; of too many, the oldest end.

        `expires`: an end before the usual one, as an identity provider may ask for; `fresh`: when it has seen
        credentials, where that was before now.
        """
        if replaces:
            connection.execute(b"DELETE FROM vallum.session WHERE digest = %s", (digest(replaces),))
        token = new_token()
        end = now + self._lifetime
        connection.execute(
            b"INSERT INTO vallum.session (digest, account_id, created, seen, fresh, expires, methods,"
            b" address, user_agent, device_id, provider, provider_session)"
            b" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                digest(token),
                account_id,
                now,
                now,
                min(now, fresh) if fresh else now,
                min(end, expires) if expires else end,
                list(methods),
                address_of(client.address),
                client.user_agent[:AGENT],
                device_id,
                provider,
                provider_session,
            ),
        )
        connection.execute(_SURPLUS, (account_id, self._most))
        return token

    def check(self, token: str, now: datetime) -> Session | None:
        """The session of a token; None where it is unknown, ended, idle for too long or expired."""
        key = digest(token)
        rows = self._store.rows(_CHECK, (key, now, now - self._idle))
        if not rows:
            return None
        found = _session(rows[0])
        if now - found.seen >= _TOUCH:
            self._store.rows(
                "UPDATE vallum.session SET seen = %s WHERE digest = %s AND seen < %s", (now, key, now)
            )
        return found

    def require_fresh(self, session: Session, now: datetime) -> None:
        """Raises: FreshSignInNeeded (the credentials were shown too long ago for a sensitive act)."""
        if now - session.fresh > self._freshness:
            raise FreshSignInNeeded(
                "this needs your credentials once more", fix="confirm that it is you, then try again"
            )

    def refresh(self, token: str, methods: Sequence[str], now: datetime) -> str | None:
        """The session under a new token, fresh again, since the credentials were shown. None: it ended."""
        fresh = new_token()
        rows = self._store.rows(
            "UPDATE vallum.session SET digest = %s, fresh = %s, seen = %s,"
            " methods = ARRAY(SELECT DISTINCT unnest(methods || %s::text[]))"
            " WHERE digest = %s AND expires > %s AND seen > %s RETURNING id",
            (digest(fresh), now, now, list(methods), digest(token), now, now - self._idle),
        )
        return fresh if rows else None

    def of(self, account_id: int, now: datetime) -> list[Session]:
        """An account's sessions, the one used last first."""
        return [_session(row) for row in self._store.rows(_LIST, (account_id, now, now - self._idle))]

    def end(self, token: str) -> bool:
        """Sign out."""
        return bool(
            self._store.rows("DELETE FROM vallum.session WHERE digest = %s RETURNING id", (digest(token),))
        )

    def end_one(self, account_id: int, session_id: int) -> bool:
        """End one of an account's sessions."""
        rows = self._store.rows(
            "DELETE FROM vallum.session WHERE account_id = %s AND id = %s RETURNING id",
            (account_id, session_id),
        )
        return bool(rows)

    def end_all(self, account_id: int, *, keep: str | None = None) -> int:
        """End all of an account's sessions, programs' too, but the one with the token `keep`; how many."""
        with self._store.transaction() as connection:
            return end_all(connection, account_id, keep=digest(keep) if keep else None)

    def end_everyones(self) -> int:
        """End the sessions of all accounts, programs' too; how many."""
        with self._store.transaction() as connection:
            programs = end_of_programs(connection)
            return programs + connection.execute(b"DELETE FROM vallum.session").rowcount

    def sweep(self, now: datetime, *, most: int = 10_000) -> int:
        """Drop expired sessions, `most` at once, and say how many."""
        statement = (
            "WITH gone AS (DELETE FROM vallum.session WHERE digest IN (SELECT digest FROM vallum.session"
            " WHERE expires < %s LIMIT %s) RETURNING 1) SELECT count(*) FROM gone"
        )
        return int(self._store.rows(statement, (now, most))[0][0])


def _session(row: Any) -> Session:
    (
        i,
        account_id,
        login,
        name,
        user_id,
        created,
        seen,
        fresh,
        expires,
        methods,
        address,
        agent,
        device,
        provider,
        provider_session,
    ) = row
    return Session(
        id=i,
        account_id=account_id,
        login=login,
        name=name,
        user_id=user_id,
        created=created,
        seen=seen,
        fresh=fresh,
        expires=expires,
        methods=tuple(methods),
        address=address,
        user_agent=agent,
        device_id=device,
        provider=provider,
        provider_session=provider_session,
    )
