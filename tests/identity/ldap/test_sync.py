"""Following real directories."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.identity.ldap.conftest import Site
from tests.support.directories import ActiveDirectory, python_ldap
from vallum.identity.accounts_port import Person
from vallum.identity.ldap.sync import Plan, SyncRefused, synchronise
from vallum.identity.sso.errors import ProviderUnavailable

pytestmark = pytest.mark.slow


@pytest.fixture(params=["generic", "ad"])
def site(request: pytest.FixtureRequest) -> Site:
    """Either directory."""
    return cast("Site", request.getfixturevalue(request.param))


def sync(site: Site, **given: Any) -> Plan:
    """Follow it."""
    world = site.world
    return synchronise(world.store, world.accounts, world.clock, "corp", **given)


def summary(plan: Plan) -> dict[str, int]:
    """How many of which kind."""
    return {kind: plan.count(kind) for kind in {change.kind for change in plan.changes}}


def people(site: Site) -> list[str]:
    """Who is there, in the order of their names in the directory."""
    wanted = "(uid=*)" if site.given["flavour"] == "generic" else "(&(objectClass=user)(sAMAccountName=*))"
    with site.directory.changing() as connection:
        rows = connection.search_s(site.base, python_ldap().SCOPE_SUBTREE, wanted, ["1.1"])
    return sorted(dn for dn, _ in rows)


def test_dry_run_says_and_changes_nothing(site: Site) -> None:
    """Then the same is done; then there is nothing left to do."""
    before = sync(site, dry_run=True)
    assert summary(before) == {"create": 2}
    assert site.world.rows("SELECT 1 FROM plain_account") == []
    assert sync(site) == before
    assert summary(sync(site)) == {}
    groups = site.world.rows("SELECT count(*) FROM plain_group")
    assert groups == [(2,)]


def test_sign_in_and_synchronisation_mean_the_same_account(site: Site) -> None:
    """Whichever comes first."""
    sync(site)
    login = str(site.world.rows("SELECT login FROM plain_account ORDER BY id LIMIT 1")[0][0])
    signed = site.sign_in(login)
    assert not signed.created
    assert summary(sync(site)) == {}


def test_who_leaves_loses_everything_at_once(site: Site) -> None:
    """Removed from the directory: the account is shut and its session gone with the same transaction."""
    sync(site)
    account_id = _account(site, "marie")
    with site.world.store.transaction() as tx:
        site.world.accounts.open_session(tx, account_id, "corp", None)
    with site.directory.changing() as connection:
        connection.delete_s(people(site)[0])
    assert summary(sync(site)) == {"deactivate": 1}
    with site.world.store.transaction() as tx:
        account = site.world.accounts.find(tx, account_id)
        assert account is not None
        assert not account.active
        assert site.world.accounts.sessions(tx, account_id) == 0
    assert summary(sync(site)) == {}


def test_name_that_is_taken_holds_up_nobody_else(generic: Site) -> None:
    """Paul is renamed to another's login: that is told, and marie, who has left, is shut all the same."""
    sync(generic)
    with generic.world.store.transaction() as tx:
        generic.world.accounts.create(tx, Person("olga", "Olga", None), "local")
    with generic.directory.changing() as connection:
        connection.delete_s(f"uid=marie,{generic.base}")
        connection.modrdn_s(f"uid=paul,{generic.base}", "uid=olga", 1)
    done = sync(generic)
    assert summary(done) == {"deactivate": 1, "conflict": 1}
    assert [change.login for change in done.changes if change.kind == "conflict"] == ["olga"]
    rows = generic.world.rows("SELECT login, active FROM plain_account ORDER BY login")
    assert rows == [("marie", False), ("olga", True), ("paul", True)]


def test_name_that_becomes_free_is_taken_over(generic: Site) -> None:
    """Whoever is renamed to the name somebody else gives up in the same run."""
    sync(generic)
    with generic.directory.changing() as connection:
        connection.modrdn_s(f"uid=paul,{generic.base}", "uid=peter", 1)
        connection.modrdn_s(f"uid=marie,{generic.base}", "uid=paul", 1)
    done = sync(generic)
    assert "conflict" not in summary(done)
    assert generic.world.rows("SELECT login FROM plain_account ORDER BY id") == [("paul",), ("peter",)]
    assert summary(sync(generic)) == {}


def test_disabled_bit_is_followed_both_ways(ad: Site) -> None:
    """Off: shut at once, with the session. On again: open, with the groups there were."""
    sync(ad)
    directory = cast("ActiveDirectory", ad.directory)
    account_id = _account(ad, "marie")
    with ad.world.store.transaction() as tx:
        ad.world.accounts.open_session(tx, account_id, "corp", None)
    with directory.changing() as connection:
        directory.switch(connection, people(ad)[0], on=False)
    assert summary(sync(ad)) == {"deactivate": 1}
    with ad.world.store.transaction() as tx:
        assert ad.world.accounts.sessions(tx, account_id) == 0
    with directory.changing() as connection:
        directory.switch(connection, people(ad)[0], on=True)
    assert summary(sync(ad)) == {"activate": 1}


def test_account_that_an_administrator_shut_is_not_opened(ad: Site) -> None:
    """The directory opens what it has shut itself."""
    sync(ad)
    with ad.world.store.transaction() as tx:
        ad.world.accounts.deactivate(tx, _account(ad, "marie"), "administrator")
    sync(ad)
    with ad.world.store.transaction() as tx:
        account = ad.world.accounts.find(tx, _account(ad, "marie"))
        assert account is not None
        assert not account.active


def test_groups_follow_the_directory(generic: Site) -> None:
    """Out of a group there, out of the groups that follow here."""
    sync(generic)
    sellers = f"cn=sellers,{generic.base}"
    marie = f"uid=marie,{generic.base}".encode()
    with generic.directory.changing() as connection:
        connection.modify_s(sellers, [(python_ldap().MOD_DELETE, "member", [marie])])
    changes = sync(generic).changes
    assert [(c.kind, c.detail) for c in changes] == [
        ("groups", "-base.group_user, -sales_team.group_sale_salesman")
    ]


def test_large_directory_comes_in_pages(generic: Site) -> None:
    """Sixty people where the server gives five at a time to those who do not ask for pages."""
    with generic.directory.changing() as connection:
        for number in range(60):
            connection.add_s(
                f"uid=p{number},{generic.base}",
                [
                    ("objectClass", [b"inetOrgPerson"]),
                    ("uid", [f"p{number}".encode()]),
                    ("cn", [b"P"]),
                    ("sn", [b"P"]),
                ],
            )
    generic.write_down(page=5)
    assert summary(sync(generic)) == {"create": 62}


def test_filter_that_matches_nobody_shuts_nobody(site: Site) -> None:
    """Until somebody says it is meant."""
    sync(site)
    site.write_down(user_filter="(uid=nobody-at-all)")
    with pytest.raises(SyncRefused, match="--dry-run"):
        sync(site)
    assert summary(sync(site, dry_run=True)) == {"deactivate": 2}
    assert summary(sync(site, force=True)) == {"deactivate": 2}


def test_directory_that_is_down_changes_nothing(site: Site) -> None:
    """No answer is not an empty answer."""
    sync(site)
    site.write_down(url="ldaps://127.0.0.1:1", timeout=1)
    with pytest.raises(ProviderUnavailable):
        sync(site, force=True)
    assert site.world.rows("SELECT count(*) FROM plain_account WHERE active") == [(2,)]


def _account(site: Site, name: str) -> int:
    rows = site.world.rows("SELECT id FROM plain_account WHERE login LIKE %s", f"{name}%")
    return cast("int", rows[0][0])
