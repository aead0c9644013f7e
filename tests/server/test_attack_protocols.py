"""Attacks that every protocol has to hold off by itself, and fields that are read bit by bit."""

from __future__ import annotations

import base64
import socket
import xmlrpc.client
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any, Final

import httpx
import pytest

from examples.trading import generate
from tests.server.conftest import Company, Odoo
from tests.support.company import METADATA, POLICY
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder
from vallum.postgres import EmbeddedServer

MIB: Final = 2**20


@pytest.fixture
def client(serve18: Odoo) -> Iterator[httpx.Client]:
    """A client that has shown nothing."""
    with serve18.server.client() as found:
        yield found


METHODS: Final = ("_search", "__init__", "search.__globals__", "sudo", "with_user", "env", "browse")


@pytest.mark.attacks("rpc: private methods", "rpc: method names with dots", "rpc: methods of the session")
@pytest.mark.parametrize("method", METHODS)
def test_method_that_is_not_served_is_called_by_no_protocol(
    method: str, client: httpx.Client, serve18: Odoo
) -> None:
    """JSON-2, JSON-RPC with a secret and with a cookie, XML-RPC: an error, and the log knows no such name."""
    server = serve18.server
    headers = {"Authorization": f"Bearer {serve18.key}"}
    assert client.post(f"/json/2/crm.lead/{method}", json={}, headers=headers).status_code in (403, 404)
    call: tuple[Any, ...] = (server.database, 6, "demo", "crm.lead", method, [[]])
    told = server.rpc(client, "object", "execute_kw", *call)
    assert told["error"]["data"]["name"] in ("odoo.exceptions.AccessError", "builtins.AttributeError")
    who = {"db": server.database, "login": "demo", "password": "demo"}
    client.post("/web/session/authenticate", json={"jsonrpc": "2.0", "params": who})
    params = {"model": "crm.lead", "method": method, "args": [[]], "kwargs": {}}
    told = client.post("/web/dataset/call_kw", json={"jsonrpc": "2.0", "params": params}).json()
    assert told["error"]["data"]["name"] in ("odoo.exceptions.AccessError", "builtins.AttributeError")
    body = xmlrpc.client.dumps(call, "execute_kw").encode()
    answer = client.post("/xmlrpc/2/object", content=body, headers={"Content-Type": "text/xml"})
    with pytest.raises(xmlrpc.client.Fault):
        xmlrpc.client.loads(answer.content)


@pytest.mark.attacks("rpc: huge JSON", "rpc: huge XML")
@pytest.mark.parametrize(
    "path", ["/json/2/crm.lead/search", "/jsonrpc", "/xmlrpc/2/object", "/scim/v2/Users"]
)
def test_body_beyond_the_limit_is_refused_by_every_protocol(path: str, client: httpx.Client) -> None:
    """By its length, before it is sent; and where none is announced, at the limit."""
    assert client.post(path, content=b"x" * (9 * MIB)).status_code == 413
    assert client.post(path, content=(b"x" * MIB for _ in range(9))).status_code == 413


def _logged_in_by(value: bytes, database: str) -> bytes:
    """A sign-in by XML-RPC with a value for the password."""
    head = b"<methodCall><methodName>authenticate</methodName><params>"
    texts = b"".join(b"<param><value>%b</value></param>" % t.encode() for t in (database, "demo"))
    return head + texts + b"<param><value>" + value + b"</value></param></params></methodCall>"


@pytest.mark.attacks("rpc: giant base64")
def test_giant_base64_is_bounded(client: httpx.Client, serve18: Odoo) -> None:
    """Within the limit of a body it is a text like any other, and no password; what is none is refused."""
    headers = {"Content-Type": "text/xml"}

    def send(content: bytes) -> httpx.Response:
        value = b"<base64>" + content + b"</base64>"
        body = _logged_in_by(value, serve18.server.database)
        return client.post("/xmlrpc/2/common", content=body, headers=headers)

    large = send(base64.b64encode(b"x" * (5 * MIB)))
    assert large.status_code == 200
    assert b"boolean" in large.content or b"fault" in large.content
    assert len(large.content) < 10_000
    assert send(base64.b64encode(b"x" * (7 * MIB))).status_code == 413
    for odd in (b"=" * 100_000, b"!" * 1_000, b"QQ=Q", b"<data/>"):
        assert send(odd).status_code == 400


