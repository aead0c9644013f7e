"""Whoever leaves is out by the next request, whichever way it is said: over a running server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx
import pytest

from tests.support.command import program
from tests.support.directories import ActiveDirectory, active_directory, python_ldap
from tests.support.leaving import Member
from tests.support.serving import free_port
from tests.support.sign_on import GROUP, PATCH, USER, Federation, Visitor, target_of
from vallum.identity.ldap.sync import read_directory, synchronise
from vallum.identity.sso.providers import LdapProvider, parse
from vallum.kernel import NO_PROGRESS
from vallum.server.sso.parts import SignOn

pytestmark = pytest.mark.slow

BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
EVERYTHING = {"session", "half-done step", "session of RPC", "password", "key"}
Say = Callable[[httpx.Client, str, dict[str, Any]], httpx.Response]
_numbers = count(1)


@pytest.fixture
def joined(federation: Federation) -> Iterator[Callable[..., Member]]:
    """Members, who make room at the end."""
    found: list[Member] = []

    def join(**given: Any) -> Member:
        found.append(Member.joins(federation, f"leaver{next(_numbers)}", **given))
        return found[-1]

    yield join
    for member in found:
        member.close()


def _patch(operation: dict[str, Any]) -> Say:
    def say(scim: httpx.Client, path: str, _: dict[str, Any]) -> httpx.Response:
        return scim.patch(f"/scim/v2{path}", json={"schemas": [PATCH], "Operations": [operation]})

    return say


def _put(scim: httpx.Client, path: str, resource: dict[str, Any]) -> httpx.Response:
    return scim.put(f"/scim/v2{path}", json={**resource, "active": False})


def _delete(scim: httpx.Client, path: str, _: dict[str, Any]) -> httpx.Response:
    return scim.delete(f"/scim/v2{path}")


def _bulk(method: str, data: dict[str, Any] | None) -> Say:
    def say(scim: httpx.Client, path: str, _: dict[str, Any]) -> httpx.Response:
        operation = {"method": method, "path": path, **({"data": data} if data else {})}
        answer = scim.post("/scim/v2/Bulk", json={"schemas": [BULK], "Operations": [operation]})
        assert answer.json()["Operations"][0]["status"] in ("200", "204"), answer.text
        return answer

    return say


_OFF = {"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]}


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(_patch({"op": "Replace", "path": "active", "value": "False"}), id="entra-path"),
        pytest.param(_patch({"op": "Replace", "path": "active", "value": False}), id="entra-path-boolean"),
        pytest.param(_patch({"op": "Replace", "value": {"active": "False"}}), id="entra-without-path"),
        pytest.param(_patch({"op": "Add", "path": "active", "value": "False"}), id="entra-add"),
        pytest.param(_patch({"op": "replace", "value": {"active": False}}), id="okta-without-path"),
        pytest.param(_patch({"op": "replace", "path": "active", "value": False}), id="okta-path"),
        pytest.param(_patch({"op": "replace", "path": f"{USER}:active", "value": False}), id="full-path"),
        pytest.param(_patch({"op": "remove", "path": "active"}), id="attribute-removed"),
        pytest.param(_put, id="put"),
        pytest.param(_delete, id="delete"),
        pytest.param(_bulk("PATCH", _OFF), id="bulk-patch"),
        pytest.param(_bulk("DELETE", None), id="bulk-delete"),
    ],
)
def test_who_leaves_by_scim_is_out_by_the_next_request(
    federation: Federation, joined: Callable[..., Member], say: Say
) -> None:
    """Session, half-done step, session of RPC, password and key, with the answer to the directory."""
    federation.provider(kind="scim", id="leaving", label="People", adopt="login")
    member = joined(provider="leaving", sid="s")
    # A service's account is a directory's only where somebody has said so.
    member.linked("leaving", "by hand", member.account.login, program=member.program.login)
    with federation.scim("leaving") as scim:
        made = [
            scim.post("/scim/v2/Users", json={"schemas": [USER], "userName": account.login}).json()
            for account in (member.account, member.program)
        ]
        assert member.ways_in() == EVERYTHING
        for resource in made:
            answer = say(scim, f"/Users/{resource['id']}", resource)
            assert answer.status_code in (200, 204), answer.text
        assert member.ways_in() == set()


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveDirectory]:
    """Active Directory."""
    with active_directory(tmp_path_factory.mktemp("samba")) as found:
        yield found


@contextmanager
def _employed(
    federation: Federation, domain: ActiveDirectory, member: Member
) -> Iterator[tuple[Any, list[str], str]]:
    """The member and their program in the directory, in a group that the filter asks for."""
    ldap = python_ldap()
    group = f"CN=staff-{member.account.login},{domain.base}"
    secret = federation.folder / "domain"
    secret.write_text(domain.password)
    provider = parse(
        {
            "kind": "ldap",
            "id": "domain",
            "label": "Domain",
            "url": domain.url,
            "base": domain.base,
            "bind_dn": domain.dn,
            "secret": f"file:{secret}",
            "ca_file": str(domain.ca_file),
            "user_filter": f"(&(objectClass=user)(memberOf={group}))",
        }
    )
    assert isinstance(provider, LdapProvider)
    federation.provider(**_plain(provider))
    with domain.changing() as connection:
        names = [
            domain.add_user(connection, account.login, "Correct-Horse-9")
            for account in (member.account, member.program)
        ]
        # Somebody who stays: a directory that shows nobody is not believed.
        names.append(domain.add_user(connection, f"{member.account.login}-stays", "Correct-Horse-9"))
        domain.add(connection, group.split(",")[0], ["group"], member=names)
        found = read_directory(provider, federation.identity.base.now(), NO_PROGRESS)
        subjects = {one.user.person.login: subject for subject, one in found.items()}
        member.linked(
            "domain",
            "ldap:domain",
            subjects[member.account.login],
            program=subjects[member.program.login],
        )
        yield connection, names[:2], group
        for name in names:
            try:
                connection.delete_s(name)
            except ldap.NO_SUCH_OBJECT:
                continue


def _plain(provider: LdapProvider) -> dict[str, Any]:
    from vallum.identity.sso.providers import dump

    return dump(provider)


def _switched_off(domain: ActiveDirectory, connection: Any, names: list[str], group: str) -> None:
    for name in names:
        domain.switch(connection, name, on=False)


def _removed(domain: ActiveDirectory, connection: Any, names: list[str], group: str) -> None:
    for name in names:
        connection.delete_s(name)


def _out_of_group(domain: ActiveDirectory, connection: Any, names: list[str], group: str) -> None:
    values = [name.encode() for name in names]
    connection.modify_s(group, [(python_ldap().MOD_DELETE, "member", values)])


@pytest.mark.parametrize("leave", [_switched_off, _removed, _out_of_group])
def test_who_leaves_the_directory_is_out_by_the_request_after_the_synchronisation(
    federation: Federation,
    joined: Callable[..., Member],
    domain: ActiveDirectory,
    leave: Callable[[ActiveDirectory, Any, list[str], str], None],
) -> None:
    """The bit that says disabled, an entry that is gone, a group the filter asks for."""
    member, on = joined(provider="domain"), SignOn(federation.identity)

    def follow() -> None:
        synchronise(on.store, on.accounts, on.clock, "domain")

    with _employed(federation, domain, member) as (connection, names, group):
        follow()
        assert member.ways_in() == EVERYTHING
        leave(domain, connection, names, group)
        follow()
        assert member.ways_in() == set()
    federation.rows("DELETE FROM vallum.sso_provider WHERE id = 'domain'")


def test_account_shut_by_command_is_out_by_the_next_request(
    federation: Federation, joined: Callable[..., Member]
) -> None:
    """By another process than the server."""
    member = joined()
    assert member.ways_in() == EVERYTHING
    for account in (member.account, member.program):
        done = program(
            "user",
            "deactivate",
            account.login,
            "--yes",
            folder=federation.server.folder,
            environ=federation.environ,
        )
        assert done.code == 0, done.err
    assert member.ways_in() == set()


def test_logout_at_the_openid_provider_ends_what_it_has_opened(
    federation: Federation, visitor: Visitor, joined: Callable[..., Member]
) -> None:
    """By back channel: its sessions and half-done steps. Who signs out has not left: a key still holds."""
    member, issuer = _by_openid(federation, visitor, joined)
    member.token = visitor.here.cookies["__Host-vallum"]
    sid = federation.rows(
        "SELECT provider_session FROM vallum.session WHERE account_id = %s AND provider = 'one'",
        member.account.id,
    )[0][0]
    federation.rows("DELETE FROM vallum.ticket WHERE account_id = %s", member.account.id)
    member.half_done_step("one", sid)
    assert member.ways_in() == EVERYTHING
    token = _logout_token(federation, visitor, issuer)
    with federation.server.client() as provider:
        told = provider.post("/sso/one/back-channel", data={"logout_token": token})
    assert told.status_code == 200
    assert member.ways_in() == EVERYTHING - {"session", "half-done step"}


def _logout_token(federation: Federation, visitor: Visitor, issuer: str) -> str:
    before = len(federation.listener.tokens)
    visitor.confirm(visitor.there.get(f"{issuer}/session/end?client_id=vallum"))
    for _ in range(100):
        if len(federation.listener.tokens) > before:
            break
        time.sleep(0.05)
    return federation.listener.tokens[before]


def _by_openid(federation: Federation, visitor: Visitor, joined: Callable[..., Member]) -> tuple[Member, str]:
    """Somebody signed in at the provider, in this browser; and the provider's issuer."""
    federation.openid()
    issuer = str(federation.oidc.said["issuer"])
    member = joined()
    member.linked("one", issuer, member.account.login)
    start = visitor.here.get("/sso/one/start")
    visitor.visit(start.headers["location"], login_hint=member.account.login)
    return member, issuer


