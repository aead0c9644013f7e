"""Tokens by which directories prove who they are: shown once, kept as digests, with an end.

256 random bits need no slow hash; the prefix lets one be found again, also in a leak.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vallum.identity.accounts_port import Store, Transaction
from vallum.identity.sso.store import provider as find_provider
from vallum.kernel import VallumError

__all__ = ["ScimToken", "TokenRefused", "authenticate", "make", "revoke", "tokens"]

MARK: Final = "vscim_"
LONGEST: Final = timedelta(days=365)
_STALE: Final = timedelta(minutes=1)


class TokenRefused(VallumError):
    """A token that cannot be made like that, or is none."""

    code = "scim-token-refused"


@dataclass(frozen=True, slots=True)
class ScimToken:
    """What is known of a token; not itself."""

    id: int
    provider_id: str
    prefix: str
    created: datetime
    expires: datetime
    last_used: datetime | None


def make(tx: Transaction, provider_id: str, now: datetime, *, days: int = 180) -> str:
    """A new token for a directory. Raises: NoSuchProvider, TokenRefused."""
    find_provider(tx, provider_id)
    if not 1 <= days <= LONGEST.days:
        raise TokenRefused(f"a token lives for 1 to {LONGEST.days} days", fix="give --days")
    prefix = MARK + secrets.token_hex(4)
    token = f"{prefix}_{secrets.token_urlsafe(32)}"
    tx.execute(
        "INSERT INTO vallum.scim_token (provider_id, prefix, digest, created, expires)"
        " VALUES (%s, %s, %s, %s, %s)",
        (provider_id, prefix, _digest(token), now, now + timedelta(days=days)),
    )
    return token


def authenticate(store: Store, token: str, now: datetime) -> str | None:
    """Whose token that is; None: nobody's, or it has ended."""
    if not token.startswith(MARK) or len(token) > 200:
        return None
    with store.transaction() as tx:
        row = tx.execute(
            "SELECT id, provider_id, last_used FROM vallum.scim_token WHERE digest = %s AND expires > %s",
            (_digest(token), now),
        ).fetchone()
        if row is None:
            return None
        if row[2] is None or now - row[2] >= _STALE:
            tx.execute("UPDATE vallum.scim_token SET last_used = %s WHERE id = %s", (now, row[0]))
        return str(row[1])


def tokens(tx: Transaction) -> list[ScimToken]:
    """All that have not been revoked."""
    rows = tx.execute(
        "SELECT id, provider_id, prefix, created, expires, last_used FROM vallum.scim_token ORDER BY id"
    ).fetchall()
    return [ScimToken(*row) for row in rows]


def revoke(tx: Transaction, token: str) -> None:
    """End a token, given by its prefix, or pasted whole. Raises: TokenRefused."""
    prefix = "_".join(token.strip().split("_")[:2])
    if not tx.execute("DELETE FROM vallum.scim_token WHERE prefix = %s", (prefix,)).rowcount:
        raise TokenRefused("no token begins like that", fix="`vallum scim tokens` shows those there are")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