SALARY: Final = "salary"


def _shut(name: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Calls that say something of a field of employees."""
    employees, users = "hr.employee", "res.users"
    return {
        "compared": (employees, "search_count", {"domain": [[name, ">", 1]]}),
        "is set": (employees, "search", {"domain": [[name, "!=", False]]}),
        "negated": (employees, "search", {"domain": ["!", [name, "=", 1]]}),
        "beside others": (employees, "search", {"domain": ["|", ["id", ">", 0], [name, ">", 1]]}),
        "among": (employees, "search", {"domain": [[name, "in", [1, 2]]]}),
        "behind a path": (users, "search", {"domain": [[f"employee_ids.{name}", ">", 1]]}),
        "behind two": (
            "res.company",
            "search",
            {"domain": [[f"user_ids.employee_ids.{name}", ">", 1]]},
        ),
        "within any": (users, "search", {"domain": [["employee_ids", "any", [[name, ">", 1]]]]}),
        "within not any": (users, "search", {"domain": [["employee_ids", "not any", [[name, ">", 1]]]]}),
        "in a name search": (employees, "name_search", {"name": "a", "domain": [[name, ">", 1]]}),
        "ordered": (employees, "search", {"domain": [], "order": name}),
        "ordered at last": (employees, "search_read", {"fields": ["name"], "order": f"name, {name} desc"}),
        "ordered in a tree": (
            users,
            "web_search_read",
            {"domain": [], "specification": {"employee_ids": {"fields": {}, "order": name}}},
        ),
        "grouped": (employees, "read_group", {"domain": [], "fields": [], "groupby": [name]}),
        "grouped at last": (
            employees,
            "read_group",
            {"domain": [], "fields": [], "groupby": ["department_id", name], "lazy": False},
        ),
        "summed": (employees, "read_group", {"domain": [], "fields": [name], "groupby": []}),
        "counted": (
            employees,
            "read_group",
            {"domain": [], "fields": [f"n:count_distinct({name})"], "groupby": ["department_id"]},
        ),
        "grouped under a condition": (
            employees,
            "read_group",
            {"domain": [[name, ">", 1]], "fields": [], "groupby": ["department_id"]},
        ),
        "exported": ("res.users", "export_data", {"ids": [3], "fields_to_export": [f"employee_ids/{name}"]}),
    }


@pytest.mark.attacks(
    "fields: a denied field, bit by bit",
    "fields: order by a denied field",
    "fields: group by a denied field",
)
@pytest.mark.parametrize("way", sorted(_shut(SALARY)))
def test_shut_field_is_told_by_no_way(way: str, serve_company: Company) -> None:
    """A salary is refused to whoever may read employees; the same call about an open field is answered."""
    headers = {"Authorization": f"Bearer {serve_company.people.keys['marie']}"}
    model, method, arguments = _shut(SALARY)[way]
    with serve_company.server.client(headers=headers) as client:
        refused = client.post(f"/json/2/{model}/{method}", json=arguments)
        assert refused.status_code == 403, refused.text
        assert SALARY in refused.json()["message"]
        model, method, arguments = _shut("parent_id" if way != "exported" else "name")[way]
        open_one = client.post(f"/json/2/{model}/{method}", json=arguments)
        assert open_one.status_code == 200, open_one.text


@pytest.fixture
def impatient(pg_server: EmbeddedServer) -> Iterator[Server]:
    """A server that waits a second for what a request says."""
    dsn = pg_server.create_database("impatient")
    generate(dsn, rows=2_000)
    settings = {"metadata": METADATA, "policy": POLICY, "body_timeout": 1}
    with (
        temporary_folder() as folder,
        serving(folder, dsn=dsn, store=None, settings=settings, secure=False) as running,
    ):
        yield running
    pg_server.drop_database("impatient")


@pytest.mark.slow
@pytest.mark.attacks("web: slow requests")
def test_request_that_does_not_end_is_ended(impatient: Server) -> None:
    """A body that comes by drops is answered 408; one whose head does not come is cut off."""
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as raw:
        raw.sendall(b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        answer = HTTPResponse(raw)
        answer.begin()
        assert answer.status == 408
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as raw:
        raw.sendall(b"POST /jsonrpc HTTP/1.1\r\nHost: local")
        assert raw.recv(1024)[:12] in (b"", b"HTTP/1.1 408")
