"""Everything about accounts in one hand, and who may do what to them.

Acts of administration take `by`: the account that acts, which must be an administrator, or None for
whoever runs a command on the server, who holds the database and the secret anyway.
Trust: whoever holds an `Identity` can let anyone in; whoever holds the store alone can end everything and
sign in as nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vallum.identity.accounts import Account, Kind
from vallum.identity.authenticator import Client
from vallum.identity.base import Base
from vallum.identity.confirming import Confirming
from vallum.identity.elevation import Elevations
from vallum.identity.errors import AccountTaken, NotPermitted
from vallum.identity.factors import Factors
from vallum.identity.keys.keys import ApiKey, Keys, NewKey
from vallum.identity.keys.scope import Scope
from vallum.identity.passwords import Hasher, Passwords
from vallum.identity.passwords.engine import Engine
from vallum.identity.passwords.pbkdf2 import is_pbkdf2
from vallum.identity.sign_in import SignIn
from vallum.identity.tickets import TicketKind
from vallum.kernel import SettingsError, VallumError

__all__ = ["Identity", "Swept"]

_FIRST: Final = timedelta(hours=24)
_SERVER: Final = "server"


@dataclass(frozen=True, slots=True)
class Swept:
    """How much was dropped that nobody needs any more."""

    sessions: int
    tickets: int
    attempts: int
    memberships: int
    devices: int
    mails: int


class Identity:
    """Accounts, and all that is done with them. Safe to be shared by threads; close it."""

    def __init__(self, base: Base, engine: Engine | None = None) -> None:
        self.base = base
        self.hasher = Hasher(base.keyring, base.settings.hashing, engine)
        self.passwords = Passwords(base, self.hasher)
        self.factors = Factors(base)
        self.keys = Keys(base.store, base.settings.keys)
        self.elevations = Elevations(base)
        self.sign_in = SignIn(base, self.hasher, self.passwords, self.factors, self.keys)
        self.confirming = Confirming(base, self.sign_in, self.factors)

    def close(self) -> None:
        """End the threads that hash. The store is the caller's."""
        self.hasher.close()

    # Who may

    def is_administrator(self, account: Account) -> bool:
        """Whether an account is one of the administrators, at this moment."""
        return self.base.people.is_in(account, self.base.settings.administrators, self.base.now())

    def may_manage_keys(self, account: Account) -> bool:
        """Whether an account may make and revoke keys: an administrator, or in a group that may."""
        granted = (*self.base.settings.administrators, *self.base.settings.keys.managers)
        return self.base.people.is_in(account, granted, self.base.now())

    def require_administrator(self, by: Account | None) -> str:
        """Who acts, for the record.

        Raises: NotPermitted.
        """
        if by is None:
            return _SERVER
        if not self.is_administrator(by):
            raise NotPermitted("this is for administrators", where=by.login)
        return by.login

    # Accounts

    def create_account(
        self,
        login: str,
        *,
        by: Account | None,
        name: str | None = None,
        email: str | None = None,
        user_id: int | None = None,
        kind: Kind = "person",
        break_glass: bool = False,
    ) -> Account:
        """A new account. A person with an address is sent an invitation.

        Raises: NotPermitted, AccountTaken, SettingsError.
        """
        actor = self.require_administrator(by)
        account = self.base.accounts.create(
            login,
            self.base.now(),
            name=name,
            email=email,
            user_id=user_id,
            kind=kind,
            break_glass=break_glass,
        )
        self.base.record("account.created", account, by=actor, account_kind=kind)
        if account.email and kind == "person":
            self.passwords.send_link(account, by=actor)
        return account

    def change_account(
        self,
        account: Account,
        *,
        by: Account | None,
        name: str | None = None,
        email: str | None = None,
        user_id: int | None = None,
    ) -> Account:
        """Change what is given. The holder is told at the old address too where the address changes.

        Raises: NotPermitted, AccountTaken, SettingsError.
        """
        actor = self.require_administrator(by)
        changed = self.base.accounts.change(account.id, name=name, email=email, user_id=user_id)
        if changed.email != account.email:
            with self.base.store.transaction() as connection:
                # A link that is on its way to the old address is nobody's any more.
                connection.execute(
                    b"DELETE FROM vallum.ticket WHERE account_id = %s AND kind IN ('reset', 'invite')",
                    (account.id,),
                )
                for known in (account, changed):
                    notice = self.base.notices.changed(known, "The mail address was changed", self.base.now())
                    self.base.mail(connection, "address-changed", notice)
        self.base.record("account.changed", changed, by=actor)
        return changed

    def import_person(self, line: Mapping[str, str]) -> str | None:
        """Take over one person from an Odoo (id, login, name, email, password), or say why not."""
        login, kept = line.get("login") or "", line.get("password") or ""
        user_id = line.get("id") or ""
        if user_id and not user_id.isdecimal():
            return "the id is no number"
        if kept and not is_pbkdf2(kept):
            return "the password is no hash of Odoo's"
        try:
            account = self.base.accounts.create(
                login,
                self.base.now(),
                name=line.get("name") or None,
                email=line.get("email") or None,
                user_id=int(user_id) if user_id else None,
                source="import",
            )
            if kept:
                self.passwords.import_hash(account, kept)
        except VallumError as error:
            return error.what
        self.base.record("account.created", account, by=_SERVER, account_kind="person")
        return None

    def deactivate(self, account: Account, *, by: Account | None) -> int:
        """Shut an account and all it can be used by, at once; how many sessions ended.

        Raises: NotPermitted.
        """
        actor = self.require_administrator(by)
        if by is not None and by.id == account.id:
            raise NotPermitted("nobody shuts the account they act with", fix="ask another administrator")
        ended = self.base.accounts.deactivate(account.id, self.base.now())
        self.base.record("account.deactivated", account, by=actor, sessions=ended)
        return ended

    def activate(self, account: Account, *, by: Account | None) -> Account:
        """Open an account again. What was ended stays so.

        Raises: NotPermitted.
        """
        actor = self.require_administrator(by)
        opened = self.base.accounts.activate(account.id)
        self.base.record("account.activated", opened, by=actor)
        return opened

    def end_sessions(self, account: Account | None, *, by: Account | None) -> int:
        """End the sessions of an account, or of everyone (ASVS 7.4.5); how many.

        Raises: NotPermitted.
        """
        actor = self.require_administrator(by)
        if account is None:
            ended = self.base.sessions.end_everyones()
        else:
            ended = self.base.sessions.end_all(account.id)
        self.base.record("session.all-ended", account, by=actor, sessions=ended)
        return ended

    def end_session(self, account: Account, session_id: int, *, by: Account | None) -> bool:
        """End one of an account's sessions; whether it was there.

        Raises: NotPermitted.
        """
        actor = self.require_administrator(by)
        ended = self.base.sessions.end_one(account.id, session_id)
        if ended:
            self.base.record("session.ended", account, by=actor)
        return ended

    def start_reset(self, account: Account, *, by: Account | None) -> None:
        """Send the account's holder a link to choose a password, and end all sessions.

        Raises: NotPermitted, SettingsError.
        """
        actor = self.require_administrator(by)
        # First what ends, then the link: ending takes half-done steps along.
        self.base.sessions.end_all(account.id)
        self.passwords.send_link(account, by=actor)

    def remove_factor(self, account: Account, kind: str, number: int, *, by: Account | None) -> bool:
        """Take a lost factor away from an account; whether there was one. Its sessions end.

        Raises: NotPermitted, FactorRefused.
        """
        actor = self.require_administrator(by)
        return self.factors.remove(account, kind, number, by=actor)

    # Groups

    def give_group(
        self, account: Account, group: str, *, by: Account | None, expires: datetime | None = None
    ) -> None:
        """Make an account a member of a group.

        Raises: NotPermitted, SettingsError (an end that has passed).
        """
        actor, now = self.require_administrator(by), self.base.now()
        if expires is not None and expires <= now:
            raise SettingsError("this end has passed already", where=expires.isoformat())
        with self.base.store.transaction() as connection:
            self.base.memberships.give(connection, account.id, group, now, by=actor, expires=expires)
        self.base.record("group.given", account, by=actor, group=group)

    def take_group(self, account: Account, group: str, *, by: Account | None) -> bool:
        """Make an account a member no longer; whether it was one by hand.

        Raises: NotPermitted.
        """
        actor = self.require_administrator(by)
        with self.base.store.transaction() as connection:
            done = self.base.memberships.take(connection, account.id, group)
        if done:
            self.base.record("group.taken", account, by=actor, group=group)
        return done

    # Keys

    def make_key(
        self,
        account: Account,
        name: str,
        scope: Scope,
        *,
        days: int,
        by: Account | None,
        client: Client | None = None,
    ) -> NewKey:
        """A new key of a service account. Its text is shown now and never again.

        Raises: NotPermitted, KeyRefused.
        """
        actor = self._require_keys(by)
        made = self.keys.create(account, name, scope, self.base.now(), days=days, by=actor)
        self._tell_key("key.made", made.key, actor, client)
        return made

    def rotate_key(
        self, key: ApiKey, *, days: int, by: Account | None, client: Client | None = None
    ) -> NewKey:
        """A key with the same scope in place of another, which ends after the overlap.

        Raises: NotPermitted, KeyRefused.
        """
        actor = self._require_keys(by)
        account = self.base.accounts.get(key.account_id)
        made = self.keys.rotate(key, account, self.base.now(), days=days, by=actor)
        self._tell_key("key.rotated", made.key, actor, client)
        return made

    def revoke_key(self, key: ApiKey, why: str, *, by: Account | None, client: Client | None = None) -> bool:
        """End a key at once; whether it was good until now.

        Raises: NotPermitted.
        """
        actor = self._require_keys(by)
        done = self.keys.revoke(key.id, why or "revoked", self.base.now())
        if done:
            self._tell_key("key.revoked", key, actor, client)
        return done

    def revoke_leaked(self, text: str, client: Client | None = None) -> ApiKey | None:
        """End a key that somebody has found: whoever has its text may end it. None: it is no key of ours."""
        key = self.keys.find(text.strip(), self.base.now())
        if key is not None and self.keys.revoke(key.id, "leaked", self.base.now()):
            self._tell_key("key.leaked", key, "finder", client)
        return key

    def _require_keys(self, by: Account | None) -> str:
        if by is None:
            return _SERVER
        if not self.may_manage_keys(by):
            raise NotPermitted(
                "keys are made by administrators, or by those in a group that may", where=by.login
            )
        return by.login

    def _tell_key(self, kind: str, key: ApiKey, by: str, client: Client | None) -> None:
        self.base.record(
            kind, key.account_id, client=client, by=by, key=key.id, prefix=key.prefix, name=key.name
        )

    # The installation

    def first_link(self, *, login: str = "admin", user_id: int | None = None) -> str | None:
        """A link by which the first administrator chooses a password; None where one has done so.

        Printed by the server when it starts. A link made before is worth nothing any more.
        """
        base, now = self.base, self.base.now()
        account = base.accounts.by_login(login)
        if account is None:
            if not base.accounts.is_empty():
                return None
            try:
                account = base.accounts.create(login, now, user_id=user_id, source="first")
            except AccountTaken:
                account = base.accounts.find(login)
        if account.source != "first" or account.password_hash is not None:
            return None
        with base.store.transaction() as connection:
            connection.execute(
                b"DELETE FROM vallum.ticket WHERE account_id = %s AND kind = %s",
                (account.id, TicketKind.FIRST.value),
            )
            base.memberships.give(connection, account.id, base.settings.administrators[0], now, by=_SERVER)
            token = base.tickets.issue(TicketKind.FIRST, account.id, _FIRST, now, connection=connection)
        return base.notices.link("account/invitation", token)

    def sweep(self) -> Swept:
        """Drop what has expired. To be called every few minutes by one process."""
        base, now = self.base, self.base.now()
        return Swept(
            sessions=base.sessions.sweep(now),
            tickets=base.tickets.sweep(now),
            attempts=base.attempts.sweep(now),
            memberships=base.memberships.sweep(now),
            devices=base.devices.sweep(now),
            mails=base.outbox.sweep(now),
        )
