"""Vallum's own accounts as the server asks for them: a password or a key with each call, without a session.

Invariant: what was accepted once is asked about again at every call, by one look at the account: a shut
account or a changed password is refused at the next call, though nothing is hashed again.
Invariant: whoever has a second factor, or must have one, is refused with a password alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from threading import Lock
from typing import Final

from vallum.identity.accounts import Account, login_key
from vallum.identity.authenticator import Client, Refusal, Verdict
from vallum.identity.factors import Need
from vallum.identity.identity import Identity
from vallum.identity.network import address_of, within

__all__ = ["LocalAuthenticator"]

_MOST: Final = 10_000


class LocalAuthenticator:
    """Implements `Authenticator` over an `Identity`."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, str] = OrderedDict()
        self._lock = Lock()

    def password(self, login: str, password: str, client: Client) -> Verdict:
        """Whether this is the password of the user with that login.

        Raises: ConnectionFailed, Busy.
        """
        account = self._known(login, password)
        if account is None:
            checked = self._identity.sign_in.check(login, password, client)
            if checked.account is None:
                return Verdict.refused(checked.refusal or Refusal.WRONG, retry_after=checked.retry_after)
            account = checked.account
            self._keep(account, login, password)
        return self._judge(account)

    def key(self, key: str, client: Client) -> Verdict:
        """Whether this is an API key, and whose.

        Raises: ConnectionFailed.
        """
        now = self._identity.base.now()
        found = self._identity.keys.find(key, now)
        if found is None:
            return Verdict.refused(Refusal.UNKNOWN)
        if not found.account_active or found.user_id is None:
            return Verdict.refused(Refusal.INACTIVE)
        if found.revoked is not None or now >= found.expires:
            return Verdict.refused(Refusal.EXPIRED)
        if found.scope.addresses and not within(address_of(client.address), found.scope.addresses):
            self._identity.base.record("key.refused", found.account_id, client=client, key=found.id)
            return Verdict.refused(Refusal.ADDRESS)
        self._identity.keys.touch(found, client.address, now)
        return Verdict.of(
            found.user_id,
            key_id=found.id,
            key_models=frozenset(found.scope.models),
            key_operations=found.scope.operations,
            key_rate=found.scope.rate,
            until=found.expires,
        )

    def mark(self, user_id: int) -> bytes:
        """A digest of a user's credentials: another one after a change of password, login or activity.

        Raises: ConnectionFailed.
        """
        account = self._identity.base.accounts.by_user(user_id)
        facts = (account.id, account.login, account.password_hash, account.active) if account else None
        return hashlib.sha256(repr(facts).encode()).digest()

    def _judge(self, account: Account) -> Verdict:
        identity = self._identity
        now = identity.base.now()
        stands, _ = identity.sign_in.need(account, now)
        if stands is Need.SHOW:
            return Verdict.refused(Refusal.KEY_NEEDED)
        if stands is Need.ENROL:
            return Verdict.refused(Refusal.FACTOR_NEEDED)
        if identity.passwords.policy.is_expired(account.password_set, now):
            return Verdict.refused(Refusal.EXPIRED)
        if account.user_id is None:
            return Verdict.refused(Refusal.UNKNOWN)
        return Verdict.of(account.user_id)

    def _mark(self, login: str, password: str) -> bytes:
        text = f"{login_key(login)}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)

    def _known(self, login: str, password: str) -> Account | None:
        """The account, where this very password was right before and still is."""
        mark = self._mark(login, password)
        with self._lock:
            kept = self._seen.get(mark)
            if kept is None:
                return None
            self._seen.move_to_end(mark)
        account = self._identity.base.accounts.by_login(login)
        if (
            account is not None
            and account.active
            and account.local_password
            and account.password_hash is not None
            and hmac.compare_digest(account.password_hash, kept)
        ):
            return account
        with self._lock:
            self._seen.pop(mark, None)
        return None

    def _keep(self, account: Account, login: str, password: str) -> None:
        if account.password_hash is None:
            return
        with self._lock:
            self._seen[self._mark(login, password)] = account.password_hash
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)
