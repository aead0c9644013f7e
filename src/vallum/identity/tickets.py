"""Steps that are half done: a second factor awaited, a reset link, an invitation, a challenge.

A ticket is a token somebody was given, for one kind of step, until it expires, and once: whoever takes it
removes it by the same statement, so that of two who come together one gets it.
Invariant: a ticket opens no session by itself, and is good for no other kind of step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from psycopg.types.json import Jsonb

from vallum.identity.errors import LinkRefused
from vallum.identity.store import Connection, Store
from vallum.identity.tokens import digest, new_token

__all__ = ["Ticket", "TicketKind", "Tickets"]


class TicketKind(StrEnum):
    """What a ticket is for."""

    FACTOR = "factor"  # the password was right, a second factor is awaited
    ENROL = "enrol"  # the password was right, a second factor must be enrolled
    RENEW = "renew"  # the password was right and has expired
    RESET = "reset"  # a link in a mail: choose a new password
    INVITE = "invite"  # a link: choose the first password
    FIRST = "first"  # printed at the first start: become the first administrator
    PASSKEY = "passkey"  # a challenge for any passkey
    PASSKEY_NEW = "passkey-new"  # a challenge for a new passkey
    TOTP_NEW = "totp-new"  # a secret that is not confirmed yet


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket holds."""

    kind: TicketKind
    account_id: int | None
    data: Mapping[str, Any]
    created: datetime
    expires: datetime


_REFUSED: Final = "this step or link is unknown, was used already, or is too old"
_COLUMNS: Final = "kind, account_id, data, created, expires"


class Tickets:
    """The tickets of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def issue(
        self,
        kind: TicketKind,
        account_id: int | None,
        lifetime: timedelta,
        now: datetime,
        data: Mapping[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> str:
        """A new ticket's token, to be given to whoever takes the step."""
        token = new_token()
        statement = (
            "INSERT INTO vallum.ticket (digest, kind, account_id, data, created, expires)"
            " VALUES (%s, %s, %s, %s, %s, %s)"
        )
        params = (digest(token), kind.value, account_id, Jsonb(dict(data or {})), now, now + lifetime)
        if connection is None:
            self._store.rows(statement, params)
        else:
            connection.execute(statement.encode(), params)
        return token

    def peek(self, kind: TicketKind, token: str, now: datetime) -> Ticket:
        """What a ticket holds; it stays good.

        Raises: LinkRefused.
        """
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM vallum.ticket WHERE digest = %s AND kind = %s AND expires > %s",
            (digest(token), kind.value, now),
        )
        return _ticket(rows)

    def take(
        self, kind: TicketKind, token: str, now: datetime, connection: Connection | None = None
    ) -> Ticket:
        """Use a ticket up. Within the caller's transaction where one is given.

        Raises: LinkRefused.
        """
        statement = (
            f"DELETE FROM vallum.ticket WHERE digest = %s AND kind = %s AND expires > %s RETURNING {_COLUMNS}"
        )
        params = (digest(token), kind.value, now)
        if connection is None:
            return _ticket(self._store.rows(statement, params))
        return _ticket(connection.execute(statement.encode(), params).fetchall())

    def sweep(self, now: datetime) -> int:
        """Drop what has expired, and say how many."""
        statement = (
            "WITH gone AS (DELETE FROM vallum.ticket WHERE expires < %s RETURNING 1)"
            " SELECT count(*) FROM gone"
        )
        return int(self._store.rows(statement, (now,))[0][0])


def _ticket(rows: list[Any]) -> Ticket:
    if not rows:
        raise LinkRefused(_REFUSED, fix="begin again, or ask for a new link")
    kind, account_id, data, created, expires = rows[0]
    return Ticket(TicketKind(kind), account_id, data, created, expires)
