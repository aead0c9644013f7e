"""The service behind all protocols: an opened application, its users' sessions, sign-in and limits.

One per process, shared by its threads. What it knows of policy and users is replaced as a whole when
they change (see `watch`): a call is answered under one policy, the old or the new one.
Whoever holds a `Service` can be any user.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from threading import Lock
from time import monotonic
from typing import Any, Final

from vallum.audit import Who
from vallum.enforce import Application
from vallum.facade import Session
from vallum.identity import Client, Verdict
from vallum.kernel import AccessDenied, VallumError
from vallum.policy import Actor, Directory, User
from vallum.schema import Schema
from vallum.server.addresses import Addresses
from vallum.server.calling import caller
from vallum.server.limits import Counters, Rate
from vallum.server.pages import Frame
from vallum.server.people import People
from vallum.server.replicas import ReplicatedDatabase
from vallum.server.rpc.context import Context
from vallum.server.rpc.faults import UNAVAILABLE_NAME, RpcError
from vallum.server.rpc.methods import METHODS
from vallum.server.sessions import Sessions
from vallum.server.signin import SignIn, denied, network_of
from vallum.server.trail import ServerTrail

__all__ = ["Service", "State"]

_LOG: Final = logging.getLogger("vallum.server")
_MOST_SESSIONS: Final = 4096
_RENEW: Final = 0.9
_NAMES: Final = frozenset({name for _, name in METHODS} | {"authenticate", "login", "version"})


@dataclass(slots=True)
class _Eyes:
    """A user's session, and when was looked whether what its rules have read still holds."""

    session: Session
    looked: float


@dataclass(frozen=True, slots=True)
class State:
    """What is known at one time. `sessions`: of the users that asked last."""

    application: Application
    languages: frozenset[str] | None
    sessions: OrderedDict[tuple[Any, ...], _Eyes] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)


