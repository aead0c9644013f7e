"""What single sign-on and provisioning need of accounts: a port, which the accounts implement.

Every method runs inside the caller's transaction: what a directory says and what it means for an account
become true together, or not at all.
Invariant: after `deactivate`, no session, key, reset link or pending second factor of the account is worth
anything, from the moment the transaction commits.
Invariant: groups are set per source; what an administrator assigned by hand is no directory's to take away.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import psycopg

__all__ = ["Account", "Accounts", "Person", "Store", "Transaction"]

Transaction: TypeAlias = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Person:
    """How a directory describes somebody. `login` is what is shown and searched, never what is trusted."""

    login: str
    name: str = ""
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account, as far as single sign-on is concerned. `reserved`: a service's, or for emergencies."""

    id: int
    login: str
    active: bool
    reserved: bool = False


class Accounts(Protocol):
    """The accounts of the store."""

    def find(self, tx: Transaction, account_id: int) -> Account | None:
        """The account with this id."""
        ...

    def find_login(self, tx: Transaction, login: str) -> Account | None:
        """The account with this login, compared as at sign-in."""
        ...

    def find_email(self, tx: Transaction, email: str) -> Account | None:
        """The one account with this mail address; None where several have it."""
        ...

    def person(self, tx: Transaction, account_id: int) -> Person:
        """How the account is described now."""
        ...

    def groups(self, tx: Transaction, account_id: int, source: str) -> frozenset[str]:
        """The groups (xml ids) that this source has given."""
        ...

    def create(self, tx: Transaction, person: Person, source: str) -> Account:
        """A new account without a password. Raises: VallumError where the login is taken."""
        ...

    def update(self, tx: Transaction, account_id: int, person: Person) -> None:
        """Take over name, login and address. Raises: VallumError where the login is taken."""
        ...

    def set_groups(self, tx: Transaction, account_id: int, groups: frozenset[str], source: str) -> None:
        """Exactly these groups (xml ids) are the ones this source has given."""
        ...

    def activate(self, tx: Transaction, account_id: int, source: str) -> None:
        """Let the account in again; not where an administrator has shut it."""
        ...

    def deactivate(self, tx: Transaction, account_id: int, source: str) -> None:
        """Shut the account, and end all it has: sessions, keys, links, pending factors."""
        ...

    def end_sessions(
        self, tx: Transaction, why: str, *, account_id: int, source: str | None = None, sid: str | None = None
    ) -> int:
        """End an account's sessions: all, those a source has opened, or the one the source calls `sid`."""
        ...

    def end_provider_session(self, tx: Transaction, source: str, sid: str, why: str) -> int:
        """End the sessions that a source calls `sid`, whoever's they are."""
        ...

    def forget(self, tx: Transaction, source: str, why: str) -> None:
        """A source is none any more: sessions it has opened end, and groups it has given are taken."""
        ...

    def record(self, tx: Transaction, event: str, account_id: int | None, details: dict[str, str]) -> None:
        """Write an event to the trail. `details` never hold a secret."""
        ...


class Store(Protocol):
    """The database of Vallum's own tables, writable, safe to be shared by threads."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """One transaction: committed at the end, rolled back by an exception."""
        ...
