"""Accounts as the server asks for them: a password or a key with each call, without a session.

A password that was accepted is not hashed again with the next call; that it still holds is looked up at
every call: a shut account, a changed password or a new second factor is refused at the next one. Whether
groups ask for a second factor is looked at once a minute.
Invariant: whoever has a second factor, or must have one, is refused with a password alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from vallum.identity.accounts import Account, login_key
from vallum.identity.authenticator import Client, Refusal, Verdict
from vallum.identity.factors import Need
from vallum.identity.factors.store import has_factor
from vallum.identity.identity import Identity
from vallum.identity.network import address_of, within

__all__ = ["LocalAuthenticator"]

_MOST: Final = 10_000
_REMEMBERED: Final = timedelta(minutes=1)
_STANDING: Final = (
    "SELECT a.active AND a.local_password AND a.kind = 'person', a.password_hash,"
    " EXISTS (SELECT 1 FROM vallum.totp f WHERE f.account_id = a.id),"
    " EXISTS (SELECT 1 FROM vallum.passkey f WHERE f.account_id = a.id), a.user_id"
    " FROM vallum.account a WHERE a.login_key = %s"
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A password that was accepted: how everything stood then, and until when that is enough to know."""

    verdict: Verdict
    standing: tuple[object, ...]
    until: datetime


class LocalAuthenticator:
    """Implements `Authenticator` over an `Identity`."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        # The names they were accepted with, by user and password.
        self._names: OrderedDict[bytes, str] = OrderedDict()
        self._lock = Lock()

    def password(self, login: str, password: str, client: Client) -> Verdict:
        """Whether this is the password of the user with that login.

        Raises: ConnectionFailed, Busy.
        """
        mark = self._of(login_key(login), password)
        known = self._recall(mark, login)
        if known is not None:
            return known
        # Before the password is looked at: what changes meanwhile is then another standing than the one kept.
        standing = self._standing(login)
        checked = self._identity.sign_in.check(login, password, client)
        if checked.account is None:
            return Verdict.refused(checked.refusal or Refusal.WRONG, retry_after=checked.retry_after)
        verdict = self._judge(checked.account)
        if verdict.user_id is not None:
            if checked.account.break_glass:
                with self._identity.base.store.transaction() as connection:
                    self._identity.base.alarm(connection, checked.account, client, methods="pwd")
            self._keep(mark, verdict, standing)
            self._name(verdict.user_id, password, login)
        return verdict

    def again(self, user_id: int, password: str) -> Verdict | None:
        """The verdict on a password that was accepted for that user, where it still holds.

        None: ask `password`, with the name as it is now; for whoever has a user's id, and looks for the name.

        Raises: ConnectionFailed.
        """
        with self._lock:
            login = self._names.get(self._of(user_id, password))
        found = None if login is None else self._recall(self._of(login_key(login), password), login)
        return found if found is not None and found.user_id == user_id else None

    def key(self, key: str, client: Client) -> Verdict:
        """Whether this is an API key, and whose.

        Raises: ConnectionFailed.
        """
        now = self._identity.base.now()
        found = self._identity.keys.find(key, now)
        if found is None:
            return self._foreign_key(key, client)
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
        """A digest of a user's credentials: of login, password, activity, and having a second factor.

        Raises: ConnectionFailed.
        """
        account = self._identity.base.accounts.by_user(user_id)
        if account is None:
            return hashlib.sha256(b"None").digest()
        factor = has_factor(self._identity.base.store, account.id)
        facts = (account.id, account.login, account.password_hash, account.active, factor)
        return hashlib.sha256(repr(facts).encode()).digest()

    def _foreign_key(self, key: str, client: Client) -> Verdict:
        """What an Odoo says of a key of its own: not for users whose account here is shut."""
        base = self._identity.base
        verdict = base.foreign.key(key, client) if base.foreign else Verdict.refused(Refusal.UNKNOWN)
        if verdict.user_id is not None:
            account = base.accounts.by_user(verdict.user_id)
            if account is not None and not account.active:
                return Verdict.refused(Refusal.INACTIVE)
        return verdict

    def _judge(self, account: Account) -> Verdict:
        identity = self._identity
        now = identity.base.now()
        stands = identity.sign_in.standing(account, now)
        if stands is Need.SHOW:
            return Verdict.refused(Refusal.KEY_NEEDED)
        if stands is Need.ENROL:
            return Verdict.refused(Refusal.FACTOR_NEEDED)
        if identity.passwords.policy.is_expired(account.password_set, now):
            return Verdict.refused(Refusal.EXPIRED)
        if account.user_id is None:
            return Verdict.refused(Refusal.UNKNOWN)
        return Verdict.of(account.user_id)

    # What was accepted

    def _of(self, *parts: object) -> bytes:
        return hmac.digest(self._key, repr(parts).encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _standing(self, login: str) -> tuple[object, ...]:
        """What must not have changed: one look at the account, one at an Odoo's user, whoever is named."""
        base = self._identity.base
        rows = base.store.rows(_STANDING, (login_key(login),))
        active, *facts, user_id = rows[0] if rows else (False, 0)
        theirs = base.foreign.mark(user_id or 0) if base.foreign is not None else b""
        return (active, *facts, user_id, theirs)

    def _recall(self, mark: bytes, login: str) -> Verdict | None:
        with self._lock:
            kept = self._seen.get(mark)
        if kept is None or kept.verdict.user_id is None or self._identity.base.now() >= kept.until:
            return None
        if self._standing(login) == kept.standing:
            return kept.verdict
        with self._lock:
            self._seen.pop(mark, None)
        return None

    def _keep(self, mark: bytes, verdict: Verdict, standing: tuple[object, ...]) -> None:
        if standing[0] is not True:
            return
        with self._lock:
            self._seen[mark] = _Seen(verdict, standing, self._identity.base.now() + _REMEMBERED)
            self._seen.move_to_end(mark)
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)

    def _name(self, user_id: int, password: str, login: str) -> None:
        mark = self._of(user_id, password)
        with self._lock:
            self._names[mark] = login
            self._names.move_to_end(mark)
            if len(self._names) > _MOST:
                self._names.popitem(last=False)
