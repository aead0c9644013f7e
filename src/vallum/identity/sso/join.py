"""From somebody a provider vouches for to an account here.

`decide` is pure: it says what is to happen; `join` looks things up, does it, and records it.
Invariant: an account is found by (provider, issuer, subject); names and addresses find one only as far as the
provider's `adopt` says, and once: from then on there is a link.
Invariant: a provider speaks only for its mail domains, where it has any: also where a login names one.
Invariant: a service's account, or one to break the glass, is nobody's by a name or an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from vallum.identity.accounts_port import Account, Accounts, Person, Transaction
from vallum.identity.sso import state, store
from vallum.identity.sso.errors import ASK, SignInRefused
from vallum.identity.sso.providers import Provider
from vallum.identity.sso.rules import groups_of

__all__ = ["Identity", "SignedIn", "decide", "domain_of", "join", "password_provider", "speaks_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody, as a provider has just proven. `match`: what a provisioned account is recognised by.

    `hint`: what the provider is to be shown when they sign out; a secret.
    """

    issuer: str
    subject: str
    person: Person
    email_verified: bool = False
    match: str | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sid: str | None = None
    authenticated: datetime | None = None
    methods: tuple[str, ...] = ()
    hint: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is signed in: what the server needs to open a session.

    `session_id`: the session for which they have proven to be there still.
    """

    account: Account
    provider_id: str
    identity: Identity
    return_to: str
    created: bool = False
    session_id: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known here of somebody: by link, by the same directory's provisioning, by login, by address.

    `others`: which of these accounts are linked to somebody else at the provider.
    """

    linked: Account | None = None
    provisioned: Account | None = None
    same_login: Account | None = None
    same_email: Account | None = None
    others: frozenset[int] = frozenset()


Step = Literal["use", "link", "create"]
_REFUSED: Final = "the sign-in elsewhere worked, but "


def decide(provider: Provider, identity: Identity, known: Known) -> tuple[Step, Account | None]:
    """What is to happen. Raises: SignInRefused."""
    if provider.domains and domain_of(identity.person.email) not in provider.domains:
        raise SignInRefused(
            f"{_REFUSED}`{provider.label}` answers only for addresses at " + ", ".join(provider.domains),
            reason="domain",
            where=provider.id,
            fix="sign in with an account of your organisation",
        )
    account = known.linked or _adopted(provider, identity, known)
    if known.linked is None and account is not None and account.reserved:
        raise SignInRefused(
            f"{_REFUSED}the account with your name here is a service's, or for emergencies",
            reason="reserved",
            where=provider.id,
            fix=ASK,
        )
    if known.linked is None and account is not None and account.id in known.others:
        # A name or address that was given to somebody new: the account is not theirs thereby.
        raise SignInRefused(
            f"{_REFUSED}the account with your name here belongs to somebody else there",
            reason="linked-otherwise",
            where=provider.id,
            fix=f"{ASK}; where it is yours: `vallum sso unlink`",
        )
    if account is not None and not account.active:
        raise SignInRefused(
            f"{_REFUSED}your account here is switched off", reason="inactive", where=provider.id, fix=ASK
        )
    if account is not None:
        return ("use" if known.linked else "link"), account
    if known.same_login is not None:
        raise SignInRefused(
            f"{_REFUSED}an account with your login exists that is not linked to it",
            reason="not-linked",
            where=provider.id,
            fix=f"{ASK} to link it: `vallum sso link`",
        )
    if not provider.create:
        raise SignInRefused(
            f"{_REFUSED}you have no account here",
            reason="no-account",
            where=provider.id,
            fix=f"{ASK} for one",
        )
    if not speaks_for(provider, identity.person.login):
        raise _foreign_login(provider)
    return "create", None


def _adopted(provider: Provider, identity: Identity, known: Known) -> Account | None:
    match provider.adopt:
        case "never":
            return None
        case "provisioned":
            return known.provisioned
        case "login":
            account = known.provisioned or known.same_login
            if account is not known.provisioned and not speaks_for(provider, identity.person.login):
                raise _foreign_login(provider)
            return account
        case "email":
            return known.provisioned or (known.same_email if identity.email_verified else None)


