"""API keys of service accounts: made, found, rotated, revoked. Shown once; kept as a digest.

Invariant: no key without models, operations and an end (the table refuses it too), and none for a person:
who leaves takes no key along, and what a key did is a service's doing.
Invariant: a revoked or expired key, and one of a shut account, is refused at the next request.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vallum.identity.accounts import Account
from vallum.identity.errors import KeyRefused
from vallum.identity.keys.scope import Scope, latest_end
from vallum.identity.keys.text import new_key, prefix_of
from vallum.identity.network import address_of
from vallum.identity.settings import KeySettings
from vallum.identity.store import Connection, Store, one
from vallum.identity.tokens import digest
from vallum.kernel import Operation

__all__ = ["ApiKey", "Keys", "NewKey"]

_TOUCH: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as stored, without what would let anyone use it."""

    id: int
    account_id: int
    login: str
    user_id: int | None
    account_active: bool
    name: str
    prefix: str
    scope: Scope
    created: datetime
    created_by: str
    expires: datetime
    used: datetime | None
    used_from: str | None
    revoked: datetime | None
    revoked_why: str | None

    def is_good(self, now: datetime) -> bool:
        """Whether it may be used."""
        return self.account_active and self.revoked is None and now < self.expires

    def as_dict(self) -> dict[str, Any]:
        """The key for a program."""
        return {
            "id": self.id,
            "account": self.login,
            "name": self.name,
            "prefix": f"vlm_{self.prefix}",
            "models": list(self.scope.models),
            "operations": sorted(operation.value for operation in self.scope.operations),
            "addresses": [str(network) for network in self.scope.addresses],
            "rate": self.scope.rate,
            "created": self.created.isoformat(),
            "created_by": self.created_by,
            "expires": self.expires.isoformat(),
            "used": self.used.isoformat() if self.used else None,
            "used_from": self.used_from,
            "revoked": self.revoked.isoformat() if self.revoked else None,
            "revoked_why": self.revoked_why,
        }


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: its text is shown now and never again."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.key.prefix!r})"


_COLUMNS: Final = (
    "k.id, k.account_id, a.login, a.user_id, a.active, k.name, k.prefix, k.models, k.operations,"
    " k.addresses::text[], k.rate, k.created, k.created_by, k.expires, k.used, host(k.used_from), k.revoked,"
    " k.revoked_why, k.digest"
)
_FROM: Final = "FROM vallum.api_key k JOIN vallum.account a ON a.id = k.account_id"


