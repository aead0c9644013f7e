"""Sign in: the steps from a name to a session.

 1. the password (or a passkey, or a provider's word)     → refused, or on
 2. the second factor, where the account has one           → a ticket, until it is shown
 3. a new password, where the old one has expired          → a ticket, until it is chosen
 4. a second factor to be enrolled, where one is required  → a ticket, until it is
 5. a session, under a new token

Between steps there is a ticket, never a session. Every refusal of step 1 looks and takes the same.
Invariant: no step is skipped by beginning again: failures of the second factor are counted by account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vallum.identity.account import FOREIGN, Account, login_key
from vallum.identity.attempts import Reservation, password_counters
from vallum.identity.authenticator import Client, Refusal, Verdict
from vallum.identity.base import Base
from vallum.identity.errors import AccountTaken, FactorRefused
from vallum.identity.factors import Factors, Need
from vallum.identity.keys.keys import Keys
from vallum.identity.passwords import Hasher, Passwords
from vallum.identity.passwords.passwords import decoy
from vallum.identity.sessions import Session
from vallum.identity.sso.join import password_provider
from vallum.identity.steps import (
    PASSKEY,
    PASSWORD,
    Origin,
    Outcome,
    Refused,
    SignedIn,
    Step,
    Steps,
    shows_second,
)
from vallum.identity.tickets import TicketKind
from vallum.identity.tokens import new_token

__all__ = ["Checked", "Outcome", "Refused", "SignIn", "SignedIn", "Step"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a password: whose it is, or why not."""

    account: Account | None
    refusal: Refusal | None = None
    retry_after: float | None = None


