"""Two real providers (oidc-provider on Node.js), a browser, and what signs in at them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from tests.support.certificates import authority, signed_by
from tests.support.node import NodeProgram, node_program
from tests.support.sso_world import World
from tests.support.sso_world import world as world
from vallum.identity.oidc.flow import OidcFlow, Redirect
from vallum.identity.sso.join import SignedIn

BASE = "https://vallum.example"
SECRET = "a-secret-with:everything%20+&"
GROUPS = {"marie": ["sales", "other"], "paul": []}


@dataclass
class RealProvider:
    """A provider that runs, and the file of the authority that vouches for it."""

    program: NodeProgram
    ca_file: Path
    log: Path

    @property
    def issuer(self) -> str:
        return str(self.program.said["issuer"])


class Listener:
    """Takes what providers send behind the browser's back."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        tokens = self.tokens

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                tokens.append(parse_qs(body)["logout_token"][0])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """For logout tokens."""
    found = Listener()
    yield found
    found.close()


@pytest.fixture(scope="session")
def real_providers(
    tmp_path_factory: pytest.TempPathFactory, listener: Listener
) -> Iterator[tuple[RealProvider, RealProvider]]:
    """Two that know nothing of each other; both know a client `vallum`."""
    folder = tmp_path_factory.mktemp("oidc")
    ca = authority()
    ca_file, _ = ca.write(folder, "ca")
    certificate, key = signed_by(ca).write(folder, "server")
    with ExitStack() as stack:
        found = []
        for name in ("one", "two"):
            client = {
                "client_id": "vallum",
                "client_secret": SECRET,
                "redirect_uris": [f"{BASE}/sso/{name}/callback"],
                "post_logout_redirect_uris": [f"{BASE}/"],
                "backchannel_logout_uri": f"{listener.url}{name}",
                "backchannel_logout_session_required": True,
            }
            given = {"cert": str(certificate), "key": str(key), "clients": [client], "groups": GROUPS}
            log = folder / f"{name}.log"
            program = stack.enter_context(node_program("oidc.mjs", given, log))
            found.append(RealProvider(program, ca_file, log))
        yield found[0], found[1]


class Browser:
    """Goes where it is sent, until it comes back."""

    def __init__(self, ca_file: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca_file))
        self.client = httpx.Client(verify=context, trust_env=False)
        self.cookie: str | None = None

    def visit(self, redirect: Redirect, hint: str = "marie") -> list[tuple[str, str]]:
        """The parameters with which the provider sends it back."""
        self.cookie = redirect.browser
        # Cookies know no ports: to the browser, both providers are one host.
        self.client.cookies.clear()
        url = httpx.URL(redirect.url).copy_add_param("login_hint", hint)
        for _ in range(10):
            response = self.client.get(url)
            target = httpx.URL(url).join(response.headers.get("location", ""))
            assert response.is_redirect, response.text
            if str(target).startswith(BASE):
                return parse_qsl(urlsplit(str(target)).query)
            url = target
        raise AssertionError("sent around in circles")


@dataclass
class SignOn:
    """A flow, and a browser to go through it."""

    world: World
    flow: OidcFlow
    browser: Browser

    def sign_in(self, provider: str = "one", hint: str = "marie") -> SignedIn:
        """From the click to the account."""
        answer = self.browser.visit(self.flow.begin(provider), hint)
        return self.flow.complete(provider, answer, self.browser.cookie)


@pytest.fixture
def sign_on(
    world: World,
    real_providers: tuple[RealProvider, RealProvider],
    tmp_path: Path,
) -> Iterator[SignOn]:
    """Both providers written down, with accounts made at the first sign-in."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    for name, real in zip(("one", "two"), real_providers, strict=True):
        world.provider(
            kind="oidc",
            id=name,
            label=name,
            issuer=real.issuer,
            client_id="vallum",
            secret=f"file:{secret}",
            ca_file=str(real.ca_file),
            create=True,
            rules=[{"value": "sales", "groups": ["sales_team.group_sale_salesman"]}],
        )
    browser = Browser(real_providers[0].ca_file)
    yield SignOn(world, OidcFlow(world.store, world.accounts, world.clock, BASE), browser)
    browser.client.close()
