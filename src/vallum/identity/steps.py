"""What lies between a credential and a session: tickets for what is missing, and the session at the end.

Invariant: a ticket is taken by the statement that finds it: of two who come together one goes on.
Invariant: a session begins while the account's row is held, so that it comes before a deactivation, and is
ended by it, or after, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from vallum.identity.accounts import Account
from vallum.identity.authenticator import Client, Refusal
from vallum.identity.base import Base
from vallum.identity.errors import LinkRefused
from vallum.identity.factors import Factors, Need
from vallum.identity.factors.rules import is_required, need
from vallum.identity.keys.keys import Keys
from vallum.identity.passwords import Passwords
from vallum.identity.store import Connection
from vallum.identity.tickets import Ticket, TicketKind

__all__ = ["PASSKEY", "PASSWORD", "Origin", "Outcome", "Refused", "SignedIn", "Step", "Steps", "shows_second"]

PASSWORD: Final = "pwd"  # noqa: S105 - the name of a method
PASSKEY: Final = "passkey"
# What counts as a second factor; a passkey that verifies is two in one.
_SECOND: Final = frozenset({"otp", "recovery", PASSKEY, "mfa"})
_MOMENTS: Final = ("expires", "authenticated")


@dataclass(frozen=True, slots=True)
class Origin:
    """A provider that vouches: its name for the session, an end it asks for, and when it has last seen
    credentials, where it says so.
    """

    provider: str
    session: str | None = None
    expires: datetime | None = None
    authenticated: datetime | None = None

    def dump(self) -> dict[str, object]:
        """For a ticket."""
        return {
            "provider": self.provider,
            "provider_session": self.session,
            "expires": self.expires.isoformat() if self.expires else None,
            "authenticated": self.authenticated.isoformat() if self.authenticated else None,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Origin | None:
        """What a ticket holds of it."""
        if not data.get("provider"):
            return None
        moments = (datetime.fromisoformat(text) if (text := data.get(name)) else None for name in _MOMENTS)
        return cls(data["provider"], data.get("provider_session"), *moments)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session has begun. `device`: a new cookie for the device; `enrol_by`: the end of the grace."""

    account: Account
    token: str = field(repr=False)
    device: str | None = field(default=None, repr=False)
    enrol_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step is missing: FACTOR, RENEW or ENROL. `choices`: the kinds of factors there are."""

    kind: TicketKind
    ticket: str = field(repr=False)
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not let in. `reason` is for the log: whoever asked is told nothing of it."""

    reason: Refusal
    retry_after: float | None = None


Outcome: TypeAlias = SignedIn | Step | Refused


def shows_second(methods: Iterable[str]) -> bool:
    """Whether a second factor is among what was shown."""
    return not _SECOND.isdisjoint(methods)


