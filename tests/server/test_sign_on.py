"""Signing in elsewhere and provisioning, over a real server and real providers."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.identity.world import GOOD
from tests.support.directories import RealDirectory, slapd
from tests.support.serving import free_port
from tests.support.sign_on import USER, Federation, Visitor, target_of
from vallum.identity import Client

pytestmark = pytest.mark.slow


@pytest.mark.asvs("10.5.5", "7.4.1")
def test_person_signs_in_by_openid_and_is_signed_out_from_there(
    federation: Federation, visitor: Visitor
) -> None:
    """From the button to the page; the provider's logout ends the session before the next request."""
    federation.openid()
    page = visitor.here.get("/account/sign-in")
    assert "Staff &lt;login&gt;" in page.text
    start = visitor.here.get("/sso/one/start?next=/account/requests")
    cookie = start.headers["set-cookie"]
    assert "__Host-vallum-sso=" in cookie
    assert "HttpOnly" in cookie
    back = visitor.visit(start.headers["location"], login_hint="oidcmarie")
    assert target_of(back) == "/account/requests"
    assert "oidcmarie" in visitor.here.get("/account/security").text
    again = visitor.here.get(str(back.request.url))
    assert again.status_code == 403
    before = len(federation.listener.tokens)
    visitor.confirm(visitor.there.get(f"{federation.oidc.said['issuer']}/session/end?client_id=vallum"))
    for _ in range(100):
        if len(federation.listener.tokens) > before:
            break
        time.sleep(0.05)
    token = federation.listener.tokens[before]
    told = visitor.here.post("/sso/one/back-channel", data={"logout_token": token})
    assert told.status_code == 200
    assert visitor.here.get("/account/security").headers["location"].startswith("/account/sign-in")
    assert visitor.here.post("/sso/one/back-channel", data={"logout_token": token}).status_code == 400


@pytest.mark.attacks("web: login CSRF")
@pytest.mark.asvs("10.1.2", "10.2.1", "7.6.2")
def test_answer_in_another_browser_signs_nobody_in(federation: Federation, visitor: Visitor) -> None:
    """Login CSRF: a link with somebody else's code."""
    federation.openid()
    other = Visitor(federation)
    start = other.here.get("/sso/one/start").headers["location"]
    answer = other.there.get(httpx.URL(start).copy_add_param("login_hint", "eve"))
    url = httpx.URL(start).join(answer.headers["location"])
    while not str(url).startswith(federation.server.url):
        answer = other.there.get(url)
        url = url.join(answer.headers["location"])
    refused = visitor.here.get(str(url))
    other.close()
    assert refused.status_code == 403
    assert "another browser" in refused.text
    assert visitor.here.get("/account/security").status_code == 303


@pytest.mark.parametrize("binding", ["redirect", "post"])
@pytest.mark.asvs("6.8.3")
def test_person_signs_in_by_saml(federation: Federation, visitor: Visitor, binding: str) -> None:
    """The answer is posted from another site, where strict cookies stay away."""
    url = federation.saml.said["url"]
    federation.corp(binding=binding)
    start = visitor.here.get("/sso/corp/start")
    if binding == "redirect":
        page = visitor.visit(start.headers["location"], who="samlmarie")
    else:
        assert f"form-action 'self' {url}" in start.headers["content-security-policy"]
        fields = {n: html.unescape(v) for n, v in re.findall(r'name="(\w+)" value="([^"]*)"', start.text)}
        page = visitor.there.post(f"{url}/saml?who=samlmarie", data=fields)
    assert target_of(visitor.post_back(page)) == "/account/security"
    assert "samlmarie@example.com" in visitor.here.get("/account/security").text
    assert visitor.post_back(page).status_code == 403
    assert b"AssertionConsumerService" in visitor.here.get("/sso/corp/metadata").content


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirectory]:
    """OpenLDAP with one person."""
    with slapd(tmp_path_factory.mktemp("slapd")) as found:
        with found.changing() as connection:
            connection.add_s(found.base, [("objectClass", [b"domain"]), ("dc", [b"example"])])
            found.add(
                connection,
                "uid=ldapmarie",
                ["inetOrgPerson"],
                uid="ldapmarie",
                cn="Marie",
                sn="M",
                userPassword="Right-9",
            )
        yield found


