"""Plain accounts in PostgreSQL, for tests of single sign-on and provisioning alone."""

from __future__ import annotations

from vallum.identity.accounts_port import Account, Person, Transaction
from vallum.kernel import VallumError

__all__ = ["PlainAccounts", "Taken"]

TABLES = (
    """
    CREATE TABLE plain_account (id bigserial PRIMARY KEY, login text UNIQUE, name text, email text,
        active boolean DEFAULT true, shut_by text)
    """,
    "CREATE TABLE plain_group (account_id bigint, name text, source text)",
    "CREATE TABLE plain_session (account_id bigint, source text, sid text)",
    "CREATE TABLE plain_event (id bigserial, name text, account_id bigint, details text)",
)


class Taken(VallumError):
    """The login is somebody else's."""

    code = "account-taken"


class PlainAccounts:
    """Accounts, sessions, groups and events, each in a table."""

    def make_tables(self, tx: Transaction) -> None:
        """Make them."""
        for statement in TABLES:
            tx.execute(statement.encode())

    def _one(self, tx: Transaction, where: str, value: object) -> Account | None:
        rows = tx.execute(
            f"SELECT id, login, active FROM plain_account WHERE {where} LIMIT 2".encode(), (value,)
        ).fetchall()
        return Account(*rows[0]) if len(rows) == 1 else None

    def find(self, tx: Transaction, account_id: int) -> Account | None:
        return self._one(tx, "id = %s", account_id)

    def find_login(self, tx: Transaction, login: str) -> Account | None:
        return self._one(tx, "lower(login) = lower(%s)", login)

    def find_email(self, tx: Transaction, email: str) -> Account | None:
        return self._one(tx, "lower(email) = lower(%s)", email)

    def create(self, tx: Transaction, person: Person, source: str) -> Account:
        if self.find_login(tx, person.login) is not None:
            raise Taken("this login has an account already")
        row = tx.execute(
            "INSERT INTO plain_account (login, name, email) VALUES (%s, %s, %s) RETURNING id, login, active",
            (person.login, person.name, person.email),
        ).fetchone()
        assert row is not None
        return Account(*row)

    def update(self, tx: Transaction, account_id: int, person: Person) -> None:
        other = self.find_login(tx, person.login)
        if other is not None and other.id != account_id:
            raise Taken("this login has an account already")
        tx.execute(
            "UPDATE plain_account SET login = %s, name = %s, email = %s WHERE id = %s",
            (person.login, person.name, person.email, account_id),
        )

    def set_groups(self, tx: Transaction, account_id: int, groups: frozenset[str], source: str) -> None:
        tx.execute("DELETE FROM plain_group WHERE account_id = %s AND source = %s", (account_id, source))
        for group in sorted(groups):
            tx.execute("INSERT INTO plain_group VALUES (%s, %s, %s)", (account_id, group, source))

    def groups(self, tx: Transaction, account_id: int, source: str) -> frozenset[str]:
        rows = tx.execute(
            "SELECT name FROM plain_group WHERE account_id = %s AND source = %s", (account_id, source)
        )
        return frozenset(name for (name,) in rows)

    def person(self, tx: Transaction, account_id: int) -> Person:
        row = tx.execute(
            "SELECT login, name, email FROM plain_account WHERE id = %s", (account_id,)
        ).fetchone()
        assert row is not None
        return Person(*row)

    def activate(self, tx: Transaction, account_id: int, source: str) -> None:
        tx.execute(
            "UPDATE plain_account SET active = true, shut_by = NULL WHERE id = %s AND shut_by = %s",
            (account_id, source),
        )

    def deactivate(self, tx: Transaction, account_id: int, source: str) -> None:
        tx.execute(
            "UPDATE plain_account SET active = false, shut_by = %s WHERE id = %s AND active",
            (source, account_id),
        )
        tx.execute("DELETE FROM plain_session WHERE account_id = %s", (account_id,))

    def open_session(self, tx: Transaction, account_id: int, source: str, sid: str | None) -> None:
        tx.execute("INSERT INTO plain_session VALUES (%s, %s, %s)", (account_id, source, sid))

    def sessions(self, tx: Transaction, account_id: int) -> int:
        row = tx.execute("SELECT count(*) FROM plain_session WHERE account_id = %s", (account_id,)).fetchone()
        return int(row[0]) if row else 0

    def end_sessions(
        self, tx: Transaction, why: str, *, account_id: int, source: str | None = None, sid: str | None = None
    ) -> int:
        return tx.execute(
            "DELETE FROM plain_session WHERE account_id = %s AND (%s::text IS NULL OR source = %s)"
            " AND (%s::text IS NULL OR sid = %s)",
            (account_id, source, source, sid, sid),
        ).rowcount

    def end_provider_session(self, tx: Transaction, source: str, sid: str, why: str) -> int:
        return tx.execute("DELETE FROM plain_session WHERE source = %s AND sid = %s", (source, sid)).rowcount

    def forget(self, tx: Transaction, source: str, why: str) -> None:
        """What it has given is taken."""
        tx.execute("DELETE FROM plain_session WHERE source = %s", (source,))
        tx.execute("DELETE FROM plain_group WHERE source = %s", (source,))

    def record(self, tx: Transaction, event: str, account_id: int | None, details: dict[str, str]) -> None:
        tx.execute(
            "INSERT INTO plain_event (name, account_id, details) VALUES (%s, %s, %s)",
            (event, account_id, str(details)),
        )