def _by_saml(federation: Federation, visitor: Visitor, member: Member) -> None:
    """Signed in at the provider, in this browser; the session is the member's."""
    member.linked("corp", "urn:provider", member.account.login)
    start = visitor.here.get("/sso/corp/start")
    page = visitor.visit(start.headers["location"], who=member.account.login)
    assert target_of(visitor.post_back(page)) == "/account/security"
    member.token = visitor.here.cookies["__Host-vallum"]
    sid = federation.rows(
        "SELECT provider_session FROM vallum.session WHERE account_id = %s AND provider = 'corp'",
        member.account.id,
    )[0][0]
    federation.rows("DELETE FROM vallum.ticket WHERE account_id = %s", member.account.id)
    member.half_done_step("corp", sid)


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_logout_at_the_saml_provider_ends_what_it_has_opened(
    federation: Federation, visitor: Visitor, joined: Callable[..., Member], binding: str
) -> None:
    """Its signed request is obeyed and answered, so that it can go on to the next application."""
    federation.corp(logout_binding=binding)
    member = joined()
    _by_saml(federation, visitor, member)
    assert member.ways_in() == EVERYTHING
    url = f"{federation.saml.said['url']}/logout?who={member.account.login}&binding={binding}"
    asked = visitor.there.get(url)
    answered = visitor.carry(asked)
    assert member.ways_in() == EVERYTHING - {"session", "half-done step"}
    # It has checked the signature of our answer; whoever else it has to tell are other tests'.
    assert not visitor.carry(answered).is_error


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_signing_out_here_signs_out_at_the_saml_provider(
    federation: Federation, visitor: Visitor, joined: Callable[..., Member], binding: str
) -> None:
    """The session here ends first; the provider is asked, and its answer is told."""
    federation.corp(logout_binding=binding)
    member = joined()
    _by_saml(federation, visitor, member)
    page = visitor.sign_out()
    assert "session" not in member.ways_in()
    asked = visitor.carry(page)
    assert "You are signed out here and there" in visitor.carry(asked).text


