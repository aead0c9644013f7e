"""A server with real providers beside it, and a browser that goes from one to the other and back."""

from __future__ import annotations

import html
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.identity.oidc.conftest import Listener
from tests.support.certificates import authority, self_signed, signed_by
from tests.support.company import METADATA, POLICY
from tests.support.directories import python_ldap
from tests.support.node import NodeProgram, node_program
from tests.support.serving import Server, free_port, serving
from tests.support.temporary import temporary_folder
from vallum.identity import Identity, open_identity
from vallum.identity.saml.keys import KeyFile
from vallum.identity.saml.metadata import read_provider
from vallum.identity.scim.tokens import make
from vallum.identity.sso.providers import parse
from vallum.identity.sso.store import save_provider
from vallum.kernel import Settings
from vallum.postgres import Database, EmbeddedServer

__all__ = ["GROUP", "PATCH", "SECRET", "USER", "Federation", "Visitor", "federation", "target_of", "visitor"]

SECRET = "client-secret"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Federation:
    """A server, the identity behind it, and providers that know it. `environ`: the settings of commands."""

    server: Server
    identity: Identity
    oidc: NodeProgram
    saml: NodeProgram
    context: ssl.SSLContext
    listener: Listener
    folder: Path
    environ: dict[str, str]

    def provider(self, **given: Any) -> None:
        """Write a provider down."""
        with self.identity.base.store.transaction() as tx:
            save_provider(tx, parse(given), self.identity.base.now())

    def openid(self, **given: Any) -> None:
        """The provider `one`, of OpenID Connect."""
        described: dict[str, Any] = {
            "kind": "oidc",
            "id": "one",
            "label": "Staff <login>",
            "issuer": self.oidc.said["issuer"],
            "client_id": "vallum",
            "secret": f"file:{self.folder / 'secret'}",
            "ca_file": str(self.folder / "ca.pem"),
            "create": True,
        }
        self.provider(**{**described, **given})

    def corp(self, **given: Any) -> None:
        """The provider `corp`, of SAML, by its own metadata."""
        url = f"{self.saml.said['url']}/FederationMetadata/2007-06/FederationMetadata.xml"
        content = httpx.get(url, verify=self.context, trust_env=False).content
        found = read_provider(content, self.identity.base.now())
        described = {**found, "kind": "saml", "id": "corp", "label": "Corp", "create": True}
        # The provider wants it, and forgets to say so in its metadata.
        self.provider(**{**described, "sign_requests": True, "encrypt": True, **given})

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Look into a table."""
        return self.identity.base.store.rows(statement, values)

    def scim(self, provider: str) -> httpx.Client:
        """A directory's client."""
        with self.identity.base.store.transaction() as tx:
            token = make(tx, provider, self.identity.base.now())
        return self.server.client(headers={"authorization": f"Bearer {token}"})


@pytest.fixture(scope="session")
def federation(
    pg_server: EmbeddedServer, company: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
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
    # All tests come from one address.
    settings = (
        f'url = "{base}"\nhashing = {{memory = 7168, time = 1}}\n'
        "lockout = {address = {failures = 10000}, network = {failures = 10000}}"
    )
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
        folder = stack.enter_context(temporary_folder())
        (ours,) = KeyFile(folder / "saml.key").make(datetime.now(UTC))
        (keys / "ours.pem").write_text(ours.certificate)
        corp = {
            **common,
            "signCert": str(sign_certificate),
            "signKey": str(sign_key),
            "signingCert": str(keys / "ours.pem"),
            "encryptionCert": str(keys / "ours.pem"),
            "issuer": "urn:provider",
            "acs": f"{base}/sso/corp/acs",
            "logout": {
                "serviceProviderId": f"{base}/sso/corp/metadata",
                "serviceProviderLogoutURL": f"{base}/sso/corp/logout",
                "cert": str(keys / "ours.pem"),
            },
        }
        saml = stack.enter_context(node_program("saml.mjs", corp, keys / "saml.log"))
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
        commands = {
            **environ,
            "VALLUM_DSN": company,
            "VALLUM_STORE": store,
            "VALLUM_METADATA": METADATA,
            "VALLUM_POLICY": POLICY,
        }
        yield Federation(server, identity, oidc, saml, context, listener, keys, commands)


class Visitor:
    """Two clients with cookies of their own: one for our server, one for providers."""

    def __init__(self, federation: Federation) -> None:
        self.here = federation.server.client(follow_redirects=False)
        self.there = httpx.Client(verify=federation.context, trust_env=False)
        self.base = federation.server.url

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

    def sign_out(self) -> httpx.Response:
        """Press the button; the page that it ends at."""
        tag = re.findall(r'name="form" content="([0-9a-f]{64})"', self.here.get("/account/security").text)[0]
        done = self.here.post(
            "/account/sign-out", data={"form": tag}, headers={"sec-fetch-site": "same-origin"}
        )
        return self.here.get(done.headers["location"])

    def carry(self, page: httpx.Response) -> httpx.Response:
        """Go where a page or a redirect sends a message on to, by its form where it has one."""
        if page.is_redirect:
            return self._go(page.headers["location"])
        found = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', page.text)
        if found:
            return self._go(html.unescape(found[1]))
        fields = {n: html.unescape(v) for n, v in re.findall(r'name="(\w+)"\s+value="([^"]*)"', page.text)}
        action = html.unescape(re.findall(r'action="([^"]*)"', page.text.split("</header>")[-1])[0])
        client = self.here if action.startswith(self.base) else self.there
        return client.post(action, data=fields, headers={"sec-fetch-site": "cross-site"})

    def _go(self, url: str) -> httpx.Response:
        return (self.here if url.startswith(self.base) else self.there).get(url)

    def confirm(self, page: httpx.Response) -> httpx.Response:
        """Say yes to the question of the provider of OpenID Connect."""
        action = page.text.split('action="')[1].split('"')[0]
        xsrf = page.text.split('name="xsrf" value="')[1].split('"')[0]
        return self.there.post(action, data={"xsrf": xsrf, "logout": "yes"})

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture
def visitor(federation: Federation) -> Iterator[Visitor]:
    """A browser without scripts."""
    found = Visitor(federation)
    yield found
    found.close()


def target_of(page: httpx.Response) -> str:
    """Where a page of ours goes on to by itself."""
    assert page.status_code == 200, page.text
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', page.text)
    assert found, page.text
    return html.unescape(found[1])
