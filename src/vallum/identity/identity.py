"""Everything about accounts in one hand: who comes in, who does what to them, and the installation's acts.

Trust: whoever holds an `Identity` can let anyone in; whoever holds the store alone can end everything and
sign in as nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vallum.identity.acting import SERVER
from vallum.identity.administration import AccountAdministration
from vallum.identity.base import Base
from vallum.identity.confirming import Confirming
from vallum.identity.elevation import Elevations
from vallum.identity.errors import AccountTaken
from vallum.identity.factors import Factors
from vallum.identity.keys.administration import KeyAdministration
from vallum.identity.keys.keys import Keys
from vallum.identity.passwords import Hasher, Passwords
from vallum.identity.passwords.engine import Engine
from vallum.identity.sign_in import SignIn
from vallum.identity.tickets import TicketKind

__all__ = ["Identity", "Swept"]

_FIRST: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Swept:
    """How much was dropped that nobody needs any more."""

    sessions: int
    tickets: int
    attempts: int
    memberships: int
    devices: int
    mails: int


class Identity(AccountAdministration, KeyAdministration):
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
            base.memberships.give(connection, account.id, base.settings.administrators[0], now, by=SERVER)
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
