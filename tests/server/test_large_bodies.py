"""Who may send a large body: whoever shows in the head who they are, and a few others at a time."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any, Final

import httpx
import pytest

from tests.server.conftest import Company

LARGE: Final = 100_000
DOMAIN: Final = [["id", "in", list(range(1, LARGE // 5))]]
COUNT: Final = "/json/2/crm.lead/search_count"


@pytest.fixture
def client(serve_company: Company) -> Iterator[httpx.Client]:
    """A client that has shown nothing."""
    with serve_company.server.client() as found:
        yield found


def _pieces(body: bytes) -> Iterator[bytes]:
    """A body whose length is not announced."""
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


def _sent(client: httpx.Client, path: str, document: Any, announced: bool, **headers: str) -> httpx.Response:
    body = json.dumps(document).encode()
    assert len(body) > LARGE
    content = body if announced else _pieces(body)
    return client.post(path, content=content, headers={"Content-Type": "application/json", **headers})


@pytest.mark.attacks("rpc: large bodies of strangers")
@pytest.mark.parametrize("announced", [True, False])
def test_large_body_needs_a_key_that_holds(
    announced: bool, client: httpx.Client, serve_company: Company
) -> None:
    """None: 413 at the smaller limit. A wrong one: 401. A good one: the answer."""
    key = serve_company.people.keys["marie"]
    for headers, status in (
        ({}, 413),
        ({"Authorization": "Basic eDp5"}, 413),
        ({"Authorization": f"Bearer {key[:-1]}x"}, 401),
        ({"Authorization": f"Bearer {key}"}, 200),
    ):
        answer = _sent(client, COUNT, {"domain": DOMAIN}, announced, **headers)
        assert answer.status_code == status, answer.text
        if status == 413:
            assert "65536" in answer.json()["error"]["message"]
    assert answer.json() > 0


@pytest.mark.attacks("rpc: large bodies of strangers")
@pytest.mark.parametrize("announced", [True, False])
def test_large_body_needs_a_session_that_holds(
    announced: bool, client: httpx.Client, serve_company: Company
) -> None:
    """By the cookie of `/web/session/authenticate`; after it was ended no more."""
    server, password = serve_company.server, serve_company.people.passwords["marie"]
    call = {"model": "crm.lead", "method": "search_count", "args": [DOMAIN], "kwargs": {}}
    document = {"jsonrpc": "2.0", "params": call}
    assert _sent(client, "/web/dataset/call_kw", document, announced).status_code == 413
    who = {"db": server.database, "login": "marie", "password": password}
    client.post("/web/session/authenticate", json={"jsonrpc": "2.0", "params": who})
    assert _sent(client, "/web/dataset/call_kw", document, announced).json()["result"] > 0
    cookies = dict(client.cookies)
    client.post("/web/session/destroy", json={"jsonrpc": "2.0", "params": {}})
    with server.client(cookies=cookies) as thief:
        assert _sent(thief, "/web/dataset/call_kw", document, announced).status_code == 413


@pytest.mark.attacks("rpc: large bodies of strangers")
@pytest.mark.parametrize(
    "path", ["/account/sign-in", "/scim/v2/Users", "/", "/healthz", "/web/session/authenticate"]
)
def test_large_body_of_a_stranger_goes_nowhere(path: str, client: httpx.Client) -> None:
    """Forms, directories, pages: wherever no proof is in the body, or only a small one."""
    assert client.post(path, content=b"x" * LARGE).status_code == 413


@pytest.mark.attacks("rpc: large bodies of strangers")
def test_large_bodies_with_a_password_within_are_few_at_a_time(
    client: httpx.Client, serve_company: Company
) -> None:
    """Four are read at once, the fifth is asked to wait; calls that are small, or with a key, go on."""
    server, people = serve_company.server, serve_company.people
    call = [server.database, 3, people.passwords["marie"], "crm.lead", "search_count", [DOMAIN]]
    document = {"jsonrpc": "2.0", "params": {"service": "object", "method": "execute_kw", "args": call}}
    assert _sent(client, "/jsonrpc", document, announced=True).json()["result"] > 0
    head = f"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGE}\r\n\r\n{{"
    begun: list[socket.socket] = []

    def one_more() -> httpx.Response:
        begun.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        begun[-1].sendall(head.encode())
        return _sent(client, "/jsonrpc", document, announced=True)

    try:
        refused = _until(503, one_more)
        assert refused.headers["retry-after"] == "1"
        assert server.rpc(client, "common", "version")["result"]
        key = {"Authorization": f"Bearer {people.keys['marie']}"}
        assert _sent(client, COUNT, {"domain": DOMAIN}, True, **key).status_code == 200
        # Whoever came while the call above was read may have been refused: those hear it at once.
        told, _, _ = select.select(begun, [], [], 2)
        held = [raw for raw in begun if raw not in told]
        assert len(held) == 4
        # What is answered makes room.
        held[0].sendall(b"x" * (LARGE - 1))
        answer = HTTPResponse(held[0])
        answer.begin()
        assert answer.status in (400, 415)
        assert _until(200, lambda: _sent(client, "/jsonrpc", document, announced=False)).json()["result"] > 0
    finally:
        for raw in begun:
            raw.close()
    for _ in range(6):
        assert _until(200, lambda: _sent(client, "/jsonrpc", document, announced=True)).json()["result"] > 0


def _until(status: int, ask: Any) -> httpx.Response:
    """The answer once it has this status: what was sent, or closed, before may take a moment to be seen."""
    for _ in range(200):
        answer: httpx.Response = ask()
        if answer.status_code == status:
            return answer
    raise AssertionError(answer.text)
