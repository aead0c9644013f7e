"""The identity of a worker: its accounts, the groups they add to the policy's users, and its housekeeping.

An application's own users sign in with Vallum's accounts. Odoo's sign in with Odoo's passwords; counters,
second factors, sessions and keys of Vallum apply on top. Groups that Vallum gives are added to the users
wherever they are read, and fall away at their end, within a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from vallum.identity import (
    Authenticator,
    Client,
    Identity,
    LocalAuthenticator,
    OfApplication,
    Refusal,
    Verdict,
    open_identity,
)
from vallum.identity.account import FOREIGN
from vallum.identity.memberships import overlay
from vallum.identity.odoo import OdooAuthenticator
from vallum.identity.outbox import smtp_sender
from vallum.identity.passwords.engine import Apart
from vallum.identity.saml.keys import key_file
from vallum.kernel import Clock, Settings
from vallum.policy import Directory, Policy, User
from vallum.postgres import Database
from vallum.server.sso.parts import SignOn

if TYPE_CHECKING:
    from vallum.enforce import Application

__all__ = ["People"]

_LOG: Final = logging.getLogger("vallum.server")
_EVERY: Final = 15.0
# Every so many rounds what has expired is dropped.
_SWEEP: Final = 20
# Refusals that whoever looked at the proof has recorded.
_RECORDED: Final[Mapping[str, frozenset[str]]] = {
    "password": frozenset({Refusal.WRONG, Refusal.UNKNOWN, Refusal.LOCKED, Refusal.INACTIVE}),
    "key": frozenset({Refusal.ADDRESS}),
}


class People:
    """Who asks, as one worker knows it. `application`: as it is known now."""

    def __init__(
        self,
        settings: Settings,
        store: Database,
        database: Database,
        clock: Clock,
        application: Callable[[], Application],
    ) -> None:
        odoo = OdooAuthenticator(database, clock) if settings.metadata is None else None
        self._settings = settings
        self._application = application
        self._clock = clock
        self._odoo = odoo
        self.identity: Identity = open_identity(
            store,
            settings,
            clock=clock,
            source=OfApplication(lambda: application().policy, lambda: application().directory),
            foreign=odoo,
            engine=Apart(),
        )
        self._local = LocalAuthenticator(self.identity)
        self._done = Event()
        self._thread = Thread(target=self._keep_house, name="housekeeping", daemon=True)

    @property
    def authenticator(self) -> Authenticator:
        """Who is asked about passwords and keys."""
        return self._local

    @cached_property
    def sign_on(self) -> SignOn:
        """Signing in elsewhere, and directories."""
        return SignOn(self.identity, key_file(self._settings), self._settings.data_dir / "provider-secrets")

    def login_of(self, user: User) -> str:
        """The name that goes with a user's password: that of their account, where it is kept here.

        Raises: ConnectionFailed.
        """
        account = self.identity.base.accounts.by_user(user.id)
        return user.login if account is None or account.source == FOREIGN else account.login

    def again(self, user_id: int, password: str) -> Verdict | None:
        """The verdict on a password that was accepted for that user and still holds; None: ask with the name.

        Raises: ConnectionFailed.
        """
        return self._local.again(user_id, password)

    def told(self, event: str, client: Client, details: Mapping[str, Any]) -> None:
        """Record how signing in to the API went, where nobody else has: each proof once a process.

        Raises: psycopg.Error, ConnectionFailed: then nobody is signed in.
        """
        if event == "signed in":
            user = self._application().directory.get(int(details["user"]))
            by = user.login if user is not None else ""
            self.identity.base.record("api.signed-in", None, client=client, by=by, **details)
        elif event == "sign-in refused" and details["reason"] not in _RECORDED[str(details["with"])]:
            self.identity.base.record("api.refused", None, client=client, **details)

    def mark(self, user_id: int) -> bytes:
        """A digest of a user's credentials as they are now.

        Raises: ConnectionFailed.
        """
        theirs = self._odoo.mark(user_id) if self._odoo is not None else b""
        return self._local.mark(user_id) + theirs

    def widened(self, directory: Directory, policy: Policy) -> Directory:
        """The users with the groups that Vallum gives them now.

        Raises: ConnectionFailed.
        """
        return overlay(directory, policy, self.identity.base.memberships.by_user(self._clock.now()))

    def lasting(self, directory: Directory, policy: Policy) -> Directory:
        """The users with those of the groups that have no end.

        Raises: ConnectionFailed.
        """
        given = self.identity.base.memberships.by_user(self._clock.now(), lasting=True)
        return overlay(directory, policy, given)

    def given(self) -> object:
        """What Vallum gives now: something else after every change, and at every end.

        Raises: ConnectionFailed.
        """
        return self.identity.base.memberships.digest(self._clock.now())

    def start(self) -> None:
        """Begin to keep house."""
        self._thread.start()

    def close(self) -> None:
        """Stop, soon."""
        self._done.set()
        self._thread.join(5)
        with suppress(Exception):
            # The store may be gone already.
            self._flush_refusals(end=True)
        self.identity.close()

    def _flush_refusals(self, *, end: bool = False) -> None:
        # Where nobody has signed in elsewhere yet, there is nothing to make it for.
        if "sign_on" in self.__dict__:
            self.sign_on.refusals.flush(end=end)

    def _keep_house(self) -> None:
        base, turn = self.identity.base, 0
        mail = base.settings.mail
        send = smtp_sender(mail, self._settings.mail_password) if mail.host else None
        while not self._done.wait(_EVERY):
            turn += 1
            try:
                if send is not None:
                    base.outbox.deliver(send, base.now())
                self._flush_refusals()
                if turn % _SWEEP == 0:
                    self.identity.sweep()
            except Exception as error:
                # The next round tries again; nothing else of the worker depends on it.
                _LOG.warning("housekeeping failed", extra={"kind": type(error).__name__})
