"""Sessions of clients that sign in by `/web/session/authenticate`, in Vallum's own tables.

Kept is a digest of the token, so that whoever reads the table cannot be anybody. A session ends when
it is closed, unused or old, and when its user's credentials change (see `mark`).
Who may see and end one beside its program: `vallum.identity.programs`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Final

from vallum.identity import Client
from vallum.identity.network import address_of
from vallum.identity.programs import AGENT, IDLE, LONGEST
from vallum.kernel import Clock
from vallum.postgres import Database

__all__ = ["Sessions"]

_TOUCH: Final = timedelta(minutes=5)
_OPEN: Final = (
    "INSERT INTO vallum.rpc_session"
    " (token, user_id, mark, created, used, address, user_agent, account_id)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s,"
    " (SELECT id FROM vallum.account WHERE user_id = %s AND kind = 'person'))"
)


class Sessions:
    """Opens, finds and closes sessions. `mark`: a digest of a user's credentials as they are now."""

    def __init__(self, database: Database, clock: Clock, mark: Callable[[int], bytes]) -> None:
        self._database = database
        self._clock = clock
        self._mark = mark

    def open(self, user_id: int, client: Client) -> str:
        """A new session's token, of the account that is tied to the user. Those that are over are removed.

        Raises: ConnectionFailed.
        """
        now = self._clock.now()
        self._database.rows(
            "DELETE FROM vallum.rpc_session WHERE used < %s OR created < %s", (now - IDLE, now - LONGEST)
        )
        token = secrets.token_urlsafe(32)
        row = (_digest(token), user_id, self._mark(user_id), now, now)
        self._database.rows(_OPEN, (*row, address_of(client.address), client.user_agent[:AGENT], user_id))
        return token

    def user_of(self, token: str) -> int | None:
        """Whose session it is; None where it is over, or never was.

        Raises: ConnectionFailed.
        """
        now, kept_under = self._clock.now(), _digest(token)
        rows = self._database.rows(
            "SELECT user_id, mark, used FROM vallum.rpc_session"
            " WHERE token = %s AND used >= %s AND created >= %s",
            (kept_under, now - IDLE, now - LONGEST),
        )
        if not rows:
            return None
        user_id, mark, used = rows[0]
        if not hmac.compare_digest(mark, self._mark(user_id)):
            self.close(token)
            return None
        if now - used > _TOUCH:
            self._database.rows("UPDATE vallum.rpc_session SET used = %s WHERE token = %s", (now, kept_under))
        return int(user_id)

    def ready(self) -> None:
        """Raises ConnectionFailed where the store does not answer."""
        self._database.rows("SELECT 1")

    def close(self, token: str) -> None:
        """End a session.

        Raises: ConnectionFailed.
        """
        self._database.rows("DELETE FROM vallum.rpc_session WHERE token = %s", (_digest(token),))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
