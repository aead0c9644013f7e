"""How often an address may take a step of signing in elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.support.company import METADATA, POLICY
from tests.support.serving import serving
from tests.support.temporary import temporary_folder
from vallum.postgres import EmbeddedServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(pg_server: EmbeddedServer, company: str) -> Iterator[httpx.Client]:
    """Of a server that lets two come at once, and hardly one more."""
    store = pg_server.create_database(f"sso_limits_{os.getpid()}")
    settings = {"metadata": METADATA, "policy": POLICY, "sso_rate": 1, "sso_burst": 2}
    with (
        temporary_folder() as folder,
        serving(folder, dsn=company, store=store, settings=settings) as server,
        server.client() as found,
    ):
        yield found


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("GET", "start"),
        ("GET", "callback"),
        ("POST", "acs"),
        ("POST", "password"),
        ("GET", "logout"),
        ("GET", "sign-out"),
        ("GET", "metadata"),
    ],
)
@pytest.mark.asvs("6.3.1")
def test_each_step_has_a_limit_of_its_own(client: httpx.Client, method: str, step: str) -> None:
    """Too many are told when to come back; whoever only begins keeps nobody from coming back."""
    found = [client.request(method, f"/sso/corp/{step}").status_code for _ in range(2)]
    assert 429 not in found
    refused = client.request(method, f"/sso/other/{step}")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert "Wait a minute" in refused.text


def test_what_a_provider_sends_may_come_for_everybody_at_once(client: httpx.Client) -> None:
    """It comes from one address, when everybody goes home."""
    found = {client.post("/sso/corp/back-channel", data={"logout_token": "x"}).status_code for _ in range(40)}
    assert found == {400}
    assert client.post("/sso/corp/back-channel", data={"logout_token": "x"}).status_code == 429