class Keys:
    """The keys of a store. Who may make them is decided by whoever calls (see `Identity`)."""

    def __init__(self, store: Store, settings: KeySettings) -> None:
        self._store = store
        self._most_days = settings.max_days
        self._overlap = timedelta(hours=settings.overlap_hours)

    def create(
        self, account: Account, name: str, scope: Scope, now: datetime, *, days: int, by: str
    ) -> NewKey:
        """A new key for a service account.

        Raises: KeyRefused.
        """
        with self._store.transaction() as connection:
            return self._create(
                connection, account, name, scope, now, latest_end(now, days, self._most_days), by
            )

    def rotate(self, key: ApiKey, account: Account, now: datetime, *, days: int, by: str) -> NewKey:
        """A new key with the same scope; the old one ends after the overlap.

        Raises: KeyRefused (it is not good any more).
        """
        if not key.is_good(now):
            raise KeyRefused("only a key that is still good can be rotated", fix="make a new one")
        end = latest_end(now, days, self._most_days)
        with self._store.transaction() as connection:
            made = self._create(connection, account, key.name, key.scope, now, end, by)
            done = connection.execute(
                b"UPDATE vallum.api_key SET replaced_by = %s,"
                b" expires = greatest(least(expires, %s), created + interval '1 second')"
                b" WHERE id = %s AND revoked IS NULL AND replaced_by IS NULL",
                (made.key.id, now + self._overlap, key.id),
            )
            if done.rowcount != 1:
                raise KeyRefused(
                    "this key was rotated or revoked already", fix="rotate the key that replaced it"
                )
            return made

    def find(self, text: str, now: datetime) -> ApiKey | None:
        """The key with that text, whatever its state; None where it is nobody's."""
        prefix = prefix_of(text)
        if prefix is None:
            return None
        rows = self._store.rows(f"SELECT {_COLUMNS} {_FROM} WHERE k.prefix = %s", (prefix,))
        if not rows or not hmac.compare_digest(bytes(rows[0][-1]), digest(text)):
            return None
        return _key(rows[0])

    def touch(self, key: ApiKey, address: str, now: datetime) -> None:
        """Note the last use, once a minute at most."""
        if key.used is None or now - key.used >= _TOUCH:
            self._store.rows(
                "UPDATE vallum.api_key SET used = %s, used_from = %s"
                " WHERE id = %s AND (used IS NULL OR used < %s)",
                (now, address_of(address), key.id, now),
            )

    def get(self, key_id: int) -> ApiKey:
        """Raises: KeyRefused."""
        rows = self._store.rows(f"SELECT {_COLUMNS} {_FROM} WHERE k.id = %s", (key_id,))
        if not rows:
            raise KeyRefused(f"no key has the id {key_id}", fix="`vallum key list` shows them")
        return _key(rows[0])

    def some(self, account_id: int | None = None) -> list[ApiKey]:
        """The keys of an account, or all; the newest first."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} {_FROM} WHERE %s::bigint IS NULL OR k.account_id = %s ORDER BY k.id DESC",
            (account_id, account_id),
        )
        return [_key(row) for row in rows]

    def holds(self, account_id: int, now: datetime) -> bool:
        """Whether an account has a key that is good."""
        return bool(
            self._store.rows(
                "SELECT 1 FROM vallum.api_key WHERE account_id = %s AND revoked IS NULL AND expires > %s"
                " LIMIT 1",
                (account_id, now),
            )
        )

    def revoke(self, key_id: int, why: str, now: datetime) -> bool:
        """End a key at once; whether it was not ended before."""
        rows = self._store.rows(
            "UPDATE vallum.api_key SET revoked = %s, revoked_why = %s WHERE id = %s AND revoked IS NULL"
            " RETURNING id",
            (now, why, key_id),
        )
        return bool(rows)

    def _create(
        self,
        connection: Connection,
        account: Account,
        name: str,
        scope: Scope,
        now: datetime,
        expires: datetime,
        by: str,
    ) -> NewKey:
        if account.kind != "service":
            raise KeyRefused(
                f"`{account.login}` is a person: keys are for service accounts",
                fix="make one with `vallum user create --service`",
            )
        if not account.active:
            raise KeyRefused(f"`{account.login}` is shut", fix="open it first")
        if not name.strip():
            raise KeyRefused("a key needs a name that says what it is for")
        text = new_key()
        row = one(
            connection,
            "INSERT INTO vallum.api_key (account_id, name, prefix, digest, models, operations, addresses,"
            " rate, created, created_by, expires)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s::text[]::cidr[], %s, %s, %s, %s) RETURNING id",
            (
                account.id,
                name.strip(),
                prefix_of(text),
                digest(text),
                list(scope.models),
                sorted(operation.value for operation in scope.operations),
                [str(network) for network in scope.addresses],
                scope.rate,
                now,
                by,
                expires,
            ),
        )
        if row is None:
            raise RuntimeError("INSERT … RETURNING gives a row")
        found = one(connection, f"SELECT {_COLUMNS} {_FROM} WHERE k.id = %s", (row[0],))
        return NewKey(_key(found), text)


def _key(row: Any) -> ApiKey:
    (i, account_id, login, user_id, active, name, prefix, models, operations, addresses, rate) = row[:11]
    created, by, expires, used, used_from, revoked, why = row[11:18]
    return ApiKey(
        id=i,
        account_id=account_id,
        login=login,
        user_id=user_id,
        account_active=active,
        name=name,
        prefix=prefix,
        scope=Scope.parse(models, operations, addresses, rate),
        created=created,
        created_by=by,
        expires=expires,
        used=used,
        used_from=used_from,
        revoked=revoked,
        revoked_why=why,
    )


# The operations a key that reads only has.
READ_ONLY: Final = frozenset({Operation.READ})
