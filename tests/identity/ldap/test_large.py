"""A large Active Directory: members in ranges, people in pages, groups within groups."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.ldap.conftest import PASSWORD, Site
from tests.support.directories import ActiveDirectory, RealDirectory, python_ldap
from vallum.identity.ldap.directory import Directory, normal_dn
from vallum.identity.ldap.entry import closure
from vallum.identity.ldap.signin import directory_of, normal_rules
from vallum.identity.ldap.sync import read_directory
from vallum.identity.sso.providers import LdapProvider, parse
from vallum.kernel import NO_PROGRESS

pytestmark = pytest.mark.slow

PEOPLE = 1_510
CONTACTS = {"user_filter": "(objectCategory=person)", "login_attribute": "cn"}


@pytest.fixture(scope="session")
def crowd(samba: ActiveDirectory) -> str:
    """A corner with 1,510 people, all of them in one group, which is in another: its base.

    But for the last they are contacts, which are made faster.
    """
    base = f"OU=crowd,{samba.base}"
    with samba.changing() as connection:
        connection.add_s(base, [("objectClass", [b"organizationalUnit"]), ("ou", [b"crowd"])])
        inner = _within(samba, base)
        names = [inner.add(connection, f"CN=crowd{n}", ["contact"]) for n in range(PEOPLE - 1)]
        names.append(inner.add_user(connection, f"crowd{PEOPLE - 1}", PASSWORD))
        everyone = inner.add(connection, "CN=everyone", ["group"], sAMAccountName="crowd-everyone")
        for first in range(0, PEOPLE, 400):
            values = [name.encode() for name in names[first : first + 400]]
            connection.modify_s(everyone, [(python_ldap().MOD_ADD, "member", values)])
        inner.add(connection, "CN=company", ["group"], sAMAccountName="crowd-company", member=everyone)
    return base


def _within(directory: RealDirectory, base: str) -> ActiveDirectory:
    return ActiveDirectory(
        directory.address, base, directory.dn, directory.password, directory.ca_file, directory.process
    )


def _directory(site: Site, base: str, **given: Any) -> Directory:
    provider = parse({**site.given, **CONTACTS, "base": base, "rules": [], **given})
    assert isinstance(provider, LdapProvider)
    return directory_of(provider)


def test_members_come_in_ranges_and_none_is_missing(ad: Site, crowd: str) -> None:
    """The server gives 1,500 of them at a time; the rest is asked for."""
    with ad.directory.changing() as connection:
        rows = connection.search_s(
            f"CN=everyone,{crowd}", python_ldap().SCOPE_BASE, "(objectClass=group)", ["member;range=0-1499"]
        )
        assert [(name, len(values)) for name, values in rows[0][1].items()] == [("member;range=0-1499", 1500)]
    members = _directory(ad, crowd).members()
    assert len(members[normal_dn(f"CN=everyone,{crowd}")]) == PEOPLE
    found = closure(members)
    last = normal_dn(f"CN=crowd{PEOPLE - 1},{crowd}")
    assert found[last] == {normal_dn(f"CN={name},{crowd}") for name in ("everyone", "company")}
    assert len(found) >= PEOPLE


@pytest.mark.parametrize("page", [7, 500, 1000])
def test_people_come_in_pages_and_none_twice(ad: Site, crowd: str, page: int) -> None:
    """However long a page is."""
    narrow = "(&(objectCategory=person)(cn=crowd1*))" if page == 7 else None
    directory = _directory(ad, crowd, page=page, **({"user_filter": narrow} if narrow else {}))
    names = [entry.dn for entry in directory.users()]
    assert len(names) == len(set(names))
    assert len(names) == (sum(str(n).startswith("1") for n in range(PEOPLE)) if narrow else PEOPLE)


def test_synchronisation_gives_everybody_the_groups_of_groups(ad: Site, crowd: str) -> None:
    """Also those behind the first 1,500: a group that was cut short would take rights away."""
    rules = [
        {"value": f"CN=everyone,{crowd}", "groups": ["sales.everyone"]},
        {"value": f"CN=company,{crowd}", "groups": ["sales.company"]},
    ]
    provider = parse({**ad.given, **CONTACTS, "base": crowd, "rules": rules})
    assert isinstance(provider, LdapProvider)
    found = read_directory(normal_rules(provider), ad.world.clock.now(), NO_PROGRESS)
    assert len(found) == PEOPLE
    assert {one.groups for one in found.values()} == {frozenset({"sales.company", "sales.everyone"})}


def test_member_behind_the_first_range_signs_in_with_its_groups(ad: Site, crowd: str) -> None:
    """At a sign-in the directory itself looks through groups of groups."""
    ad.write_down(base=crowd, rules=[{"value": f"CN=company,{crowd}", "groups": ["sales.company"]}])
    signed = ad.sign_in(f"crowd{PEOPLE - 1}")
    with ad.world.store.transaction() as tx:
        assert ad.world.accounts.groups(tx, signed.account.id, "corp") == {"sales.company"}
