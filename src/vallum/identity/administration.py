"""Administration of accounts: made, changed, shut and opened, their sessions, links, factors and groups.

Invariant: every act is by somebody who may, and is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from vallum.identity.accounts import Account, Kind
from vallum.identity.acting import SERVER, Acting
from vallum.identity.errors import NotPermitted
from vallum.identity.factors import Factors
from vallum.identity.passwords import Passwords
from vallum.identity.passwords.pbkdf2 import is_pbkdf2
from vallum.kernel import SettingsError, VallumError

__all__ = ["AccountAdministration"]


class AccountAdministration(Acting):
    """What administrators do to accounts."""

    passwords: Passwords
    factors: Factors

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
                self.base.address_changed(connection, account, changed)
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
        self.base.record("account.created", account, by=SERVER, account_kind="person")
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

    def end_session(
        self, account: Account, session_id: int, *, by: Account | None, kind: str = "browser"
    ) -> bool:
        """End one of an account's sessions, of a browser or of a program; whether it was there.

        Raises: NotPermitted.
        """
        actor = self.require_administrator(by)
        ended = self.base.end_session(account.id, kind, session_id)
        if ended:
            self.base.record("session.ended", account, by=actor, session_kind=kind)
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