class SignIn:
    """Lets people in. Safe to be shared by threads."""

    def __init__(
        self, base: Base, hasher: Hasher, passwords: Passwords, factors: Factors, keys: Keys
    ) -> None:
        self._base = base
        self._hasher = hasher
        self._passwords = passwords
        self._factors = factors
        self._steps = Steps(base, passwords, factors, keys)

    # Step 1

    def password(
        self,
        login: str,
        password: str,
        client: Client,
        *,
        device: str | None = None,
        replaces: str | None = None,
    ) -> Outcome:
        """Begin with a password. `device`: the device's cookie; `replaces`: the session there was before.

        Raises: Busy.
        """
        checked = self.check(login, password, client, device=device)
        if checked.account is None:
            return Refused(reason=checked.refusal or Refusal.WRONG, retry_after=checked.retry_after)
        return self._steps.go_on(checked.account, (PASSWORD,), client, device, replaces)

    def check(self, login: str, password: str, client: Client, *, device: str | None = None) -> Checked:
        """Whether this is the password of the account with that login; counted.

        Raises: Busy.
        """
        base, now = self._base, self._base.now()
        account = base.accounts.by_login(login)
        known = base.devices.known(device, account.id if account else 0, now)
        reservation = base.attempts.reserve(
            "password", password_counters(base.settings.lockout, login_key(login), client.address, known), now
        )
        if {"address", "network"} & set(reservation.shut):
            base.record("sign-in.locked", account, client=client, scope=",".join(reservation.shut))
            return Checked(None, Refusal.LOCKED, reservation.wait(now))
        usable = (
            account is not None and account.active and account.kind == "person" and account.local_password
        )
        elsewhere = self._elsewhere(login, account)
        usable = usable and not elsewhere
        kept = account.password_hash if account and usable and not reservation.shut else None
        # An empty password is nobody's, whatever was stored.
        match = self._hasher.verify(
            kept if password else None, password, imported=self._passwords.any_imported()
        )
        if base.foreign is not None:
            # Asked of everyone, so that those with an account of their own take no less time; where nothing
            # is to be learned, with a password that is nobody's: it takes as long and confirms no guess.
            asked = new_token() if reservation.shut or elsewhere else password
            verdict = base.foreign.password(login, asked, client)
            if account is None or account.source == FOREIGN:
                return self._foreign(account, verdict, reservation, client, now)
        if account is not None and match.right:
            base.attempts.succeeded(reservation)
            if match.stale:
                self._passwords.rehash(account, password)
                account = base.accounts.get(account.id)
            return Checked(account)
        return self._refuse(account, reservation, client, now)

    def _elsewhere(self, login: str, account: Account | None) -> bool:
        """Whether whoever has such an address signs in by a provider alone; asked of everyone alike."""
        with self._base.store.transaction() as tx:
            found = password_provider(tx, login, account.email if account is not None else None)
        return found is not None and not (account is not None and account.break_glass)

    def _foreign(
        self,
        account: Account | None,
        verdict: Verdict,
        reservation: Reservation,
        client: Client,
        now: datetime,
    ) -> Checked:
        """What an Odoo says of one of its users; whoever is let in has an account from then on."""
        if verdict.user_id is None or reservation.shut:
            if verdict.refusal is Refusal.KEY_NEEDED:
                # The password was right: nobody is guessing.
                self._base.attempts.succeeded(reservation)
                return Checked(None, Refusal.KEY_NEEDED)
            return self._refuse(account, reservation, client, now)
        self._base.attempts.succeeded(reservation)
        found = self._base.accounts.by_user(verdict.user_id) or self._adopt(verdict.user_id, now)
        if found.source != FOREIGN or not found.active:
            return Checked(None, Refusal.INACTIVE)
        return Checked(found)

    def _adopt(self, user_id: int, now: datetime) -> Account:
        name = self._base.source.login_of(user_id) or f"user {user_id}"
        try:
            return self._base.accounts.create(name, now, user_id=user_id, source=FOREIGN)
        except AccountTaken:
            # Somebody else of the same name, or another process at the same moment.
            found = self._base.accounts.by_user(user_id)
            return found or self._base.accounts.create(
                f"{name} ({user_id})", now, user_id=user_id, source=FOREIGN
            )

    def _refuse(
        self, account: Account | None, reservation: Reservation, client: Client, now: datetime
    ) -> Checked:
        base = self._base
        if reservation.shut:
            base.record("sign-in.locked", account, client=client, scope=",".join(reservation.shut))
            return Checked(None, Refusal.LOCKED, reservation.wait(now))
        if {"account", "device"} & set(reservation.locking):
            with base.store.transaction() as connection:
                if account is not None and account.active and account.email:
                    minutes = base.settings.lockout.account.lock
                    base.mail(connection, "locked", base.notices.locked(account, client, now, minutes))
                else:
                    decoy(base, connection)
        base.record("sign-in.refused", account, client=client)
        if account is None:
            return Checked(None, Refusal.UNKNOWN)
        return Checked(None, Refusal.WRONG if account.active else Refusal.INACTIVE)

    def passkey(
        self,
        ticket: str,
        answer: str,
        client: Client,
        *,
        device: str | None = None,
        replaces: str | None = None,
    ) -> Outcome:
        """Begin with a passkey that verifies its holder: two factors in one.

        Raises: LinkRefused, FactorRefused.
        """
        account = self._factors.show_passkey(None, ticket, answer, client)
        return self._steps.go_on(account, (PASSKEY,), client, device, replaces)

    def external(
        self,
        account: Account,
        client: Client,
        *,
        provider: str,
        methods: Sequence[str],
        provider_session: str | None = None,
        expires: datetime | None = None,
        authenticated: datetime | None = None,
        device: str | None = None,
        replaces: str | None = None,
    ) -> Outcome:
        """Begin with a provider's word. `methods`: how it asked; `mfa` among them where it asked for two;
        `authenticated`: when, where it says so: no session is fresher than that.
        """
        if not account.active or account.kind != "person":
            return Refused(reason=Refusal.INACTIVE)
        origin = Origin(provider, provider_session, expires, authenticated)
        return self._steps.go_on(account, tuple(methods), client, device, replaces, origin)

    # Step 2

    def code(self, ticket: str, code: str, client: Client, *, device: str | None = None) -> Outcome:
        """Go on with a one-time code or a recovery code.

        Raises: LinkRefused, FactorRefused (too many failures).
        """
        held, account = self._steps.held(TicketKind.FACTOR, ticket)
        shown = self._factors.show_code(account, code, client)
        if shown is None:
            return Refused(reason=Refusal.WRONG)
        return self._steps.next(TicketKind.FACTOR, ticket, held, account, shown, client, device)

    def ask_passkey(self, ticket: str | None = None) -> tuple[str, dict[str, object]]:
        """What the browser is to ask for: a passkey as the second factor, or (without a ticket) as the first.

        Raises: LinkRefused.
        """
        if ticket is None:
            return self._factors.ask_passkey(None)
        _, account = self._steps.held(TicketKind.FACTOR, ticket)
        return self._factors.ask_passkey(account)

    def second_passkey(
        self, ticket: str, challenge: str, answer: str, client: Client, *, device: str | None = None
    ) -> Outcome:
        """Go on with a passkey.

        Raises: LinkRefused, FactorRefused.
        """
        held, account = self._steps.held(TicketKind.FACTOR, ticket)
        self._factors.show_passkey(account, challenge, answer, client)
        return self._steps.next(TicketKind.FACTOR, ticket, held, account, PASSKEY, client, device)

    # Steps 3 and 4

    def renew(self, ticket: str, new: str, client: Client, *, device: str | None = None) -> Outcome:
        """Go on with a new password in place of an expired one.

        Raises: LinkRefused, PasswordRefused.
        """
        held, account = self._steps.held(TicketKind.RENEW, ticket)
        self._passwords.replace(account, new, client, ticket=(TicketKind.RENEW, ticket))
        account = self._base.accounts.get(account.id)
        return self._steps.go_on(account, tuple(held.data["methods"]), client, device, None)

    def enrolling(self, ticket: str) -> Account:
        """Whose factor is to be enrolled, for `Factors.begin_totp` or `begin_passkey`.

        Raises: LinkRefused.
        """
        return self._steps.held(TicketKind.ENROL, ticket)[1]

    def enrolled(self, ticket: str, client: Client, *, device: str | None = None) -> Outcome:
        """Go on, now that a factor was enrolled.

        Raises: LinkRefused, FactorRefused (none was).
        """
        held, account = self._steps.held(TicketKind.ENROL, ticket)
        if not held.data.get("enrolled"):
            raise FactorRefused("no second factor was added yet", fix="add an authenticator app or a passkey")
        # Enrolling has shown it.
        return self._steps.next(TicketKind.ENROL, ticket, held, account, "mfa", client, device)

    # After step 5

    def session(self, token: str) -> Session | None:
        """The session of a token, as `Sessions.check`; none where it is of one factor and two are needed.

        A group that asks for a second factor may be given while a session is open: then one signs in anew.
        """
        base, now = self._base, self._base.now()
        session = base.sessions.check(token, now)
        if session is None or shows_second(session.methods) or base.settings.factors.required == "optional":
            return session
        stands = self.standing(base.accounts.get(session.account_id), now)
        return None if stands is Need.ENROL else session

    def standing(self, account: Account, now: datetime) -> Need:
        """How it stands with somebody who uses one factor alone: a grace begins with that."""
        return self._steps.standing(account, now)

    def need(self, account: Account, now: datetime) -> tuple[Need, datetime | None]:
        """How it stands with an account's second factor, and the end of its grace."""
        return self._steps.need(account, now)
