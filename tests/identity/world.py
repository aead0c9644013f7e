"""An identity to test with: real tables, a clock that is told when to go on, mail that is caught."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import pyotp

from vallum.identity.accounts import Account
from vallum.identity.authenticator import Client
from vallum.identity.base import Base
from vallum.identity.events import Event, Events
from vallum.identity.identity import Identity
from vallum.identity.keyring import Keyring
from vallum.identity.outbox import Message
from vallum.identity.people import Source
from vallum.identity.settings import IdentitySettings
from vallum.identity.sign_in import SignedIn
from vallum.kernel import FixedClock
from vallum.postgres import Database, EmbeddedServer, connect
from vallum.postgres.migrations import migrate

__all__ = ["GOOD", "START", "Groups", "World", "client"]

START: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GOOD: Final = "correct-horse-battery"
# Cheap on purpose: what a hash costs is measured elsewhere.
CHEAP: Final = {"memory": 7168, "time": 1}
_numbers = count(1)


def client(address: str = "192.0.2.10", agent: str = "Firefox") -> Client:
    """Where a request of a test comes from."""
    return Client(address=address, user_agent=agent, request_id="r-1")


# Databases of this worker that nobody uses now: emptied rather than made anew.
_free: list[str] = []
_EMPTY: Final = """
    SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
    WHERE schemaname = 'vallum' AND tablename NOT LIKE '%version'
"""


def _database(server: EmbeddedServer) -> str:
    if _free:
        return _free.pop()
    name = f"identity_{os.getpid()}_{next(_numbers)}"
    with connect(server.create_database(name), readonly=False, autocommit=True) as connection:
        migrate(connection, "identity")
    return name


def _emptied(server: EmbeddedServer, name: str) -> None:
    with connect(server.dsn(name), readonly=False, autocommit=True) as connection:
        [tables] = connection.execute(_EMPTY.encode()).fetchone() or [""]
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY".encode())
    _free.append(name)


@dataclass
class Groups:
    """Groups of an application's users, as a test wants them."""

    of: dict[int, frozenset[str]] = field(default_factory=dict)
    logins: dict[str, int] = field(default_factory=dict)

    def groups(self, user_id: int | None, given: frozenset[str]) -> frozenset[str]:
        """What was said, and what is given."""
        return given | self.of.get(user_id or 0, frozenset())

    def user_of(self, login: str) -> int | None:
        """Who was named."""
        return self.logins.get(login)

    def login_of(self, user_id: int) -> str | None:
        """As whom."""
        return next((login for login, found in self.logins.items() if found == user_id), None)


@dataclass
class World:
    """An identity, and what happened in it."""

    server: EmbeddedServer
    dsn: str
    database_name: str
    store: Database
    identity: Identity
    clock: FixedClock
    groups: Groups
    events: list[Event] = field(default_factory=list)
    mails: list[Message] = field(default_factory=list)
    others: list[tuple[Identity, Database]] = field(default_factory=list)

    @classmethod
    def make(cls, server: EmbeddedServer, clock: FixedClock, settings: dict[str, Any]) -> World:
        """A world of its own."""
        name = _database(server)
        dsn = server.dsn(name)
        groups, events = Groups(), list[Event]()
        store = Database(dsn, readonly=False)
        parsed = IdentitySettings.parse(
            {"url": "https://vallum.example", "hashing": CHEAP, **settings}, where="test"
        )
        identity = Identity(Base(store, parsed, Keyring.new(), clock, Events(events.append), groups))
        return cls(server, dsn, name, store, identity, clock, groups, events)

    def another(self, source: Source | None = None) -> Identity:
        """The same identity as another process has it: its own connection and memory."""
        base, store = self.identity.base, Database(self.dsn, readonly=False)
        made = Identity(
            Base(store, base.settings, base.keyring, self.clock, base.events, source or self.groups)
        )
        self.others.append((made, store))
        return made

    def close(self) -> None:
        """End its threads and its connection."""
        for identity, store in [(self.identity, self.store), *self.others]:
            identity.close()
            store.close()
        _emptied(self.server, self.database_name)

    def go_on(self, **by: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**by))

    def person(
        self,
        login: str = "marie",
        *,
        password: str | None = GOOD,
        user_id: int | None = None,
        groups: Iterable[str] = (),
        email: str | None = "",
    ) -> Account:
        """Somebody with an account and a password."""
        mail = f"{login.partition('@')[0]}@example.com" if email == "" else email
        base = self.identity.base
        account = base.accounts.create(login, base.now(), email=mail, user_id=user_id)
        if user_id is not None:
            self.groups.of[user_id] = frozenset(groups)
        if password is not None:
            self.identity.passwords.replace(account, password, client())
        return base.accounts.get(account.id)

    def service(self, login: str = "robot", *, user_id: int | None = 7) -> Account:
        """A service."""
        return self.identity.create_account(login, by=None, kind="service", user_id=user_id)

    def sign_in(self, login: str = "marie", password: str = GOOD, **more: Any) -> SignedIn:
        """A session of somebody who is let in."""
        outcome = self.identity.sign_in.password(login, password, more.pop("client", client()), **more)
        assert isinstance(outcome, SignedIn), outcome
        return outcome

    def read_mail(self) -> list[Message]:
        """The mail that was sent since this was asked last."""
        caught: list[Message] = []
        self.identity.base.outbox.deliver(lambda message, _: caught.append(message), self.clock.now())
        self.mails += caught
        return caught

    def link_in_mail(self) -> str:
        """The token of the link in the last mail that has one."""
        text = next(m.text for m in reversed(self.read_mail()) if "#" in m.text)
        return text.partition("#")[2].split()[0]

    def totp(self, account: Account) -> pyotp.TOTP:
        """An authenticator app of an account."""
        factors = self.identity.factors
        new = factors.begin_totp(account)
        app = pyotp.TOTP(new.secret)
        factors.finish_totp(account, new.ticket, app.at(self.clock.now()), client())
        self.go_on(seconds=30)
        return app

    def kinds(self) -> list[str]:
        """What happened, in order."""
        return [event.kind for event in self.events]
