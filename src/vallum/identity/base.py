"""What all services of this package work with: one store, one clock, one secret, one record of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from vallum.identity.accounts import Account, Accounts
from vallum.identity.attempts import Attempts
from vallum.identity.authenticator import Authenticator, Client
from vallum.identity.devices import Devices
from vallum.identity.events import Event, Events
from vallum.identity.keyring import Keyring
from vallum.identity.memberships import Memberships
from vallum.identity.notices import Notices
from vallum.identity.outbox import Message, Outbox
from vallum.identity.people import NoApplication, People, Source
from vallum.identity.programs import Programs, ProgramSession
from vallum.identity.sessions import Session, Sessions
from vallum.identity.settings import IdentitySettings
from vallum.identity.store import Connection, Store
from vallum.identity.tickets import Tickets
from vallum.kernel import Clock, SystemClock

__all__ = ["Base", "Foreign"]


class Foreign(Authenticator, Protocol):
    """Knows users that have no password here."""

    def mark(self, user_id: int) -> bytes:
        """A digest of a user's credentials: of login, password, activity and second factor."""
        ...


@dataclass(frozen=True)
class Base:
    """The parts, made once and shared by threads. `source`: the application's users and groups.

    `foreign`: who knows the passwords of users that have no account of their own (those of an Odoo).
    """

    store: Store
    settings: IdentitySettings
    keyring: Keyring
    clock: Clock = field(default_factory=SystemClock)
    events: Events = field(default_factory=Events)
    source: Source = field(default_factory=NoApplication)
    foreign: Foreign | None = None

    def now(self) -> datetime:
        """The present instant."""
        return self.clock.now()

    @cached_property
    def accounts(self) -> Accounts:
        """Accounts."""
        return Accounts(self.store)

    @cached_property
    def attempts(self) -> Attempts:
        """Counters of failures."""
        return Attempts(self.store)

    @cached_property
    def devices(self) -> Devices:
        """Known devices."""
        return Devices(self.store, self.settings.lockout.device_days)

    @cached_property
    def memberships(self) -> Memberships:
        """Groups that Vallum gives."""
        return Memberships(self.store)

    @cached_property
    def notices(self) -> Notices:
        """Texts of mails."""
        return Notices(self.settings)

    @cached_property
    def outbox(self) -> Outbox:
        """Mail to be sent."""
        return Outbox(self.store, self.keyring, attempts=self.settings.mail.attempts)

    @cached_property
    def people(self) -> People:
        """Groups of accounts."""
        return People(self.memberships, self.source)

    @cached_property
    def programs(self) -> Programs:
        """Sessions of programs."""
        return Programs(self.store)

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions of browsers."""
        return Sessions(self.store, self.settings.sessions)

    @cached_property
    def tickets(self) -> Tickets:
        """Half-done steps."""
        return Tickets(self.store)

    def signed_in(self, account_id: int, *, most: int | None = None) -> list[Session | ProgramSession]:
        """An account's sessions: those of browsers, then those of programs (so many of these at most)."""
        now = self.now()
        return [*self.sessions.of(account_id, now), *self.programs.of(account_id, now, most=most)]

    def end_session(self, account_id: int, kind: str, session_id: int) -> bool:
        """End one of an account's sessions, of that kind; whether it was there."""
        if kind == ProgramSession.kind:
            return self.programs.end_one(account_id, session_id, self.now())
        return kind == Session.kind and self.sessions.end_one(account_id, session_id)

    def record(
        self,
        kind: str,
        account: Account | int | None,
        *,
        client: Client | None = None,
        by: str = "",
        **facts: Any,
    ) -> None:
        """Tell an event."""
        account_id = account.id if isinstance(account, Account) else account
        self.events.record(
            Event(
                kind=kind,
                at=self.now(),
                account_id=account_id,
                by=by or (account.login if isinstance(account, Account) else ""),
                address=client.address if client else "",
                request_id=client.request_id if client else "",
                facts=facts,
            )
        )

    def alarm(self, connection: Connection, account: Account, client: Client, **facts: Any) -> None:
        """Tell those named that a break-glass account was used."""
        for recipient in self.settings.alarm:
            self.mail(connection, "alarm", self.notices.alarm(recipient, account, client, self.now()))
        self.record("break-glass.used", account, client=client, **facts)

    def address_changed(self, connection: Connection, before: Account, after: Account) -> None:
        """Links to the old address are over, and both addresses are told, for one may be a thief's."""
        connection.execute(
            b"DELETE FROM vallum.ticket WHERE account_id = %s AND kind IN ('reset', 'invite')", (after.id,)
        )
        # Where a password can be had by a link; else an address lets nobody in, and a directory changes many.
        for known in (before, after) if after.local_password else ():
            notice = self.notices.changed(known, "The mail address was changed", self.now())
            self.mail(connection, "address-changed", notice)

    def mail(self, connection: Connection, kind: str, message: Message) -> None:
        """Put a mail into the outbox, where there is somebody to send it to."""
        if message.recipient:
            self.outbox.put(connection, kind, message, self.now())
