"""Accounts as directories and providers see them: `accounts_port.Accounts`, over Vallum's own tables.

Everything runs inside the caller's transaction. Events are told within it, so that one which cannot be
recorded undoes what it was about.
Invariant: a directory ties a new account to a user of the application only where the settings let it, and
never to the superuser or an administrator: who may say `admin` elsewhere is not thereby one here.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

from vallum.identity.account import COLUMNS, account_of, checked_email, checked_login
from vallum.identity.account import Account as Whole
from vallum.identity.accounts import ADMINISTRATOR, login_key
from vallum.identity.accounts_port import Account, Person, Transaction
from vallum.identity.base import Base
from vallum.identity.errors import AccountTaken, UnknownAccount
from vallum.policy import SUPERUSER_ID

__all__ = ["DirectoryAccounts"]

_COLUMNS: Final = "id, login, active, kind <> 'person' OR break_glass"


class DirectoryAccounts:
    """Implements `accounts_port.Accounts`."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def find(self, tx: Transaction, account_id: int) -> Account | None:
        """The account with this id."""
        return self._one(tx, "id = %s", account_id)

    def find_login(self, tx: Transaction, login: str) -> Account | None:
        """The account with this login, compared as at sign-in."""
        return self._one(tx, "login_key = %s", login_key(login))

    def find_email(self, tx: Transaction, email: str) -> Account | None:
        """The one account with this mail address; None where several have it."""
        return self._one(tx, "lower(email) = lower(%s)", email.strip())

    def person(self, tx: Transaction, account_id: int) -> Person:
        """How the account is described now.

        Raises: UnknownAccount.
        """
        row = tx.execute(
            b"SELECT login, name, email FROM vallum.account WHERE id = %s", (account_id,)
        ).fetchone()
        if row is None:
            raise UnknownAccount(f"no account has the id {account_id}")
        return Person(login=row[0], name=row[1], email=row[2])

    def groups(self, tx: Transaction, account_id: int, source: str) -> frozenset[str]:
        """The groups (xml ids) that this source has given."""
        rows = tx.execute(
            b"SELECT group_name FROM vallum.membership WHERE account_id = %s AND source = %s",
            (account_id, source),
        ).fetchall()
        return frozenset(name for (name,) in rows)

    def create(self, tx: Transaction, person: Person, source: str) -> Account:
        """A new account without a password.

        Raises: AccountTaken, SettingsError.
        """
        base = self._base
        try:
            with tx.transaction():
                made = base.accounts.create(
                    person.login,
                    base.now(),
                    name=person.name or None,
                    email=person.email,
                    user_id=self._user(tx, person),
                    source=source,
                    connection=tx,
                )
        except psycopg.errors.UniqueViolation:
            raise AccountTaken("this login has an account already", where=person.login) from None
        base.record("account.created", made.id, by=source, account_kind="person")
        return Account(made.id, made.login, made.active)

    def update(self, tx: Transaction, account_id: int, person: Person) -> None:
        """Take over name, login and address.

        Raises: AccountTaken, UnknownAccount, SettingsError (a login or an address that cannot be one).
        """
        values = (
            person.login.strip(),
            checked_login(person.login),
            person.name or person.login,
            checked_email(person.email),
            account_id,
        )
        before = self._whole(tx, account_id)
        try:
            with tx.transaction():
                [row] = tx.execute(
                    "UPDATE vallum.account SET login = %s, login_key = %s, name = %s, email = %s"
                    f" WHERE id = %s RETURNING {COLUMNS}".encode(),
                    values,
                ).fetchall()
        except psycopg.errors.UniqueViolation:
            raise AccountTaken("this login has an account already", where=person.login) from None
        after = account_of(row)
        if before.email != after.email:
            self._base.address_changed(tx, before, after)

    def set_groups(self, tx: Transaction, account_id: int, groups: frozenset[str], source: str) -> None:
        """Exactly these groups (xml ids) are the ones this source has given."""
        added, removed = self._base.memberships.set(tx, account_id, groups, self._base.now(), source=source)
        for kind, names in (("group.given", added), ("group.taken", removed)):
            for name in sorted(names):
                self._base.record(kind, account_id, by=source, group=name)

    def activate(self, tx: Transaction, account_id: int, source: str) -> None:
        """Let the account in again; not where an administrator has shut it.

        Raises: UnknownAccount.
        """
        self._base.accounts.activate(account_id, by=_source(source), connection=tx)
        self._base.record("account.activated", account_id, by=source)

    def deactivate(self, tx: Transaction, account_id: int, source: str) -> None:
        """Shut the account, and end all it has: sessions, keys, links, pending factors.

        Raises: UnknownAccount.
        """
        ended = self._base.accounts.deactivate(
            account_id, self._base.now(), by=_source(source), connection=tx
        )
        self._base.record("account.deactivated", account_id, by=source, sessions=ended)

    def end_sessions(
        self, tx: Transaction, why: str, *, account_id: int, source: str | None = None, sid: str | None = None
    ) -> int:
        """End an account's sessions: all, those a source has opened, or the one the source calls `sid`."""
        ended = tx.execute(
            b"DELETE FROM vallum.session WHERE account_id = %(id)s"
            b" AND (%(source)s::text IS NULL OR provider = %(source)s)"
            b" AND (%(sid)s::text IS NULL OR provider_session = %(sid)s)",
            {"id": account_id, "source": source, "sid": sid},
        ).rowcount
        # Half-done steps a source began would open a session after it has said goodbye.
        tx.execute(
            b"DELETE FROM vallum.ticket WHERE account_id = %(id)s"
            b" AND (%(source)s::text IS NULL OR data ->> 'provider' = %(source)s)"
            b" AND (%(sid)s::text IS NULL OR data ->> 'provider_session' = %(sid)s)",
            {"id": account_id, "source": source, "sid": sid},
        )
        self._base.record("session.all-ended", account_id, by=source or "", why=why, sessions=ended)
        return ended

    def end_provider_session(self, tx: Transaction, source: str, sid: str, why: str) -> int:
        """End the sessions that a source calls `sid`, whoever's they are."""
        ended = tx.execute(
            b"DELETE FROM vallum.session WHERE provider = %s AND provider_session = %s", (source, sid)
        ).rowcount
        tx.execute(
            b"DELETE FROM vallum.ticket WHERE data ->> 'provider' = %s AND data ->> 'provider_session' = %s",
            (source, sid),
        )
        self._base.record("session.all-ended", None, by=source, why=why, sessions=ended)
        return ended

    def forget(self, tx: Transaction, source: str, why: str) -> None:
        """A source is none any more: sessions it has opened end, and groups it has given are taken.

        The accounts stay as they are: open ones open, for whoever they are linked to next.
        """
        ended = tx.execute(b"DELETE FROM vallum.session WHERE provider = %s", (source,)).rowcount
        tx.execute(b"DELETE FROM vallum.ticket WHERE data ->> 'provider' = %s", (source,))
        self._base.record("session.all-ended", None, by=source, why=why, sessions=ended)
        for account_id, group in self._base.memberships.drop(tx, source):
            self._base.record("group.taken", account_id, by=source, group=group)

    def record(self, tx: Transaction, event: str, account_id: int | None, details: dict[str, str]) -> None:
        """Write an event to the trail. `details` never hold a secret."""
        facts: dict[str, Any] = {f"detail_{name}": value for name, value in details.items()}
        self._base.record(event, account_id, **facts)

    @staticmethod
    def _whole(tx: Transaction, account_id: int) -> Whole:
        """The account, held until the transaction ends.

        Raises: UnknownAccount.
        """
        row = tx.execute(
            f"SELECT {COLUMNS} FROM vallum.account WHERE id = %s FOR UPDATE".encode(), (account_id,)
        ).fetchone()
        if row is None:
            raise UnknownAccount(f"no account has the id {account_id}")
        return account_of(row)

    def _user(self, tx: Transaction, person: Person) -> int | None:
        """The application's user with the same login, where it may be tied and nobody is yet."""
        settings, source = self._base.settings, self._base.source
        user_id = source.user_of(person.login) if settings.link_users else None
        if user_id is None or user_id == SUPERUSER_ID:
            return None
        if source.groups(user_id, frozenset()) & set(settings.administrators):
            return None
        taken = tx.execute(
            b"SELECT 1 FROM vallum.account WHERE user_id = %s AND kind = 'person'", (user_id,)
        ).fetchone()
        return None if taken else user_id

    def _one(self, tx: Transaction, where: str, value: Any) -> Account | None:
        rows = tx.execute(
            f"SELECT {_COLUMNS} FROM vallum.account WHERE {where} LIMIT 2".encode(), (value,)
        ).fetchall()
        return Account(*rows[0]) if len(rows) == 1 else None


def _source(name: str) -> str:
    """A directory's own name; none may call itself the administrator."""
    return f"directory {name}" if name == ADMINISTRATOR else name
