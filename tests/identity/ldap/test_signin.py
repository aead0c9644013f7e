"""Sign-ins at real directories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.identity.ldap.conftest import PASSWORD, Site
from tests.support.certificates import authority
from tests.support.directories import ActiveDirectory, python_ldap, slapd
from vallum.identity.ldap.directory import Directory, normal_dn
from vallum.identity.ldap.signin import directory_of
from vallum.identity.sso import store
from vallum.identity.sso.errors import ProviderMisconfigured, ProviderUnavailable, SignInRefused
from vallum.identity.sso.join import password_provider
from vallum.identity.sso.providers import LdapProvider

pytestmark = pytest.mark.slow

BOTH = {"sales_team.group_sale_salesman", "base.group_user"}


@pytest.fixture(params=["generic", "ad"])
def site(request: pytest.FixtureRequest) -> Site:
    """Either directory."""
    return cast("Site", request.getfixturevalue(request.param))


def login_of(site: Site, name: str) -> str:
    """The login somebody has at this site."""
    if site.given["flavour"] == "generic":
        return name
    return str(_rows(site, f"(displayName={name}*)")[0][1]["sAMAccountName"][0].decode())


def _rows(site: Site, wanted: str) -> list[Any]:
    with site.directory.changing() as connection:
        return list(connection.search_s(site.base, python_ldap().SCOPE_SUBTREE, wanted))


def directory(site: Site) -> Directory:
    """The directory as written down."""
    with site.world.store.transaction() as tx:
        provider = store.provider(tx, "corp")
    assert isinstance(provider, LdapProvider)
    return directory_of(provider)


def test_sign_in_makes_an_account_with_nested_groups(site: Site) -> None:
    """Direct and indirect groups count; circles end; names are compared as directories do."""
    login = login_of(site, "marie")
    first = site.sign_in(login)
    assert (first.created, first.account.login, first.identity.person.email) == (
        True,
        login,
        f"{login}@example.com",
    )
    assert site.sign_in(login).account.id == first.account.id
    with site.world.store.transaction() as tx:
        assert site.world.accounts.groups(tx, first.account.id, "corp") == BOTH


@pytest.mark.asvs("10.5.2")
def test_somebody_renamed_stays_who_they_are(site: Site) -> None:
    """The account hangs on the directory's own id, not on the name."""
    login = login_of(site, "marie")
    first = site.sign_in(login)
    (dn, _), *_ = _rows(site, f"(mail={login}@example.com)")
    attribute = "uid" if site.given["flavour"] == "generic" else "sAMAccountName"
    with site.directory.changing() as connection:
        if attribute == "uid":
            connection.rename_s(dn, "uid=renamed")
        else:
            connection.modify_s(dn, [(python_ldap().MOD_REPLACE, attribute, [f"x{login}".encode()])])
    again = site.sign_in("renamed" if attribute == "uid" else f"x{login}")
    assert again.account.id == first.account.id


@pytest.mark.parametrize("password", ["", "\0", "\0x", "x" * 2000, "wrong"])
def test_wrong_or_empty_password_is_refused(site: Site, password: str) -> None:
    """The directory itself says yes to an empty one; it is never asked."""
    login = login_of(site, "marie")
    assert site.reason(login, password) in ("empty", "wrong")
    assert directory(site).verify(_rows(site, f"(mail={login}@example.com)")[0][0], password) is False


def test_directory_says_yes_to_an_empty_password(generic: Site) -> None:
    """So the test above tests something."""
    connection = python_ldap().initialize(generic.directory.url)
    connection.set_option(python_ldap().OPT_X_TLS_CACERTFILE, str(generic.directory.ca_file))
    connection.set_option(python_ldap().OPT_X_TLS_NEWCTX, 0)
    connection.simple_bind_s(f"uid=marie,{generic.base}", "")
    connection.unbind_s()


