"""Two real directories with the same people in them, and what is written down about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from tests.support.directories import ActiveDirectory, RealDirectory, active_directory, slapd
from tests.support.sso_world import World
from tests.support.sso_world import world as world
from vallum.identity.ldap.signin import LdapFlow
from vallum.kernel import VallumError

PASSWORD = "Correct-Horse-9"
_numbers = count(1)


@pytest.fixture(scope="session")
def open_ldap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirectory]:
    """OpenLDAP."""
    with slapd(tmp_path_factory.mktemp("slapd")) as directory:
        with directory.changing() as connection:
            connection.add_s(directory.base, [("objectClass", [b"domain"]), ("dc", [b"example"])])
        yield directory


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveDirectory]:
    """Active Directory."""
    with active_directory(tmp_path_factory.mktemp("samba")) as directory:
        yield directory


@dataclass
class Site:
    """A corner of a directory that one test has for itself, and the flow that signs in there."""

    world: World
    flow: LdapFlow
    directory: RealDirectory
    base: str
    given: dict[str, Any]

    def write_down(self, **given: Any) -> None:
        """The provider, but for what is given."""
        self.world.provider(**{**self.given, **given})

    def sign_in(self, login: str, password: str = PASSWORD) -> Any:
        return self.flow.sign_in("corp", login, password)

    def reason(self, login: str, password: str = PASSWORD) -> str:
        """Why somebody is refused; what was said is checked to say nothing of it."""
        with pytest.raises(VallumError) as caught:
            self.sign_in(login, password)
        return str(getattr(caught.value, "reason", type(caught.value).__name__))


@pytest.fixture
def generic(world: World, open_ldap: RealDirectory, tmp_path: Any) -> Site:
    """Marie and Paul in OpenLDAP; Marie is in `sellers`, which are in `staff`, which are in `sellers`."""
    base = _corner(open_ldap, "ou")
    with open_ldap.changing() as connection:
        for name in ("marie", "paul"):
            connection.add_s(
                f"uid={name},{base}",
                [
                    ("objectClass", [b"inetOrgPerson"]),
                    ("uid", [name.encode()]),
                    ("cn", [name.title().encode()]),
                    ("sn", [b"Example"]),
                    ("mail", [f"{name}@example.com".encode()]),
                    ("userPassword", [PASSWORD.encode()]),
                ],
            )
        _group(connection, f"cn=sellers,{base}", f"uid=marie,{base}", f"cn=staff,{base}")
        _group(connection, f"cn=staff,{base}", f"cn=sellers,{base}")
    return _site(world, open_ldap, base, tmp_path, "generic")


@pytest.fixture
def ad(world: World, samba: ActiveDirectory, tmp_path: Any) -> Site:
    """The same in Active Directory, under logins that only this test has."""
    number = next(_numbers)
    base = _corner(samba, "OU")
    with samba.changing() as connection:
        inner = ActiveDirectory(samba.address, base, samba.dn, samba.password, samba.ca_file, samba.process)
        marie = inner.add_user(connection, f"marie{number}", PASSWORD)
        inner.add_user(connection, f"paul{number}", PASSWORD)
        sellers = inner.add(connection, f"CN=sellers{number}", ["group"], member=marie)
        inner.add(connection, f"CN=staff{number}", ["group"], member=sellers)
    site = _site(world, samba, base, tmp_path, "active-directory", number)
    return site


def _corner(directory: RealDirectory, attribute: str) -> str:
    name = f"corner{next(_numbers)}"
    dn = f"{attribute}={name},{directory.base}"
    with directory.changing() as connection:
        connection.add_s(dn, [("objectClass", [b"organizationalUnit"]), ("ou", [name.encode()])])
    return dn


def _group(connection: Any, dn: str, *members: str) -> None:
    name = dn.split(",")[0].split("=")[1]
    connection.add_s(
        dn,
        [
            ("objectClass", [b"groupOfNames"]),
            ("cn", [name.encode()]),
            ("member", [member.encode() for member in members]),
        ],
    )


def _site(
    world: World, directory: RealDirectory, base: str, folder: Any, flavour: str, number: int | str = ""
) -> Site:
    secret = folder / "bind-secret"
    secret.write_text(directory.password)
    given = {
        "kind": "ldap",
        "id": "corp",
        "label": "Corp",
        "url": directory.url,
        "bind_dn": directory.dn,
        "secret": f"file:{secret}",
        "ca_file": str(directory.ca_file),
        "base": base,
        "flavour": flavour,
        "create": True,
        "rules": [
            {"value": f"CN = Sellers{number}, {base}", "groups": ["sales_team.group_sale_salesman"]},
            {"value": f"cn=staff{number},{base}", "groups": ["base.group_user"]},
        ],
    }
    site = Site(world, LdapFlow(world.store, world.accounts, world.clock), directory, base, given)
    site.write_down()
    return site
