"""Who becomes which account; where passwords are forbidden; what is kept of providers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.identity.oidc.tokens import ISSUER, provider
from tests.support.sso_world import World
from vallum.identity.accounts_port import Account, Person
from vallum.identity.sso import store
from vallum.identity.sso.errors import NoSuchProvider, ProviderMisconfigured, SignInRefused
from vallum.identity.sso.join import Identity, Known, decide, join, password_provider
from vallum.identity.sso.pending import local_path, start
from vallum.identity.sso.providers import dump, parse

ACTIVE, SHUT = Account(1, "marie", True), Account(2, "marie", False)


def identity(**given: Any) -> Identity:
    """Marie, as a provider describes her."""
    person = Person("marie", "Marie", "marie@example.com")
    return Identity(**{"issuer": ISSUER, "subject": "m-1", "person": person, **given})


def reason(who: Identity, known: Known, **given: Any) -> str:
    """Why somebody is refused."""
    with pytest.raises(SignInRefused) as caught:
        decide(provider(**given), who, known)
    return caught.value.reason


def test_link_is_what_counts() -> None:
    """Names and addresses are not looked at where there is one."""
    assert decide(provider(), identity(), Known(linked=ACTIVE, same_login=SHUT)) == ("use", ACTIVE)


@pytest.mark.asvs("6.8.1")
def test_account_is_not_taken_over_by_its_name() -> None:
    """Whoever can choose a login at a provider does not thereby get an account here."""
    assert reason(identity(), Known(same_login=ACTIVE, same_email=ACTIVE), create=True) == "not-linked"
    verified = identity(email_verified=True)
    assert reason(verified, Known(same_login=ACTIVE, same_email=ACTIVE)) == "not-linked"


@pytest.mark.asvs("6.8.1")
def test_account_is_adopted_by_verified_address_only_where_that_is_said() -> None:
    """Said of named domains, verified by the provider."""
    said: dict[str, Any] = {"adopt": "email", "domains": ["example.com"]}
    known = Known(same_email=ACTIVE)
    assert decide(provider(**said), identity(email_verified=True), known) == ("link", ACTIVE)
    assert reason(identity(), known, **said) == "no-account"
    foreign = identity(person=Person("marie", "Marie", "marie@evil.example"), email_verified=True)
    assert reason(foreign, known, **said) == "domain"


@pytest.mark.asvs("6.8.1")
@pytest.mark.parametrize("adopt", ["login", "provisioned"])
def test_login_at_another_domain_is_not_the_providers_to_bring(adopt: str) -> None:
    """Who may choose a login beside a sound address neither gets the account of that name nor makes one."""
    said: dict[str, Any] = {"adopt": adopt, "domains": ["example.com"], "create": True}
    eve = identity(person=Person("boss@other.example", "Eve", "eve@example.com"))
    known = Known(same_login=ACTIVE) if adopt == "login" else Known()
    assert reason(eve, known, **said) == "domain"
    own = identity(person=Person("Eve@Example.com", "Eve", "eve@example.com"))
    assert decide(provider(**said), own, Known()) == ("create", None)
    assert decide(provider(**said), eve, Known(linked=ACTIVE)) == ("use", ACTIVE)
    assert decide(provider(**said), eve, Known(provisioned=ACTIVE)) == ("link", ACTIVE)


@pytest.mark.asvs("6.8.1")
@pytest.mark.parametrize("adopt", ["provisioned", "login", "email"])
def test_reserved_account_is_nobodys_by_a_name(adopt: str) -> None:
    """Not a service's, and not the one that must still be there when a provider is not to be believed."""
    kept = Account(3, "glass", True, reserved=True)
    known = Known(provisioned=kept, same_login=kept, same_email=kept)
    who = identity(email_verified=True)
    assert reason(who, known, adopt=adopt, domains=["example.com"]) == "reserved"
    assert decide(provider(), who, Known(linked=kept)) == ("use", kept)


def test_provisioned_account_is_adopted_unless_never() -> None:
    """What the same directory has brought is its own."""
    known = Known(provisioned=ACTIVE)
    assert decide(provider(), identity(), known) == ("link", ACTIVE)
    assert reason(identity(), known, adopt="never") == "no-account"