@pytest.mark.asvs("6.3.8")
def test_unknown_login_and_wrong_password_sound_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And lead to the same questions to the directory: groups are asked for after the password."""
    login, texts = login_of(site, "marie"), set()
    asked: list[list[str]] = []
    connection = python_ldap().ldapobject.SimpleLDAPObject
    for name in ("search_ext", "simple_bind_s"):
        real = getattr(connection, name)

        def told(*given: Any, _name: str = name, _real: Any = real, **more: Any) -> Any:
            asked[-1].append(_name)
            return _real(*given, **more)

        monkeypatch.setattr(connection, name, told)
    for who, password in (("nobody", PASSWORD), (login, "wrong")):
        asked.append([])
        with pytest.raises(SignInRefused) as caught:
            site.sign_in(who, password)
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert asked[-2] == asked[-1]
    assert asked[-1].count("search_ext") == 1


@pytest.mark.parametrize(
    "login",
    [
        "*",
        "m*",
        "marie)(uid=*",
        "marie)(|(uid=*))",
        "*)(objectClass=*",
        "marie\\2a",
        "\\",
        "marie\0",
        "(",
        "é*",
    ],
)
@pytest.mark.attacks("injection: LDAP filter")
def test_login_is_no_filter(site: Site, login: str) -> None:
    """Injection: whatever is typed is looked for as it is."""
    assert site.reason(login) == "unknown"
    name = login_of(site, "marie")
    assert site.reason(f"{name})(cn=*") == "unknown"


def test_login_is_spelled_as_attempts_are_counted(generic: Site) -> None:
    """A directory finds `mary  ann` as well: each further blank would be counted as somebody else."""
    with generic.directory.changing() as connection:
        dn = f"uid=mary ann,{generic.base}"
        entry = {"objectClass": b"inetOrgPerson", "uid": b"mary ann", "cn": b"Mary", "sn": b"Ann"}
        entry["userPassword"] = PASSWORD.encode()
        connection.add_s(dn, [(name, [value]) for name, value in entry.items()])
    assert len(_rows(generic, "(uid=mary   ann)")) == 1
    assert generic.sign_in(" Mary Ann ").account.login == "mary ann"
    assert generic.reason("mary   ann") == "unknown"


@pytest.mark.attacks("injection: LDAP DN")
def test_name_of_an_entry_is_no_pattern(generic: Site) -> None:
    """Injection by a name: parentheses, commas and stars in it belong to it, and lead to no foreign group."""
    name = r"uid=a*)(member=x\,y,"
    with generic.directory.changing() as connection:
        connection.add_s(
            f"{name}{generic.base}",
            [
                ("objectClass", [b"inetOrgPerson"]),
                ("uid", [b"a*)(member=x,y"]),
                ("cn", [b"Evil"]),
                ("sn", [b"Evil"]),
                ("userPassword", [PASSWORD.encode()]),
            ],
        )
    signed = generic.sign_in("a*)(member=x,y")
    assert signed.identity.attributes["groups"] == ()


@pytest.mark.asvs("7.4.2")
def test_disabled_bit_shuts_the_door(ad: Site) -> None:
    """Active Directory refuses the bind; where it did not, the bit would."""
    login = login_of(ad, "marie")
    account = ad.sign_in(login).account
    (dn, _), *_ = _rows(ad, f"(sAMAccountName={login})")
    assert isinstance(ad.directory, ActiveDirectory)
    with ad.directory.changing() as connection:
        ad.directory.switch(connection, dn, on=False)
    assert ad.reason(login) in ("wrong", "inactive")
    assert account.active


def test_expired_account_does_not_come_in(ad: Site) -> None:
    """`accountExpires` counts, by our own clock as well."""
    login = login_of(ad, "marie")
    (dn, _), *_ = _rows(ad, f"(sAMAccountName={login})")
    end = datetime.now(UTC) + timedelta(days=1)
    ticks = int((end - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10_000_000
    with ad.directory.changing() as connection:
        connection.modify_s(dn, [(python_ldap().MOD_REPLACE, "accountExpires", [str(ticks).encode()])])
    assert ad.sign_in(login).account.active
    ad.world.clock.advance(timedelta(days=2))
    assert ad.reason(login) == "inactive"


def test_start_tls_works_as_well(site: Site) -> None:
    """ldap:// is encrypted before anything is said."""
    site.write_down(url=site.given["url"].replace("ldaps", "ldap"))
    assert site.sign_in(login_of(site, "marie")).account.active


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_certificate_that_nobody_vouches_for_is_refused(site: Site, scheme: str, tmp_path: Path) -> None:
    """By another authority, or for another name: nothing is sent, not even the service account's password."""
    stranger, _ = authority("somebody else").write(tmp_path, "stranger")
    url = site.given["url"].replace("ldaps", scheme)
    site.write_down(url=url, ca_file=str(stranger))
    with pytest.raises(ProviderUnavailable):
        site.sign_in(login_of(site, "marie"))
    other = url.replace(site.directory.address, "localhost")
    site.write_down(url=other)
    with pytest.raises(ProviderUnavailable):
        site.sign_in("marie")


@pytest.mark.asvs("16.2.5")
def test_wrong_service_password_is_named_and_not_shown(site: Site, tmp_path: Path) -> None:
    """The text says what to compare."""
    (tmp_path / "bind-secret").write_text("canary-4711")
    with pytest.raises(ProviderMisconfigured, match="bind_dn") as caught:
        site.sign_in("marie")
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value.__cause__)


@pytest.mark.asvs("16.5.3")
def test_directory_that_is_down_lets_nobody_in(generic: Site, tmp_path: Path) -> None:
    """Nobody of its own; local accounts are not concerned, but forbidden passwords stay forbidden."""
    with slapd(tmp_path) as second:
        with second.changing() as connection:
            connection.add_s(second.base, [("objectClass", [b"domain"]), ("dc", [b"example"])])
        generic.write_down(
            url=second.url,
            ca_file=str(second.ca_file),
            base=second.base,
            domains=["example.com"],
            forbid_password=True,
        )
        assert generic.reason("marie") == "unknown"
    with pytest.raises(ProviderUnavailable, match="vallum sso check"):
        generic.sign_in("marie")
    with generic.world.store.transaction() as tx:
        assert password_provider(tx, "break-glass") is None
        assert password_provider(tx, "marie@example.com") is not None


def test_names_are_compared_as_directories_do() -> None:
    """Case and spaces do not count; escaped characters do."""
    python_ldap()
    assert normal_dn("CN=Sales , DC=Example,dc=com") == normal_dn("cn=sales,dc=example,dc=COM")
    assert normal_dn(r"cn=a\,b,dc=x") != normal_dn("cn=a,cn=b,dc=x")
    with pytest.raises(ProviderMisconfigured):
        normal_dn("no name")
