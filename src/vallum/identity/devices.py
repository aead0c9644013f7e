"""Devices an account was used on: recognised by a cookie of their own, for months.

A known device keeps its owner in while strangers try the account, and raises no notice; it never replaces
a password or a second factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vallum.identity.authenticator import Client
from vallum.identity.network import address_of
from vallum.identity.store import Connection, Store, one
from vallum.identity.tokens import digest, new_token

__all__ = ["Device", "Devices"]

_AGENT: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as stored."""

    id: int
    user_agent: str
    address: str | None
    created: datetime
    seen: datetime

    def as_dict(self) -> dict[str, Any]:
        """The device for a program."""
        return {
            "id": self.id,
            "user_agent": self.user_agent,
            "address": self.address,
            "created": self.created.isoformat(),
            "seen": self.seen.isoformat(),
        }


class Devices:
    """The devices of a store. `days`: how long one is known since it was used last."""

    def __init__(self, store: Store, days: int) -> None:
        self._store = store
        self._lifetime = timedelta(days=days)

    def known(self, token: str | None, account_id: int | None, now: datetime) -> int | None:
        """The id of the account's device with that cookie; None where it is not one of its own."""
        if not token or account_id is None:
            return None
        rows = self._store.rows(
            "SELECT id FROM vallum.device WHERE digest = %s AND account_id = %s AND seen > %s",
            (digest(token), account_id, now - self._lifetime),
        )
        return rows[0][0] if rows else None

    def remember(
        self, connection: Connection, account_id: int, client: Client, now: datetime
    ) -> tuple[int, str]:
        """A new device's id and its cookie."""
        token = new_token()
        row = one(
            connection,
            "INSERT INTO vallum.device (account_id, digest, user_agent, address, created, seen)"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
            (account_id, digest(token), client.user_agent[:_AGENT], address_of(client.address), now, now),
        )
        if row is None:
            raise RuntimeError("INSERT … RETURNING gives a row")
        return row[0], token

    def seen(self, connection: Connection, device_id: int, client: Client, now: datetime) -> None:
        """It was used again."""
        connection.execute(
            b"UPDATE vallum.device SET seen = %s, address = %s, user_agent = %s WHERE id = %s",
            (now, address_of(client.address), client.user_agent[:_AGENT], device_id),
        )

    def of(self, account_id: int, now: datetime) -> list[Device]:
        """An account's devices, the one used last first."""
        rows = self._store.rows(
            "SELECT id, user_agent, host(address), created, seen FROM vallum.device"
            " WHERE account_id = %s AND seen > %s ORDER BY seen DESC, id DESC",
            (account_id, now - self._lifetime),
        )
        return [
            Device(id=i, user_agent=agent, address=address, created=created, seen=seen)
            for i, agent, address, created, seen in rows
        ]

    def sweep(self, now: datetime) -> int:
        """Drop devices that are not known any more, and say how many."""
        statement = (
            "WITH gone AS (DELETE FROM vallum.device WHERE seen < %s RETURNING 1) SELECT count(*) FROM gone"
        )
        return int(self._store.rows(statement, (now - self._lifetime,))[0][0])

    def forget(self, account_id: int, device_id: int) -> bool:
        """Know a device no longer, and end the sessions on it."""
        with self._store.transaction() as connection:
            connection.execute(
                b"DELETE FROM vallum.session WHERE account_id = %s AND device_id = %s",
                (account_id, device_id),
            )
            done = connection.execute(
                b"DELETE FROM vallum.device WHERE account_id = %s AND id = %s", (account_id, device_id)
            )
            return done.rowcount == 1
