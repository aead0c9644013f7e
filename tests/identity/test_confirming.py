"""By what somebody who is signed in can prove to be there still."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import World, client
from vallum.identity import Account
from vallum.identity.sso.providers import parse
from vallum.identity.sso.store import Link, link, save_provider
from vallum.postgres.migrations import migrate

OIDC: dict[str, Any] = {"kind": "oidc", "client_id": "v", "secret": "env:X"}
LDAP: dict[str, Any] = {"kind": "ldap", "url": "ldaps://dc.example.com", "base": "dc=example"}


@pytest.fixture
def federated(new_world: Maker) -> World:
    """With providers of every kind."""
    world = new_world()
    described: list[dict[str, Any]] = [
        {**OIDC, "id": "one", "issuer": "https://id.example.com"},
        {**OIDC, "id": "off", "issuer": "https://off.example.com", "enabled": False},
        {**OIDC, "id": "google", "issuer": "https://accounts.google.com"},
        {**LDAP, "id": "dir"},
        {"kind": "scim", "id": "people", "domains": ["only.example"], "forbid_password": True},
    ]
    with world.store.transaction() as tx:
        migrate(tx, "sso")
        for one in described:
            save_provider(tx, parse({**one, "label": one["id"].title()}), world.clock.now())
    return world


def _linked(world: World, account: Account, *providers: str) -> None:
    with world.store.transaction() as tx:
        for name in providers:
            link(tx, Link(name, f"issuer of {name}", "m-1", account.id), world.clock.now())


def _ways(world: World, account: Account, began_at: str | None = None) -> tuple[bool, bool, list[str]]:
    found = world.identity.confirming.ways(account, began_at)
    return found.password, found.factor, [one.id for one in (*found.providers, *found.directories)]


def test_ways_are_those_somebody_has(federated: World) -> None:
    """No field for a password one does not have; the provider one came by is the first."""
    own = federated.person()
    assert _ways(federated, own) == (True, False, [])
    other = federated.person("paul", password=None)
    assert _ways(federated, other) == (False, False, [])
    with federated.store.transaction() as tx:
        two = parse({**OIDC, "id": "two", "label": "Two", "issuer": "https://two.example.com"})
        save_provider(tx, two, federated.clock.now())
    _linked(federated, other, "two", "one", "dir")
    assert _ways(federated, other) == (False, False, ["one", "two", "dir"])
    assert _ways(federated, other, "two") == (False, False, ["two", "one", "dir"])
    federated.totp(other)
    assert _ways(federated, other)[1]


def test_provider_that_cannot_ask_is_no_way(federated: World) -> None:
    """Switched off, only provisioning, or Google, which asks nobody anew: the page offers none of them."""
    account = federated.person(password=None)
    _linked(federated, account, "off", "google", "people")
    assert _ways(federated, account) == (False, False, [])


def test_password_that_is_forbidden_by_domain_is_no_way(federated: World) -> None:
    """But for whoever is there for emergencies."""
    account = federated.person("anna@only.example")
    assert _ways(federated, account)[0] is False
    federated.store.rows("UPDATE vallum.account SET break_glass = true RETURNING id")
    assert _ways(federated, federated.identity.base.accounts.get(account.id))[0]


def test_password_of_a_directory_confirms_its_own_account_alone(federated: World) -> None:
    """With a code where there is a second factor; the session goes on under a new token."""
    marie, paul = federated.person(), federated.person("paul")
    token = federated.sign_in().token
    confirm = federated.identity.confirming.directory
    assert confirm(token, paul.id, client(), code=None) is None
    fresh = confirm(token, marie.id, client(), code=None)
    assert fresh is not None
    assert confirm(token, marie.id, client(), code=None) is None
    app = federated.totp(marie)
    assert confirm(fresh, marie.id, client(), code="") is None
    assert confirm(fresh, marie.id, client(), code=app.at(federated.clock.now())) is not None