def speaks_for(provider: Provider, login: str) -> bool:
    """Whether a login is one a provider may bring: it names no mail domain, or one of the provider's.

    People may choose their login at many providers, other than their address.
    """
    domain = domain_of(login)
    return not provider.domains or domain is None or domain in provider.domains


def _foreign_login(provider: Provider) -> SignInRefused:
    return SignInRefused(
        f"{_REFUSED}your login there is at a domain that `{provider.label}` does not answer for",
        reason="domain",
        where=provider.id,
        fix=f"{ASK}: that domain belongs to the provider's `domains`, or another claim is the login",
    )


def join(
    tx: Transaction,
    accounts: Accounts,
    provider: Provider,
    identity: Identity,
    *,
    return_to: str,
    now: datetime,
    wanted: int | None = None,
) -> SignedIn:
    """Sign somebody in. `wanted`: the account that is linked, or proves to be there; no other will do.

    Of several who are the same person and come for the first time together, one makes the account or the
    link, and the others find it.

    Raises: SignInRefused, ProviderMisconfigured.
    """
    known = _look_up(tx, accounts, provider, identity)
    step, account = decide(provider, identity, known)
    if wanted is not None and (account is None or account.id != wanted):
        raise SignInRefused("somebody else signed in there", reason="other-account", where=provider.id)
    if account is None:
        account = accounts.create(tx, identity.person, provider.id)
        accounts.record(tx, "sso.account-created", account.id, {"provider": provider.id})
    found = store.Link(provider.id, identity.issuer, identity.subject, account.id)
    if step != "use":
        store.link(tx, found, now)
        accounts.record(tx, "sso.linked", account.id, {"provider": provider.id, "by": step})
    if provider.rules and not store.is_provisioned(tx, provider.id, account.id):
        # Where the directory provisions, it says who is in which group, and goes on saying so.
        groups = groups_of(provider.rules, identity.attributes)
        accounts.set_groups(tx, account.id, groups, provider.id)
    store.touch(tx, found, now)
    state.succeeded(tx, provider.id, now)
    accounts.record(tx, "sso.signed-in", account.id, {"provider": provider.id})
    return SignedIn(account, provider.id, identity, return_to, step == "create")


def _look_up(tx: Transaction, accounts: Accounts, provider: Provider, identity: Identity) -> Known:
    linked = store.find_link(tx, provider.id, identity.issuer, identity.subject)
    if linked is None:
        # Whoever has come here before us is done when we go on, and what they made is seen.
        store.hold(tx, provider.id, identity.issuer, identity.subject)
        linked = store.find_link(tx, provider.id, identity.issuer, identity.subject)
    provisioned = None
    if identity.match:
        provisioned = store.provisioned(tx, provider.id, identity.match, identity.subject)
    email = identity.person.email
    account = accounts.find(tx, linked) if linked is not None else None
    if linked is not None and account is None:
        raise SignInRefused(
            f"{_REFUSED}your account here was removed", reason="no-account", where=provider.id, fix=ASK
        )
    found = (
        accounts.find(tx, provisioned) if provisioned is not None else None,
        accounts.find_login(tx, identity.person.login),
        accounts.find_email(tx, email) if email else None,
    )
    ids = {one.id for one in found if one is not None} if linked is None else set()
    return Known(account, *found, others=store.linked_among(tx, provider.id, ids))


def domain_of(email: str | None) -> str | None:
    """The domain of a mail address, in lower case.

    >>> domain_of("Marie@Example.COM")
    'example.com'
    """
    local, at, domain = (email or "").rpartition("@")
    return domain.lower().rstrip(".") if local and at and domain else None


def password_provider(tx: Transaction, *names: str | None) -> str | None:
    """The provider by which whoever has this login or address must sign in; None: a password will do.

    Break-glass accounts are the caller's to exempt. What else is written down of a provider does not matter:
    one that is written down wrongly neither opens what it shuts nor shuts anything else.
    """
    domains = {domain for name in names if (domain := domain_of(name))}
    # Where nobody has ever used single sign-on, there are no tables for it.
    for provider_id, config in store.configs(tx) if domains and store.is_ready(tx) else ():
        # Also where it is switched off: switching off must not open what was shut.
        if config.get("forbid_password") and domains.intersection(config.get("domains") or ()):
            return provider_id
    return None