def _tag(page: httpx.Response) -> str:
    found = re.search(r'name="form" content="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


def test_person_signs_in_by_directory(
    federation: Federation, visitor: Visitor, directory: RealDirectory
) -> None:
    """By a form of ours; wrong passwords are refused and counted as any other, forged forms are not read."""
    secret = federation.folder / "bind"
    secret.write_text(directory.password)
    federation.provider(
        kind="ldap",
        id="ldap",
        label="Directory",
        url=directory.url,
        base=directory.base,
        bind_dn=directory.dn,
        secret=f"file:{secret}",
        ca_file=str(directory.ca_file),
        flavour="generic",
        create=True,
    )

    def sign_in(password: str, *, site: str = "same-origin") -> httpx.Response:
        tag = _tag(visitor.here.get("/sso/ldap/start?next=/account/requests"))
        form = {"form": tag, "login": "ldapmarie", "password": password, "next": "/account/requests"}
        return visitor.here.post("/sso/ldap/password", data=form, headers={"sec-fetch-site": site})

    assert sign_in("Right-9", site="cross-site").status_code == 403
    for password in ("", "wrong"):
        refused = sign_in(password)
        assert refused.status_code == 401
        assert "not right" in refused.text
    done = sign_in("Right-9")
    assert (done.status_code, done.headers["location"]) == (303, "/account/requests")
    assert "ldapmarie" in visitor.here.get("/account/security").text
    for _ in range(5):
        sign_in("wrong")
    assert "too many attempts" in sign_in("Right-9").text


def test_name_that_cannot_be_one_is_refused(federation: Federation) -> None:
    """With the standard's error, whatever the accounts have against it."""
    federation.provider(kind="scim", id="people", label="People")
    with federation.scim("people") as scim:
        for name, status in (("a\u202eb", 400), ("x" * 300, 400), (" ", 400)):
            made = scim.post("/scim/v2/Users", json={"schemas": [USER], "userName": name})
            assert (made.status_code, made.json().get("scimType")) == (status, "invalidValue")


@pytest.mark.asvs("7.4.2")
def test_account_that_an_administrator_shut_stays_shut(federation: Federation) -> None:
    """The directory may go on saying that somebody is there; it is answered, and opens nothing."""
    federation.provider(kind="scim", id="people", label="People")
    base = federation.identity.base
    with federation.scim("people") as scim:
        made = scim.post("/scim/v2/Users", json={"schemas": [USER], "userName": "shutmarie"}).json()
        federation.identity.deactivate(base.accounts.find("shutmarie"), by=None)
        for active in (False, True):
            body = {"schemas": [USER], "userName": "shutmarie", "active": active}
            assert scim.put(f"/scim/v2/Users/{made['id']}", json=body).status_code == 200
    assert not base.accounts.find("shutmarie").active


def test_provisioning_needs_a_token(federation: Federation, visitor: Visitor) -> None:
    """Nothing is told without one, and a session is none."""
    federation.provider(kind="scim", id="people", label="People")
    for headers in ({}, {"authorization": "Bearer vscim_x"}, {"authorization": "Basic eDp5"}):
        answer = visitor.here.get("/scim/v2/Users", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["status"] == "401"
    with federation.scim("people") as scim:
        assert scim.get("/scim/v2/ServiceProviderConfig").json()["patch"] == {"supported": True}
        found = scim.get("/scim/v2/Users", params={"filter": 'userName eq "nobody"'}).json()
        assert found["totalResults"] == 0
        location = scim.get("/scim/v2/Schemas").json()["Resources"][0]["meta"]["location"]
        assert location.startswith(f"{federation.server.url}/scim/v2/Schemas/")


@pytest.mark.asvs("6.8.1")
def test_password_is_forbidden_by_mail_domain_but_not_for_the_break_glass(
    federation: Federation, visitor: Visitor
) -> None:
    """Those who sign in by a provider alone cannot go around it; whoever is for emergencies can come in."""
    base = federation.identity.base
    for login, glass in (("anna@only.example", False), ("glass@only.example", True)):
        account = base.accounts.create(login, base.now(), break_glass=glass)
        federation.identity.passwords.replace(account, GOOD, Client(address="192.0.2.1"))

    def sign_in(login: str) -> int:
        tag = _tag(visitor.here.get("/account/sign-in"))
        form = {"form": tag, "login": login, "password": GOOD}
        headers = {"sec-fetch-site": "same-origin"}
        return visitor.here.post("/account/sign-in", data=form, headers=headers).status_code

    assert sign_in("anna@only.example") == 303
    federation.provider(kind="scim", id="only", label="Only", domains=["only.example"], forbid_password=True)
    assert sign_in("anna@only.example") == 401
    assert sign_in("glass@only.example") == 303
    # Whatever else becomes of what is written down.
    federation.rows(
        "UPDATE vallum.sso_provider SET config = config || jsonb_build_object('colour', 1) WHERE id = 'only'"
    )
    assert sign_in("anna@only.example") == 401
    assert sign_in("glass@only.example") == 303
    federation.rows("DELETE FROM vallum.sso_provider WHERE id = 'only'")


@pytest.mark.asvs("16.5.1")
def test_stranger_is_not_told_where_keys_are_kept(federation: Federation, visitor: Visitor) -> None:
    """What is wrong with a file is for administrators."""
    federation.openid(secret="file:/nowhere/at-all")
    start = visitor.here.get("/sso/one/start")
    refused = visitor.visit(start.headers["location"], login_hint="pathmarie")
    assert refused.status_code == 403
    assert "/nowhere" not in refused.text
    assert "not set up" in refused.text
    federation.openid()


@pytest.mark.asvs("16.5.2", "16.5.3")
def test_directory_that_is_down_keeps_everybody_out_but_the_break_glass(
    federation: Federation, visitor: Visitor
) -> None:
    """Nobody gets in by a password instead; the text says what happened and is about no password."""
    base = federation.identity.base
    for login, glass in (("anna@down.example", False), ("glass@down.example", True)):
        account = base.accounts.create(login, base.now(), break_glass=glass)
        federation.identity.passwords.replace(account, GOOD, Client(address="192.0.2.1"))
    federation.provider(
        kind="ldap",
        id="down",
        label="Down",
        url=f"ldaps://127.0.0.1:{free_port()}",
        base="dc=example,dc=com",
        domains=["down.example"],
        forbid_password=True,
    )

    def sign_in(path: str, login: str) -> httpx.Response:
        tag = _tag(visitor.here.get("/sso/down/start"))
        form = {"form": tag, "login": login, "password": GOOD, "next": "/"}
        return visitor.here.post(path, data=form, headers={"sec-fetch-site": "same-origin"})

    refused = sign_in("/sso/down/password", "anna@down.example")
    assert refused.status_code == 503
    assert "the directory cannot be reached" in refused.text
    assert "vallum sso check" in refused.text
    assert sign_in("/account/sign-in", "anna@down.example").status_code == 401
    assert sign_in("/account/sign-in", "glass@down.example").status_code == 303


@pytest.mark.parametrize(
    "path", ["/sso/none/start", "/sso/none/callback", "/sso/x", "/sso/one/nonsense", "/sso/..%2fx/start"]
)
def test_what_is_not_there_is_not_found(visitor: Visitor, path: str) -> None:
    """Whatever is typed."""
    assert visitor.here.get(path).status_code == 404
