"""Odoo's own users sign in with Odoo's passwords and API keys, which are only read.

Limits: hashes of Odoo's default scheme (`pbkdf2_sha512`); a plain text password, which very old
databases may hold until its user signs in, is refused. Users of Odoo's LDAP or OAuth have no password
here. Where a user has a second factor, only a key is taken, as in Odoo.
Invariant: an unknown name, a user without a password and a wrong password take the same work.
Source: Odoo's `res.users._check_credentials`, `res.users.apikeys._check_credentials`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any, Final

from vallum.identity.authenticator import Client, Refusal, Verdict
from vallum.identity.passwords.pbkdf2 import ODOO_ROUNDS, is_pbkdf2, pbkdf2_matches, pbkdf2_spend
from vallum.kernel import Clock, SystemClock
from vallum.postgres import Database

__all__ = ["OdooAuthenticator", "matches"]

_LONGEST: Final = 4096
_KEY: Final = re.compile(r"[0-9a-f]{40}")
_INDEX_SIZE: Final = 8
_REMEMBER: Final = 300.0


class OdooAuthenticator:
    """Implements `Authenticator` over an Odoo database."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._columns: dict[str, frozenset[str]] = {}

    def password(self, login: str, password: str, client: Client) -> Verdict:
        """Whether this is the password of the user with that login.

        Raises: ConnectionFailed.
        """
        # No text of PostgreSQL holds a NUL: nobody is called so.
        rows = [] if "\0" in login else self._database.rows(self._statement(), (login,))
        user_id, stored, active, second_factor = rows[0] if len(rows) == 1 else (None, None, False, False)
        right = _matches_or_works(password, stored)
        if user_id is None or stored is None:
            return Verdict.refused(Refusal.UNKNOWN)
        if not right:
            return Verdict.refused(Refusal.WRONG)
        if not active:
            return Verdict.refused(Refusal.INACTIVE)
        if second_factor:
            return Verdict.refused(Refusal.KEY_NEEDED)
        return Verdict.of(user_id, remember=_REMEMBER)

    def key(self, key: str, client: Client) -> Verdict:
        """Whether this is an API key, and whose. A key for something else than RPC is none.

        Raises: ConnectionFailed.
        """
        if not _KEY.fullmatch(key) or "key" not in self._of("res_users_apikeys"):
            return Verdict.refused(Refusal.UNKNOWN)
        expiry = "k.expiration_date" if "expiration_date" in self._of("res_users_apikeys") else "NULL"
        rows = self._database.rows(
            f"SELECT k.id, k.user_id, k.key, {expiry}, u.active"
            " FROM res_users_apikeys k JOIN res_users u ON u.id = k.user_id"
            " WHERE k.index = %s AND (k.scope IS NULL OR k.scope = 'rpc') ORDER BY k.id",
            (key[:_INDEX_SIZE],),
        )
        found = [row for row in rows if matches(key, row[2])]
        if not found:
            return Verdict.refused(Refusal.UNKNOWN)
        key_id, user_id, _, until, active = found[0]
        until = until and until.replace(tzinfo=UTC)
        if until is not None and until <= self._clock.now():
            return Verdict.refused(Refusal.EXPIRED)
        if not active:
            return Verdict.refused(Refusal.INACTIVE)
        return Verdict.of(user_id, key_id=key_id, until=_moment(until), remember=_REMEMBER)

    def mark(self, user_id: int) -> bytes:
        """A digest of a user's credentials: of login, password, activity and second factor.

        Raises: ConnectionFailed.
        """
        statement = f"SELECT u.login, u.password, u.active, {self._factor()} FROM res_users u WHERE u.id = %s"
        return hashlib.sha256(repr(self._database.rows(statement, (user_id,))).encode()).digest()

    def _statement(self) -> str:
        return f"SELECT u.id, u.password, u.active, {self._factor()} FROM res_users u WHERE u.login = %s"

    def _factor(self) -> str:
        """Whether there is a second factor: the column comes with Odoo's module for them."""
        return "u.totp_secret IS NOT NULL" if "totp_secret" in self._of("res_users") else "false"

    def _of(self, table: str) -> frozenset[str]:
        """The columns of a table; those there are stay for as long as this object."""
        known = self._columns.get(table)
        if not known:
            rows = self._database.rows(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s)"
                " AND attnum > 0 AND NOT attisdropped",
                (table,),
            )
            known = self._columns[table] = frozenset(name for (name,) in rows)
        return known


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _matches_or_works(secret: str, stored: Any) -> bool:
    """Compare; where there is nothing to compare with, do the work all the same and say no."""
    if isinstance(stored, str) and is_pbkdf2(stored):
        return matches(secret, stored)
    pbkdf2_spend(secret[:_LONGEST], ODOO_ROUNDS)
    return False


def matches(secret: str, stored: Any) -> bool:
    """Whether a secret has the stored hash. An empty or a giant secret has none."""
    if not isinstance(stored, str) or not secret or len(secret) > _LONGEST or "\0" in secret:
        return False
    return pbkdf2_matches(stored, secret)