def test_signing_out_here_signs_out_at_the_openid_provider(
    federation: Federation, visitor: Visitor, joined: Callable[..., Member]
) -> None:
    """It is shown the ID token of the sign-in, once, and sends the browser back."""
    member, issuer = _by_openid(federation, visitor, joined)
    kept = federation.rows("SELECT hint FROM vallum.sso_hint WHERE account_id = %s", member.account.id)
    assert len(kept) == 1
    assert b"eyJ" not in bytes(kept[0][0])
    target = httpx.URL(target_of(visitor.sign_out()))
    assert str(target).startswith(f"{issuer}/session/end")
    assert target.params["id_token_hint"].count(".") == 2
    assert federation.rows("SELECT 1 FROM vallum.sso_hint WHERE account_id = %s", member.account.id) == []
    page = visitor.there.get(target)
    assert page.status_code == 200, page.text
    done = visitor.confirm(page)
    assert done.headers["location"].startswith(f"{federation.server.url}/")
    # The way there was for this browser, and once.
    assert visitor.here.get(f"/sso/one/sign-out?state={'x' * 43}").status_code == 403


def test_sign_out_of_a_provider_that_is_down_is_one_here(
    federation: Federation, visitor: Visitor, joined: Callable[..., Member]
) -> None:
    """And says that the provider could not be told."""
    federation.openid()
    member = joined()
    member.linked("one", str(federation.oidc.said["issuer"]), member.account.login)
    start = visitor.here.get("/sso/one/start")
    visitor.visit(start.headers["location"], login_hint=member.account.login)
    member.token = visitor.here.cookies["__Host-vallum"]
    federation.openid(issuer=f"https://localhost:{free_port()}")
    page = visitor.sign_out()
    assert (page.status_code, "You are signed out" in page.text) == (200, True)
    assert "could not be told" in page.text
    assert "session" not in member.ways_in()


def test_group_of_the_directory_opens_what_its_rule_names_until_it_is_left(
    federation: Federation, joined: Callable[..., Member]
) -> None:
    """Wherever rights of the account's user are decided, within a second or two of the directory's word."""
    rule = {"value": "Everyone sells", "groups": ["trading.group_sale_salesman_all_leads"]}
    federation.provider(kind="scim", id="leaving", label="People", adopt="login", rules=[rule])
    member = joined(models=["crm.lead"])

    def until(wanted: Callable[[int], bool]) -> bool:
        for _ in range(200):
            if wanted(member.count("crm.lead")):
                return True
            time.sleep(0.05)
        return False

    own = member.count("crm.lead")
    with federation.scim("leaving") as scim:
        made = scim.post("/scim/v2/Users", json={"schemas": [USER], "userName": member.account.login}).json()
        group = {"schemas": [GROUP], "displayName": "Everyone sells", "members": [{"value": made["id"]}]}
        path = f"/scim/v2/Groups/{scim.post('/scim/v2/Groups', json=group).json()['id']}"
        assert until(lambda count: count > own)
        left = {"op": "Remove", "path": "members", "value": [{"value": made["id"]}]}
        assert scim.patch(path, json={"schemas": [PATCH], "Operations": [left]}).status_code == 200
        assert until(lambda count: count == own)
        assert scim.delete(path).status_code == 204
