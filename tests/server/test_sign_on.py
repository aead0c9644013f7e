"""Signing in elsewhere and provisioning, over a real server and real providers."""

from __future__ import annotations

import html
import os
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.identity.oidc.conftest import Listener
from tests.identity.world import GOOD
from tests.support.certificates import authority, self_signed, signed_by
from tests.support.company import METADATA, POLICY
from tests.support.directories import RealDirectory, python_ldap, slapd
from tests.support.node import NodeProgram, node_program
from tests.support.serving import Server, free_port, serving
from tests.support.temporary import temporary_folder
from vallum.identity import Client, Identity, open_identity
from vallum.identity.saml.metadata import read_provider
from vallum.identity.scim.tokens import make
from vallum.identity.sso.providers import parse
from vallum.identity.sso.store import save_provider
from vallum.kernel import Settings
from vallum.postgres import Database, EmbeddedServer

pytestmark = pytest.mark.slow

SECRET = "client-secret"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Installation:
    """A server, the identity behind it, and providers that know it."""

    server: Server
    identity: Identity
    oidc: NodeProgram
    saml: NodeProgram
    context: ssl.SSLContext
    listener: Listener
    folder: Path

    def provider(self, **given: Any) -> None:
        """Write a provider down."""
        with self.identity.base.store.transaction() as tx:
            save_provider(tx, parse(given), self.identity.base.now())

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Look into a table."""
        return self.identity.base.store.rows(statement, values)

    def scim(self, provider: str) -> httpx.Client:
        """A directory's client."""
        with self.identity.base.store.transaction() as tx:
            token = make(tx, provider, self.identity.base.now())
        return self.server.client(headers={"authorization": f"Bearer {token}"})