class Steps:
    """The way from a credential that was right to a session. Safe to be shared by threads."""

    def __init__(self, base: Base, passwords: Passwords, factors: Factors, keys: Keys) -> None:
        self._base = base
        self._passwords = passwords
        self._factors = factors
        self._keys = keys

    def held(self, kind: TicketKind, ticket: str) -> tuple[Ticket, Account]:
        """A ticket that waits for a step, and whose it is.

        Raises: LinkRefused.
        """
        held = self._base.tickets.peek(kind, ticket, self._base.now())
        account = self._base.accounts.get(held.account_id) if held.account_id is not None else None
        if account is None or not account.active:
            raise LinkRefused("this step is too old", fix="begin again")
        return held, account

    def next(
        self,
        kind: TicketKind,
        token: str,
        held: Ticket,
        account: Account,
        shown: str,
        client: Client,
        device: str | None,
    ) -> Outcome:
        """Go on, now that something was shown.

        Raises: LinkRefused.
        """
        self._base.tickets.take(kind, token, self._base.now())
        origin = Origin.of(held.data)
        if origin is not None and kind is TicketKind.FACTOR:
            # Something was shown just now, whenever the provider asked for it.
            origin = replace(origin, authenticated=None)
        return self.go_on(account, (*held.data["methods"], shown), client, device, None, origin)

    def go_on(
        self,
        account: Account,
        methods: tuple[str, ...],
        client: Client,
        device: str | None,
        replaces: str | None,
        origin: Origin | None = None,
    ) -> Outcome:
        """A session, or a ticket for what is missing before there can be one. `origin`: who else vouches."""
        base, now = self._base, self._base.now()
        shown = shows_second(methods)
        stands, deadline = self.need(account, now)
        if stands is Need.SHOW and not shown:
            return self._wait(TicketKind.FACTOR, account, methods, replaces, origin)
        if PASSWORD in methods and self._passwords.policy.is_expired(account.password_set, now):
            return self._wait(TicketKind.RENEW, account, methods, replaces, origin)
        if stands is Need.ENROL and not shown:
            return self._wait(TicketKind.ENROL, account, methods, replaces, origin)
        with base.store.transaction() as connection:
            return self._begin(connection, account, methods, client, device, replaces, origin, deadline)

    def need(self, account: Account, now: datetime) -> tuple[Need, datetime | None]:
        """How it stands with an account's second factor, and the end of its grace."""
        base, settings = self._base, self._base.settings
        groups = base.people.groups(account, now)
        managers = settings.keys.managers or settings.administrators
        key_holder = any(group in managers for group in groups) or self._keys.holds(account.id, now)
        return need(
            settings.factors,
            has_factor=self._factors.has_any(account.id),
            required=is_required(settings.factors, groups, key_holder=key_holder),
            deadline=account.factor_deadline,
            now=now,
        )

    def standing(self, account: Account, now: datetime) -> Need:
        """How it stands with somebody who has shown one factor and uses it: a grace begins with that."""
        stands, deadline = self.need(account, now)
        if stands is Need.GRACE and account.factor_deadline is None:
            self._base.store.rows(
                "UPDATE vallum.account SET factor_deadline = %s WHERE id = %s AND factor_deadline IS NULL",
                (deadline, account.id),
            )
        return stands

    def _wait(
        self,
        kind: TicketKind,
        account: Account,
        methods: tuple[str, ...],
        replaces: str | None,
        origin: Origin | None,
    ) -> Step:
        base = self._base
        data: dict[str, object] = {"methods": list(methods)}
        if origin is not None:
            data |= origin.dump()
        if replaces:
            # The session there was ends now: what follows belongs to somebody who may be somebody else.
            base.sessions.end(replaces)
        lifetime = timedelta(minutes=base.settings.sessions.factor_minutes)
        ticket = base.tickets.issue(kind, account.id, lifetime, base.now(), data)
        kinds = tuple(dict.fromkeys(factor.kind for factor in self._factors.of(account.id)))
        return Step(kind=kind, ticket=ticket, choices=kinds)

    def _begin(
        self,
        connection: Connection,
        account: Account,
        methods: tuple[str, ...],
        client: Client,
        device: str | None,
        replaces: str | None,
        origin: Origin | None,
        deadline: datetime | None,
    ) -> Outcome:
        base, now = self._base, self._base.now()
        # The row is held: a deactivation at this moment comes before, and is seen, or after, and ends it.
        row = connection.execute(
            # A grace is had once: also by those who have a group that asks for a factor now and then.
            b"UPDATE vallum.account SET last_sign_in = %s, factor_deadline = coalesce(factor_deadline, %s)"
            b" WHERE id = %s AND active"
            b" AND password_hash IS NOT DISTINCT FROM %s RETURNING id",
            (now, deadline, account.id, account.password_hash),
        ).fetchone()
        if row is None:
            return Refused(reason=Refusal.INACTIVE)
        known = base.devices.known(device, account.id, now)
        new_device = None
        if known is None:
            known, new_device = base.devices.remember(connection, account.id, client, now)
            if account.last_sign_in is not None:
                base.mail(connection, "new-device", base.notices.new_device(account, client, now))
        else:
            base.devices.seen(connection, known, client, now)
        vouched = origin or Origin("")
        token = base.sessions.start(
            connection,
            account.id,
            client,
            methods,
            now,
            device_id=known,
            provider=vouched.provider or None,
            provider_session=vouched.session,
            expires=vouched.expires,
            fresh=vouched.authenticated,
            replaces=replaces,
        )
        facts: dict[str, Any] = {"methods": ",".join(methods), "new_device": new_device is not None}
        if account.break_glass:
            base.alarm(connection, account, client, **facts)
        else:
            base.record("session.started", account, client=client, **facts)
        return SignedIn(account=account, token=token, device=new_device, enrol_by=deadline)
