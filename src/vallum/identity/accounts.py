"""Accounts: people and services, each tied to a user of the application.

An account says who signs in; the user it is tied to says what may be seen. The application's own tables are
never written: groups given here are added to the user's by `memberships`.
Invariant: what an account can be used by (sessions, keys, half-done steps) ends in the transaction
that deactivates it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import psycopg

from vallum.identity.account import (
    COLUMNS,
    Account,
    Kind,
    account_of,
    checked_email,
    checked_login,
    login_key,
)
from vallum.identity.errors import AccountTaken, UnknownAccount
from vallum.identity.programs import end_of_programs
from vallum.identity.store import Connection, Store, one

__all__ = ["ADMINISTRATOR", "Account", "Accounts", "Kind", "end_all", "login_key"]

ADMINISTRATOR: Final = "administrator"


class Accounts:
    """The accounts of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self,
        login: str,
        now: datetime,
        *,
        name: str | None = None,
        email: str | None = None,
        user_id: int | None = None,
        kind: Kind = "person",
        source: str = "local",
        break_glass: bool = False,
        connection: Connection | None = None,
    ) -> Account:
        """A new account, without any credential.

        Raises: AccountTaken, SettingsError (a login or an address that cannot be one).
        """
        key = checked_login(login)
        statement = (
            "INSERT INTO vallum.account (kind, login, login_key, name, email, user_id, source, break_glass,"
            " handle, created) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            f" RETURNING {COLUMNS}"
        )
        params = (
            kind,
            login.strip(),
            key,
            (name or login).strip(),
            checked_email(email),
            user_id,
            source,
            break_glass,
            secrets.token_bytes(64),
            now,
        )
        try:
            rows = _run(self._store, connection, statement, params)
        except psycopg.errors.UniqueViolation as error:
            if connection is not None:
                # The caller's transaction has failed, and must know.
                raise
            what = "user" if error.diag.constraint_name == "account_user" else "login"
            raise AccountTaken(
                f"this {what} has an account already", where=login, fix=f"give another {what}"
            ) from None
        return account_of(rows[0])

    def get(self, account_id: int) -> Account:
        """Raises: UnknownAccount."""
        return self._one("id = %s", account_id, f"no account has the id {account_id}")

    def find(self, login: str) -> Account:
        """The account with that login.

        Raises: UnknownAccount.
        """
        return self._one("login_key = %s", login_key(login), f"no account is called `{login}`")

    def by_login(self, login: str) -> Account | None:
        """The account with that login, if there is one."""
        rows = self._store.rows(_select("login_key = %s"), (login_key(login),))
        return account_of(rows[0]) if rows else None

    def by_user(self, user_id: int) -> Account | None:
        """The person tied to a user of the application, if there is one."""
        rows = self._store.rows(_select("user_id = %s AND kind = 'person'"), (user_id,))
        return account_of(rows[0]) if rows else None

    def logins_of(self, user_id: int) -> frozenset[str]:
        """The logins of all accounts tied to a user of the application, services' too."""
        rows = self._store.rows("SELECT login FROM vallum.account WHERE user_id = %s", (user_id,))
        return frozenset(login for (login,) in rows)

    def by_email(self, email: str) -> list[Account]:
        """The accounts with that mail address: two at most, since more tell no more."""
        rows = self._store.rows(_select("lower(email) = lower(%s)") + " LIMIT 2", (email.strip(),))
        return [account_of(row) for row in rows]

    def by_handle(self, handle: bytes) -> Account | None:
        """The account passkeys know by that handle, if there is one."""
        rows = self._store.rows(_select("handle = %s"), (handle,))
        return account_of(rows[0]) if rows else None

    def logins(self, ids: Iterable[int]) -> dict[int, str]:
        """The logins of accounts, by their ids."""
        found = self._store.rows("SELECT id, login FROM vallum.account WHERE id = ANY(%s)", (list(ids),))
        return dict(found)

    def count(self) -> int:
        """How many there are."""
        return int(self._store.rows("SELECT count(*) FROM vallum.account")[0][0])

    def is_empty(self) -> bool:
        """Whether there is none yet."""
        return not self._store.rows("SELECT 1 FROM vallum.account LIMIT 1")

    def change(
        self,
        account_id: int,
        *,
        name: str | None = None,
        email: str | None = None,
        user_id: int | None = None,
        local_password: bool | None = None,
    ) -> Account:
        """The account with what is given changed; an empty text for `email` removes it.

        Raises: UnknownAccount, AccountTaken, SettingsError.
        """
        statement = (
            "UPDATE vallum.account SET name = coalesce(%s, name),"
            " email = CASE WHEN %s::text = '' THEN NULL ELSE coalesce(%s, email) END,"
            " user_id = coalesce(%s, user_id), local_password = coalesce(%s, local_password)"
            f" WHERE id = %s RETURNING {COLUMNS}"
        )
        checked = checked_email(email) if email else email
        try:
            rows = self._store.rows(statement, (name, checked, checked, user_id, local_password, account_id))
        except psycopg.errors.UniqueViolation:
            raise AccountTaken("this user has an account already", fix="give another user") from None
        if not rows:
            raise UnknownAccount(f"no account has the id {account_id}")
        return account_of(rows[0])

    def deactivate(
        self,
        account_id: int,
        now: datetime,
        *,
        by: str = ADMINISTRATOR,
        connection: Connection | None = None,
    ) -> int:
        """Shut an account, and end all it can be used by, at once. How many sessions ended.

        `by`: an administrator, or the directory that said so: it cannot open what an administrator shut.

        Raises: UnknownAccount.
        """
        if connection is None:
            with self._store.transaction() as own:
                return self.deactivate(account_id, now, by=by, connection=own)
        row = one(
            connection,
            "UPDATE vallum.account SET deactivated = coalesce(deactivated, %s), active = false,"
            " deactivated_by = CASE WHEN active OR %s = 'administrator' THEN %s ELSE deactivated_by END"
            " WHERE id = %s RETURNING id",
            (now, by, by, account_id),
        )
        if row is None:
            raise UnknownAccount(f"no account has the id {account_id}")
        connection.execute(
            b"UPDATE vallum.api_key SET revoked = %s, revoked_why = 'account deactivated'"
            b" WHERE account_id = %s AND revoked IS NULL",
            (now, account_id),
        )
        connection.execute(
            b"UPDATE vallum.elevation SET state = 'ended' WHERE account_id = %s"
            b" AND state IN ('asked', 'approved')",
            (account_id,),
        )
        connection.execute(
            b"DELETE FROM vallum.membership WHERE account_id = %s AND source = 'request'", (account_id,)
        )
        return end_all(connection, account_id, devices=True)

    def activate(
        self, account_id: int, *, by: str = ADMINISTRATOR, connection: Connection | None = None
    ) -> Account:
        """Open an account again; a directory only what it has shut itself. Keys and sessions stay ended.

        Raises: UnknownAccount (or not this directory's to open).
        """
        statement = (
            "UPDATE vallum.account SET active = true, deactivated = NULL, deactivated_by = NULL WHERE id = %s"
            f" AND (active OR %s = 'administrator' OR deactivated_by = %s) RETURNING {COLUMNS}"
        )
        rows = _run(self._store, connection, statement, (account_id, by, by))
        if not rows:
            raise UnknownAccount(f"no account that {by} could open has the id {account_id}")
        return account_of(rows[0])

    def _one(self, where: str, value: object, what: str) -> Account:
        rows = self._store.rows(_select(where), (value,))
        if not rows:
            raise UnknownAccount(what, fix="`vallum user list` shows them")
        return account_of(rows[0])


def end_all(
    connection: Connection, account_id: int, *, keep: bytes | None = None, devices: bool = False
) -> int:
    """End an account's sessions (all but the one with the digest `keep`), programs' too, and half-done steps.

    `devices`: none is known any more, either. How many sessions ended.
    """
    ended = connection.execute(
        b"DELETE FROM vallum.session WHERE account_id = %s AND digest IS DISTINCT FROM %s", (account_id, keep)
    ).rowcount
    connection.execute(b"DELETE FROM vallum.ticket WHERE account_id = %s", (account_id,))
    ended += end_of_programs(connection, account_id)
    if devices:
        connection.execute(b"DELETE FROM vallum.device WHERE account_id = %s", (account_id,))
    return ended


def _run(store: Store, connection: Connection | None, statement: str, params: Iterable[Any]) -> list[Any]:
    if connection is None:
        return store.rows(statement, tuple(params))
    return connection.execute(statement.encode(), tuple(params)).fetchall()


def _select(where: str) -> str:
    return f"SELECT {COLUMNS} FROM vallum.account WHERE {where}"