@pytest.fixture(scope="session")
def installation(
    pg_server: EmbeddedServer, company: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Shared by the tests of a worker; each has people and providers of its own."""
    # Found by the server's process as well, which is started with our paths.
    python_ldap()
    keys, port = tmp_path_factory.mktemp("keys"), free_port()
    base = f"https://localhost:{port}"
    ca = authority()
    ca_file, _ = ca.write(keys, "ca")
    certificate, key = signed_by(ca).write(keys, "server")
    sign_certificate, sign_key = self_signed().write(keys, "signing")
    (keys / "secret").write_text(SECRET)
    store = pg_server.create_database(f"sign_on_{os.getpid()}")
    settings = f'url = "{base}"\nhashing = {{memory = 7168, time = 1}}'
    with ExitStack() as stack:
        listener = Listener()
        stack.callback(listener.close)
        client = {
            "client_id": "vallum",
            "client_secret": SECRET,
            "redirect_uris": [f"{base}/sso/one/callback"],
            "post_logout_redirect_uris": [f"{base}/"],
            "backchannel_logout_uri": listener.url,
            "backchannel_logout_session_required": True,
        }
        common = {"cert": str(certificate), "key": str(key)}
        oidc = stack.enter_context(
            node_program("oidc.mjs", {**common, "clients": [client]}, keys / "oidc.log")
        )
        given = {
            **common,
            "signCert": str(sign_certificate),
            "signKey": str(sign_key),
            "issuer": "urn:provider",
            "acs": f"{base}/sso/corp/acs",
        }
        saml = stack.enter_context(node_program("saml.mjs", given, keys / "saml.log"))
        folder = stack.enter_context(temporary_folder())
        server = stack.enter_context(
            serving(
                folder,
                dsn=company,
                store=store,
                settings={"metadata": METADATA, "policy": POLICY, "identity": settings},
                port=port,
            )
        )
        database = stack.enter_context(Database(store, readonly=False))
        environ = {"VALLUM_IDENTITY": settings, "VALLUM_DATA_DIR": str(folder)}
        identity = open_identity(database, Settings.load(folder, environ=environ))
        stack.callback(identity.close)
        context = ssl.create_default_context(cafile=str(ca_file))
        yield Installation(server, identity, oidc, saml, context, listener, keys)


class Browser:
    """Two clients with cookies of their own: one for our server, one for providers."""

    def __init__(self, installation: Installation) -> None:
        self.here = installation.server.client(follow_redirects=False)
        self.there = httpx.Client(verify=installation.context, trust_env=False)
        self.base = installation.server.url

    def visit(self, url: str, **query: str) -> httpx.Response:
        """From our server to the provider's last page, or back to ours."""
        for _ in range(10):
            if url.startswith((self.base, "/")):
                return self.here.get(url)
            target = httpx.URL(url)
            for name, value in query.items():
                target = target.copy_add_param(name, value)
            query = {}
            answer = self.there.get(target)
            if not answer.is_redirect:
                return answer
            url = str(target.join(answer.headers["location"]))
        raise AssertionError("sent around in circles")

    def post_back(self, page: httpx.Response) -> httpx.Response:
        """Post the form of a provider's page to us, as from another site."""
        fields = {n: html.unescape(v) for n, v in re.findall(r'name="(\w+)"\s+value="([^"]*)"', page.text)}
        action = re.findall(r'action="([^"]*)"', page.text)[0]
        headers = {"origin": "https://idp.example", "sec-fetch-site": "cross-site"}
        return self.here.post(html.unescape(action), data=fields, headers=headers)

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture
def browser(installation: Installation) -> Iterator[Browser]:
    """A browser without scripts."""
    found = Browser(installation)
    yield found
    found.close()


def target_of(page: httpx.Response) -> str:
    """Where a page of ours goes on to by itself."""
    assert page.status_code == 200, page.text
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def oidc(installation: Installation, **given: Any) -> None:
    """The provider `one`."""
    installation.provider(
        kind="oidc",
        id="one",
        label="Staff <login>",
        issuer=installation.oidc.said["issuer"],
        client_id="vallum",
        secret=f"file:{installation.folder / 'secret'}",
        ca_file=str(installation.folder / "ca.pem"),
        **{"create": True, **given},
    )


def test_person_signs_in_by_openid_and_is_signed_out_from_there(
    installation: Installation, browser: Browser
) -> None:
    """From the button to the page; the provider's logout ends the session before the next request."""
    oidc(installation)
    page = browser.here.get("/account/sign-in")
    assert "Staff &lt;login&gt;" in page.text
    start = browser.here.get("/sso/one/start?next=/account/requests")
    cookie = start.headers["set-cookie"]
    assert "__Host-vallum-sso=" in cookie
    assert "HttpOnly" in cookie
    back = browser.visit(start.headers["location"], login_hint="oidcmarie")
    assert target_of(back) == "/account/requests"
    assert "oidcmarie" in browser.here.get("/account/security").text
    again = browser.here.get(str(back.request.url))
    assert again.status_code == 403
    before = len(installation.listener.tokens)
    logout = browser.there.get(f"{installation.oidc.said['issuer']}/session/end?client_id=vallum")
    action = logout.text.split('action="')[1].split('"')[0]
    xsrf = logout.text.split('name="xsrf" value="')[1].split('"')[0]
    browser.there.post(action, data={"xsrf": xsrf, "logout": "yes"})
    for _ in range(100):
        if len(installation.listener.tokens) > before:
            break
        time.sleep(0.05)
    token = installation.listener.tokens[before]
    told = browser.here.post("/sso/one/back-channel", data={"logout_token": token})
    assert told.status_code == 200
    assert browser.here.get("/account/security").headers["location"].startswith("/account/sign-in")
    assert browser.here.post("/sso/one/back-channel", data={"logout_token": token}).status_code == 400


def test_answer_in_another_browser_signs_nobody_in(installation: Installation, browser: Browser) -> None:
    """Login CSRF: a link with somebody else's code."""
    oidc(installation)
    other = Browser(installation)
    start = other.here.get("/sso/one/start").headers["location"]
    answer = other.there.get(httpx.URL(start).copy_add_param("login_hint", "eve"))
    url = httpx.URL(start).join(answer.headers["location"])
    while not str(url).startswith(installation.server.url):
        answer = other.there.get(url)
        url = url.join(answer.headers["location"])
    refused = browser.here.get(str(url))
    other.close()
    assert refused.status_code == 403
    assert "another browser" in refused.text
    assert browser.here.get("/account/security").status_code == 303


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_person_signs_in_by_saml(installation: Installation, browser: Browser, binding: str) -> None:
    """The answer is posted from another site, where strict cookies stay away."""
    url = installation.saml.said["url"]
    content = browser.there.get(f"{url}/FederationMetadata/2007-06/FederationMetadata.xml").content
    found = read_provider(content, installation.identity.base.now())
    installation.provider(
        **{**found, "kind": "saml", "id": "corp", "label": "Corp", "create": True, "binding": binding}
    )
    start = browser.here.get("/sso/corp/start")
    if binding == "redirect":
        page = browser.visit(start.headers["location"], who="samlmarie")
    else:
        assert f"form-action {url}" in start.headers["content-security-policy"]
        fields = {n: html.unescape(v) for n, v in re.findall(r'name="(\w+)" value="([^"]*)"', start.text)}
        page = browser.there.post(f"{url}/saml?who=samlmarie", data=fields)
    assert target_of(browser.post_back(page)) == "/account/security"
    assert "samlmarie@example.com" in browser.here.get("/account/security").text
    assert browser.post_back(page).status_code == 403
    assert b"AssertionConsumerService" in browser.here.get("/sso/corp/metadata").content


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
    installation: Installation, browser: Browser, directory: RealDirectory
) -> None:
    """By a form of ours; wrong passwords are refused and counted as any other, forged forms are not read."""
    secret = installation.folder / "bind"
    secret.write_text(directory.password)
    installation.provider(
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
        tag = _tag(browser.here.get("/sso/ldap/start?next=/account/requests"))
        form = {"form": tag, "login": "ldapmarie", "password": password, "next": "/account/requests"}
        return browser.here.post("/sso/ldap/password", data=form, headers={"sec-fetch-site": site})

    assert sign_in("Right-9", site="cross-site").status_code == 403
    for password in ("", "wrong"):
        refused = sign_in(password)
        assert refused.status_code == 401
        assert "not right" in refused.text
    done = sign_in("Right-9")
    assert (done.status_code, done.headers["location"]) == (303, "/account/requests")
    assert "ldapmarie" in browser.here.get("/account/security").text
    for _ in range(5):
        sign_in("wrong")
    assert "too many attempts" in sign_in("Right-9").text


def test_who_leaves_the_directory_is_out_by_the_next_request(
    installation: Installation, browser: Browser
) -> None:
    """Provisioned, signed in, gone: session and half-done steps end with the answer to Entra's PATCH."""
    installation.provider(kind="scim", id="people", label="People")
    with installation.scim("people") as scim:
        made = scim.post("/scim/v2/Users", json={"schemas": [USER], "userName": "scimmarie"})
        assert made.status_code == 201, made.text
        assert made.headers["content-type"] == "application/scim+json"
        base = installation.identity.base
        account = base.accounts.find("scimmarie")
        client = Client(address="127.0.0.1")
        with base.store.transaction() as tx:
            token = base.sessions.start(tx, account.id, client, ["sso"], base.now(), provider="people")
        installation.rows(
            "INSERT INTO vallum.ticket (digest, kind, account_id, data, created, expires)"
            " VALUES (sha256('x'), 'factor', %s, '{}', now(), now() + interval '1 hour')",
            account.id,
        )
        browser.here.cookies.set("__Host-vallum", token, domain="localhost.local")
        seen = browser.here.get("/account/security", headers={"cookie": f"__Host-vallum={token}"})
        assert "scimmarie" in seen.text
        path = f"/scim/v2/Users/{made.json()['id']}"
        leave = {"op": "Replace", "path": "active", "value": "False"}
        assert scim.patch(path, json={"schemas": [PATCH], "Operations": [leave]}).status_code == 200
        after = browser.here.get("/account/security", headers={"cookie": f"__Host-vallum={token}"})
        assert after.headers["location"].startswith("/account/sign-in")
        left = installation.rows("SELECT count(*) FROM vallum.ticket WHERE account_id = %s", account.id)
        assert left == [(0,)]
        assert not base.accounts.find("scimmarie").active


def test_name_that_cannot_be_one_is_refused(installation: Installation) -> None:
    """With the standard's error, whatever the accounts have against it."""
    installation.provider(kind="scim", id="people", label="People")
    with installation.scim("people") as scim:
        for name, status in (("a\u202eb", 400), ("x" * 300, 400), (" ", 400)):
            made = scim.post("/scim/v2/Users", json={"schemas": [USER], "userName": name})
            assert (made.status_code, made.json().get("scimType")) == (status, "invalidValue")


def test_provisioning_needs_a_token(installation: Installation, browser: Browser) -> None:
    """Nothing is told without one, and a session is none."""
    installation.provider(kind="scim", id="people", label="People")
    for headers in ({}, {"authorization": "Bearer vscim_x"}, {"authorization": "Basic eDp5"}):
        answer = browser.here.get("/scim/v2/Users", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["status"] == "401"
    with installation.scim("people") as scim:
        assert scim.get("/scim/v2/ServiceProviderConfig").json()["patch"] == {"supported": True}
        found = scim.get("/scim/v2/Users", params={"filter": 'userName eq "nobody"'}).json()
        assert found["totalResults"] == 0
        location = scim.get("/scim/v2/Schemas").json()["Resources"][0]["meta"]["location"]
        assert location.startswith(f"{installation.server.url}/scim/v2/Schemas/")


def test_password_is_forbidden_by_mail_domain_but_not_for_the_break_glass(
    installation: Installation, browser: Browser
) -> None:
    """Those who sign in by a provider alone cannot go around it; whoever is for emergencies can come in."""
    base = installation.identity.base
    for login, glass in (("anna@only.example", False), ("glass@only.example", True)):
        account = base.accounts.create(login, base.now(), break_glass=glass)
        installation.identity.passwords.replace(account, GOOD, Client(address="192.0.2.1"))

    def sign_in(login: str) -> int:
        tag = _tag(browser.here.get("/account/sign-in"))
        form = {"form": tag, "login": login, "password": GOOD}
        headers = {"sec-fetch-site": "same-origin"}
        return browser.here.post("/account/sign-in", data=form, headers=headers).status_code

    assert sign_in("anna@only.example") == 303
    installation.provider(
        kind="scim", id="only", label="Only", domains=["only.example"], forbid_password=True
    )
    assert sign_in("anna@only.example") == 401
    assert sign_in("glass@only.example") == 303


@pytest.mark.parametrize(
    "path", ["/sso/none/start", "/sso/none/callback", "/sso/x", "/sso/one/nonsense", "/sso/..%2fx/start"]
)
def test_what_is_not_there_is_not_found(browser: Browser, path: str) -> None:
    """Whatever is typed."""
    assert browser.here.get(path).status_code == 404
