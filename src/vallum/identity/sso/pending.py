"""Sign-ins under way: bound to one browser, for one provider, used once, soon over.

The browser holds a secret in a cookie; the handle (OAuth's `state`, SAML's RelayState) travels through the
provider. Nonce and PKCE verifier follow from both, so that whoever reads the table learns neither.
Invariant: taking a sign-in and burning it is one statement; of two that come with the same handle, one fails.
Invariant: the caller commits after taking, before anything else can fail.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vallum.identity.accounts_port import Store, Transaction
from vallum.identity.sso.errors import SignInRefused
from vallum.identity.sso.hints import sweep_hints

__all__ = [
    "LIFETIME",
    "Pending",
    "Started",
    "burn",
    "burn_expired",
    "derive",
    "local_path",
    "put",
    "start",
    "take",
]

LIFETIME: Final = timedelta(minutes=10)
_TOKEN: Final = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")
_PATH: Final = re.compile(r"\A/(?![/\\])[^\\\x00-\x20\x7f]*\Z")


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in under way. `account_id`: who wants to link, or to prove to be there still; `session_id`: in
    which session that is; `asked`: when it was begun.
    """

    provider_id: str
    return_to: str
    request: str | None = None
    max_age: int | None = None
    account_id: int | None = None
    session_id: int | None = None
    asked: datetime | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The two secrets of a sign-in: `handle` goes through the provider, `browser` stays in the cookie."""

    handle: str
    browser: str


def start(browser: str | None) -> Started:
    """New secrets; a browser that has a cookie of the right form keeps it, so that two tabs get along."""
    keep = browser is not None and _TOKEN.match(browser)
    return Started(secrets.token_urlsafe(32), browser if keep and browser else secrets.token_urlsafe(32))


def derive(started: Started, label: str) -> str:
    """A value only this browser and this sign-in have: 43 characters of base64url."""
    mac = hmac.new(started.browser.encode(), f"{label}:{started.handle}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


def local_path(path: str | None) -> str:
    """Where to go after signing in: a path on this server, else the front page.

    >>> [local_path(p) for p in ("/leads?x=1", "//evil.test", "/\\\\evil.test", "https://a.test", None)]
    ['/leads?x=1', '/', '/', '/', '/']
    """
    return path if path is not None and len(path) <= 2048 and _PATH.match(path) else "/"


def put(tx: Transaction, started: Started, pending: Pending, now: datetime) -> None:
    """Remember a sign-in."""
    tx.execute(
        "INSERT INTO vallum.sso_pending"
        " (handle, provider_id, browser, request, return_to, max_age, account_id, session_id, expires)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            _hash(started.handle),
            pending.provider_id,
            _hash(started.browser),
            pending.request,
            pending.return_to,
            pending.max_age,
            pending.account_id,
            pending.session_id,
            now + LIFETIME,
        ),
    )


def take(
    tx: Transaction, handle: str | None, browser: str | None, provider_id: str, now: datetime
) -> Pending:
    """The sign-in of this handle, which is over thereby. Raises: SignInRefused, after which to commit."""
    row = tx.execute(
        "DELETE FROM vallum.sso_pending WHERE handle = %s"
        " RETURNING provider_id, browser, request, return_to, max_age, account_id, session_id, expires",
        (_hash(handle or ""),),
    ).fetchone()
    if row is None:
        raise SignInRefused(
            "this sign-in is unknown, or was completed already", reason="state", where=provider_id
        )
    known, bound, request, return_to, max_age, account_id, session_id, expires = row
    if not hmac.compare_digest(bytes(bound), _hash(browser or "")):
        raise SignInRefused(
            "this sign-in was begun in another browser",
            reason="browser",
            where=provider_id,
            fix="start again, in one browser, with cookies allowed",
        )
    if known != provider_id:
        raise SignInRefused(
            "the answer came from another provider than asked", reason="mix-up", where=provider_id
        )
    if expires <= now:
        raise SignInRefused("this sign-in took too long", reason="expired", where=provider_id)
    return Pending(known, return_to, request, max_age, account_id, session_id, expires - LIFETIME)


def burn(store: Store, handle: str | None, browser: str | None, provider_id: str, now: datetime) -> Pending:
    """Take a sign-in in a transaction of its own: whatever comes after, it is over. Raises: SignInRefused."""
    refused: SignInRefused
    with store.transaction() as tx:
        try:
            return take(tx, handle, browser, provider_id, now)
        except SignInRefused as error:
            # Burned all the same: the transaction is to be committed.
            refused = error
    raise refused


def burn_expired(tx: Transaction, now: datetime) -> int:
    """Forget what is over; how many rows that were."""
    done = sweep_hints(tx, now)
    done += tx.execute("DELETE FROM vallum.sso_pending WHERE expires <= %s", (now,)).rowcount
    return done + tx.execute("DELETE FROM vallum.sso_seen WHERE expires <= %s", (now,)).rowcount


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