@dataclass(slots=True, kw_only=True)
class Service:
    """Answers calls. `of_odoo`: the database is an Odoo's, and is only read.

    `replicas`: the same database, where standbys answer for it. `frame`: what stands around its pages.
    """

    state: State | None
    signin: SignIn
    sessions: Sessions
    counters: Counters
    api_rate: Rate
    sso_rate: Rate
    addresses: Addresses
    database_name: str
    version: int
    of_odoo: bool
    writable: bool
    max_rows: int
    call_timeout: float
    protocols: frozenset[str]
    people: People | None = None
    frame: Frame = field(default_factory=Frame)
    replicas: ReplicatedDatabase | None = None
    trail: ServerTrail | None = None

    # What there is

    @property
    def known(self) -> State:
        """What is known now.

        Raises: RpcError, where policy or users have changed and cannot be read.
        """
        if self.state is None:
            raise RpcError(
                "policy or users have changed and cannot be read",
                name=UNAVAILABLE_NAME,
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                retry_after=1,
            )
        return self.state

    def learn(self, state: State | None) -> None:
        """From now on this is known; None: nothing is. What was remembered of proofs is dropped."""
        self.state = state
        self.signin.forget()

    @property
    def application(self) -> Application:
        """The application as it is now."""
        return self.known.application

    @property
    def schema(self) -> Schema:
        """Its models."""
        return self.application.schema

    @property
    def directory(self) -> Directory:
        """Its users."""
        return self.application.directory

    def check_database(self, name: Any) -> None:
        """Refuse a database that is not the one that is served.

        Raises: RpcError.
        """
        if name != self.database_name:
            raise RpcError(
                f'database "{str(name)[:80]}" does not exist',
                name="psycopg2.OperationalError",
                status=HTTPStatus.NOT_FOUND,
            )

    # Who asks

    def active_user(self, verdict: Verdict) -> User:
        """The user of an accepted verdict, as known now.

        Raises: RpcError, where there is no such user any more, or an archived one.
        """
        user = self.directory.get(verdict.user_id or 0)
        if user is None or not user.active:
            raise denied()
        return user

    def who(self, verdict: Verdict) -> Who:
        """The user of a verdict, and where the request that is answered comes from, for the trail."""
        user, client = self.directory.get(verdict.user_id or 0), caller()
        return Who(verdict.user_id or 0, user.login if user else "", client.address, client.request_id)

    def user(self, session: Session) -> User:
        """The user whose session it is."""
        user = self.directory.get(session.actor.user_id if session.actor else 0)
        if user is None:
            raise denied()
        return user

    def session(self, verdict: Verdict, context: Context) -> Session:
        """The eyes of the user, as the context chooses them.

        Raises: RpcError, CompanyNotAllowed.
        """
        state = self.known
        key = (verdict.user_id, verdict.key_models, context.lang, context.tz, context.companies)
        with state.lock:
            found = state.sessions.get(key)
            if found is not None:
                state.sessions.move_to_end(key)
        if found is not None:
            return self._renewed(state, found)
        self._check_language(state, context.lang)
        actor = self._actor(state, verdict, context)
        made = _Eyes(Session(state.application, actor, verdict.key_models), monotonic())
        with state.lock:
            state.sessions[key] = made
            while len(state.sessions) > _MOST_SESSIONS:
                state.sessions.popitem(last=False)
        return made.session

    @staticmethod
    def _renewed(state: State, eyes: _Eyes) -> Session:
        """The session, what its rules have read of records read again once a second."""
        now, actor = monotonic(), eyes.session.actor
        if actor is not None and now - eyes.looked > _RENEW:
            eyes.looked = now
            state.application.renew(actor)
        return eyes.session

    def _actor(self, state: State, verdict: Verdict, context: Context) -> Actor:
        user = self.active_user(verdict)
        companies = context.companies
        if companies is None:
            own = (user.company_id,) if user.company_id is not None else ()
            companies = tuple(dict.fromkeys((*own, *user.company_ids)))
        actor = state.application.actor(user.id, companies or None)
        # As in Odoo, a call without a language is in English and without a time zone in UTC.
        return replace(actor, lang=context.lang or "en_US", tz=context.tz)

    @staticmethod
    def _check_language(state: State, lang: str | None) -> None:
        if lang is not None and state.languages is not None and lang not in state.languages:
            raise RpcError(
                f"the language `{lang}` is not installed",
                name="odoo.exceptions.UserError",
                fix="use " + ", ".join(sorted(state.languages)),
            )

    # What it may cost

    def admit(self, verdict: Verdict, client: Client) -> User:
        """The user of an accepted verdict, where the user or key may be used from the client's address.

        Raises: RpcError (401, 403).
        """
        user = self.active_user(verdict)
        if self.addresses.restricted:
            groups = self.application.actor(user.id).groups
            labels = [g.xml_id for i in groups if (g := self.application.policy.groups.get(i)) and g.xml_id]
            logins = {user.login, self.login_of(user)}
            if not all(self.addresses.admits(client.address, n, labels, verdict.key_id) for n in logins):
                error = RpcError(
                    "this user or key may not be used from this address",
                    name="odoo.exceptions.AccessError",
                    status=HTTPStatus.FORBIDDEN,
                )
                if self.trail is not None:
                    self.trail.refused(error, {"key": verdict.key_id}, self.who(verdict), None)
                raise error
        return user

    def login_of(self, user: User) -> str:
        """The name that goes with a user's password.

        Raises: ConnectionFailed.
        """
        return self.people.login_of(user) if self.people is not None else user.login

    def admits_account(self, account_id: int, address: str) -> bool:
        """Whether an account may be used from an address, by a browser; never where there are no accounts."""
        if not self.addresses.restricted:
            return True
        if self.people is None:
            return False
        base = self.people.identity.base
        account = base.accounts.get(account_id)
        user = self.directory.get(account.user_id or 0)
        groups = tuple(base.people.groups(account, base.now()))
        logins = {account.login, *([user.login] if user is not None else [])}
        return all(self.addresses.admits(address, login, groups, None) for login in logins)

    def limit(self, verdict: Verdict, client: Client) -> None:
        """Count a call, and refuse one too many, or one from where it may not come.

        Raises: RpcError (401, 403, 429), ConnectionFailed.
        """
        self.admit(verdict, client)
        whose = f"key:{verdict.key_id}" if verdict.key_id is not None else f"user:{verdict.user_id}"
        own = self.api_rate if verdict.key_rate is None else Rate(verdict.key_rate, self.api_rate.burst)
        address = f"api:address:{network_of(client.address)}"
        wait = self.counters.take((f"api:{whose}", own), (address, self.api_rate))
        if wait is not None:
            raise RpcError(
                "too many calls",
                name="werkzeug.exceptions.TooManyRequests",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                fix="wait before the next one",
                retry_after=wait,
            )

    # What the log says

    def named(self, model: Any, method: Any) -> dict[str, str]:
        """What the log says of a call; nothing that is no name of a model or method."""
        found = {}
        if isinstance(model, str) and self.state is not None and model in self.schema:
            found["model"] = model
        if isinstance(method, str) and method in _NAMES:
            found["call"] = method
        return found

    def noticed(self, error: Exception) -> None:
        """Log an error nobody foresaw; those of calls are in the access log."""
        if isinstance(error, VallumError | AccessDenied):
            return
        # Neither its text nor its locals: they may hold what the client sent.
        trace = error.__traceback__
        places = []
        while trace is not None:
            places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
            trace = trace.tb_next
        _LOG.error("unforeseen error", extra={"kind": type(error).__name__, "at": places[-8:]})