@pytest.mark.parametrize("adopt", ["provisioned", "email", "login"])
@pytest.mark.asvs("10.5.2")
def test_account_is_adopted_once(world: World, adopt: str) -> None:
    """A name or address that the provider gives to somebody new does not bring the account of who had it."""
    found = world.provider(**{**dump(provider()), "adopt": adopt, "domains": ["example.com"]})
    first = identity(email_verified=True, match="marie")

    def signed_in(who: Identity) -> int:
        with world.store.transaction() as tx:
            return join(tx, world.accounts, found, who, return_to="/", now=world.clock.now()).account.id

    with world.store.transaction() as tx:
        account = world.accounts.create(tx, first.person, "local")
        tx.execute(
            "INSERT INTO vallum.scim_user VALUES (gen_random_uuid(), 'idp', %s, 'marie', NULL, true,"
            " '{}', '{}', 1, now(), now())",
            (account.id,),
        )
        store.link(tx, store.Link("idp", "scim:idp", "u-1", account.id), world.clock.now())
    assert signed_in(first) == account.id
    assert signed_in(first) == account.id
    with pytest.raises(SignInRefused) as caught:
        signed_in(replace(first, subject="m-2"))
    assert caught.value.reason == "linked-otherwise"


@pytest.mark.parametrize("known", [Known(linked=SHUT), Known(provisioned=SHUT)])
def test_account_that_is_switched_off_is_refused(known: Known) -> None:
    """However it was found."""
    assert reason(identity(), known, create=True) == "inactive"


def test_provider_speaks_only_for_its_domains() -> None:
    """Also where somebody is linked already: an address may have moved."""
    for email in (None, "x", "marie@sub.example.com", "marie@example.com@evil.example", "@example.com"):
        who = identity(person=Person("marie", "Marie", email))
        assert reason(who, Known(linked=ACTIVE), domains=["example.com"]) == "domain"
    who = identity(person=Person("marie", "Marie", "Marie@EXAMPLE.com"))
    assert decide(provider(domains=["example.com"]), who, Known(linked=ACTIVE))[0] == "use"


@pytest.mark.asvs("16.5.3")
def test_error_while_joining_leaves_nothing(world: World) -> None:
    """Account, link, groups and event are one transaction."""
    broken = provider(create=True, rules=[{"groups": ["base.group_user"]}])
    with world.store.transaction() as tx:
        store.save_provider(tx, broken, world.clock.now())

    class Failing(type(world.accounts)):  # type: ignore[misc]
        def set_groups(self, *_: object) -> None:
            raise RuntimeError

    def fail() -> None:
        with world.store.transaction() as tx:
            join(tx, Failing(), broken, identity(), return_to="/", now=world.clock.now())

    with pytest.raises(RuntimeError):
        fail()
    for table in ("plain_account", "plain_event", "vallum.sso_link"):
        assert world.rows(f"SELECT 1 FROM {table}") == []


def test_password_is_forbidden_by_domain(world: World) -> None:
    """For login or address, also while the provider is switched off: that must not open a door."""
    world.provider(
        **{**dump(provider()), "domains": ["example.com"], "forbid_password": True, "enabled": False}
    )
    with world.store.transaction() as tx:
        found = password_provider(tx, "marie", "Marie@Example.com")
        assert found == "idp"
        assert password_provider(tx, "marie@other.example", None) is None
        assert password_provider(tx, "marie", "marie@example.com.evil.example") is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "magic"},
        {"id": "Has Space"},
        {"issuer": "http://id.example.com"},
        {"issuer": "https://user@id.example.com"},
        {"scopes": ["profile"]},
        {"secret": None, "authentication": "client_secret_basic"},
        {"skew": 301},
        {"skew": -1},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"forbid_password": True},
        {"adopt": "email"},
        {"unknown": 1},
        {"id": "direct"},
        {"id": "request"},
        {"rules": [{"value": "x", "groups": []}]},
        {"rules": [{"value": "x", "groups": ["g"], "regex": True}]},
    ],
)
def test_provider_described_wrongly_is_refused(change: dict[str, Any]) -> None:
    """Nothing is ignored, nothing guessed."""
    with pytest.raises(ProviderMisconfigured):
        parse({**dump(provider()), **change})


def test_provider_can_be_removed_with_its_links(world: World) -> None:
    """And once only."""
    world.provider(**dump(provider()))
    with world.store.transaction() as tx:
        store.link(tx, store.Link("idp", ISSUER, "m-1", 1), world.clock.now())
        assert store.links_of(tx, account_id=1) == [store.Link("idp", ISSUER, "m-1", 1)]
        store.forget_provider(tx, world.accounts, "idp")
        assert store.links_of(tx) == []
        with pytest.raises(NoSuchProvider):
            store.forget_provider(tx, world.accounts, "idp")


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/\t/evil", "a", "", None]
)
@pytest.mark.asvs("3.7.2")
def test_sign_in_leads_nowhere_else(path: str | None) -> None:
    """No open redirect: only paths of this server."""
    assert local_path(path) == "/"


def test_cookie_of_another_form_is_not_kept() -> None:
    """Who plants one does not choose what we write into the table."""
    assert start("x").browser != "x"
    kept = start(None).browser
    assert start(kept).browser == kept
