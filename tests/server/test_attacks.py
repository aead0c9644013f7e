"""Bad input and attacks, over HTTPS: each is refused clearly, and tells nothing."""

from __future__ import annotations

import json
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.conftest import Odoo
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.xmlrpc import dumped

LEADS = "/json/2/crm.lead"
EMPLOYEES = "/json/2/hr.employee"


@pytest.fixture
def client(serve18: Odoo) -> Iterator[httpx.Client]:
    """A client with the key of `demo`."""
    with serve18.server.client(headers={"Authorization": f"Bearer {serve18.key}"}) as found:
        yield found


def _error(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    error: dict[str, Any] = body.get("error", {}).get("data") or body.get("error") or body
    assert error["debug"] == ""
    assert "Traceback" not in response.text
    return error


BAD_JSON = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deeper than is read": b'{"domain":' + b"[" * 70 + b"]" * 70 + b"}",
    "NaN": b'{"domain": [["id", "=", NaN]]}',
    "infinity": b'{"domain": [["id", "=", Infinity]]}',
    "an exponent beyond floats": b'{"domain": [["id", "=", 1e999]]}',
    "5,000 digits": b'{"domain": [["id", "=", ' + b"9" * 5_000 + b"]]}",
    "100 digits": b'{"limit": ' + b"9" * 100 + b', "domain": []}',
    "no JSON": b"domain=[]",
    "half of it": b'{"domain": [',
    "no text": b'{"domain": [["name", "=", "\xff\xfe"]]}',
    "half a character": b'{"domain": [["name", "=", "\\ud800"]]}',
    "a list": b"[]",
    "a number": b"7",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
@pytest.mark.attacks("rpc: deep JSON", "rpc: NaN", "rpc: 5,000-digit integers")
def test_bad_json_is_refused(body: bytes, client: httpx.Client) -> None:
    """400, by JSON-2 and by JSON-RPC."""
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{LEADS}/search", content=body, headers=headers)
    assert response.status_code == 400
    _error(response)
    assert client.post("/jsonrpc", content=body, headers=headers).status_code == 400


def _called(value: bytes) -> bytes:
    """A call with one argument."""
    return (
        b"<methodCall><methodName>version</methodName><params><param>"
        + value
        + b"</param></params></methodCall>"
    )


_ENTITY = '<!DOCTYPE x [<!ENTITY e "y">]><methodCall><methodName>&e;</methodName></methodCall>'
_FILE = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
_LAUGHS = b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10))
_ARRAY, _END = b"<value><array><data>", b"</data></array></value>"
BAD_XML = {
    "an entity": _ENTITY.encode(),
    "a file": _FILE + _called(b"<value>&e;</value>"),
    "an entity in UTF-16": f'<?xml version="1.0" encoding="utf-16"?>{_ENTITY}'.encode("utf-16"),
    "a billion laughs": b'<!DOCTYPE x [<!ENTITY a0 "ha">' + _LAUGHS + b"]>" + _called(b"<value>&a9;</value>"),
    "deep": _called(_ARRAY * 100_000 + _END * 100_000),
    "deeper than is read": _called(_ARRAY * 66 + _END * 66),
    "NaN": _called(b"<value><double>nan</double></value>"),
    "5,000 digits": _called(b"<value><int>" + b"9" * 5_000 + b"</int></value>"),
    "no XML": b"methodCall",
    "another document": b"<html/>",
}


@pytest.mark.parametrize("body", BAD_XML.values(), ids=BAD_XML.keys())
@pytest.mark.attacks("rpc: deep XML", "rpc: entities", "rpc: NaN", "rpc: 5,000-digit integers")
def test_bad_xml_is_refused(body: bytes, client: httpx.Client) -> None:
    """400; nothing is expanded, nothing fetched."""
    response = client.post("/xmlrpc/2/common", content=body, headers={"Content-Type": "text/xml"})
    assert response.status_code == 400
    assert "root:" not in response.text


CALLS: dict[str, tuple[str, dict[str, Any], int]] = {
    "a private method": (f"{LEADS}/_search", {"domain": []}, 403),
    "a dunder": (f"{LEADS}/__class__", {}, 403),
    "a method with dots": (f"{LEADS}/search.__globals__", {"domain": []}, 404),
    "a method of the session": (f"{LEADS}/sudo", {}, 404),
    "another method of it": (f"{LEADS}/where", {"domain": []}, 404),
    "browse": (f"{LEADS}/browse", {"ids": [1]}, 404),
    "with_context": (f"{LEADS}/with_context", {"context": {}}, 404),
    "raw SQL": (f"{LEADS}/execute", {"query": "SELECT 1"}, 404),
    "an unknown model": ("/json/2/no.model/search", {"domain": []}, 404),
    "a model of odd characters": ("/json/2/crm.lead'--/search", {"domain": []}, 404),
    "ids that are text": (f"{LEADS}/read", {"ids": ["1"]}, 422),
    "ids that are floats": (f"{LEADS}/read", {"ids": [1.5]}, 422),
    "ids that are yes": (f"{LEADS}/read", {"ids": [True]}, 422),
    "ids that are objects": (f"{LEADS}/read", {"ids": {"a": 1}}, 422),
    "negative ids": (f"{LEADS}/read", {"ids": [-1]}, 422),
    "ids beyond the column": (f"{LEADS}/read", {"ids": [2**40]}, 422),
    "a negative limit": (f"{LEADS}/search", {"domain": [], "limit": -1}, 422),
    "a limit of text": (f"{LEADS}/search", {"domain": [], "limit": "1; DROP TABLE x"}, 422),
    "an order of SQL": (f"{LEADS}/search", {"domain": [], "order": "id; DROP TABLE res_users"}, 422),
    "a field of SQL": (f"{LEADS}/search_read", {"domain": [], "fields": ['name" FROM res_users--']}, 422),
    "fields that are a number": (f"{LEADS}/search_read", {"domain": [], "fields": 7}, 422),
    "a NUL in a value": (f"{LEADS}/search", {"domain": [["name", "=", "a\0b"]]}, 422),
    "a NUL in a name": (f"{LEADS}/name_search", {"name": "a\0b"}, 422),
    "an unknown operator": (f"{LEADS}/search", {"domain": [["name", "= ANY", "x"]]}, 422),
    "a domain of text": (f"{LEADS}/search", {"domain": "[(1, '=', 1)]"}, 422),
    "a context that is no object": (f"{LEADS}/search", {"domain": [], "context": [1]}, 422),
    "another's company": (f"{LEADS}/search", {"domain": [], "context": {"allowed_company_ids": [3]}}, 403),
    "companies of text": (f"{LEADS}/search", {"domain": [], "context": {"allowed_company_ids": ["1"]}}, 422),
    "a language of SQL": (f"{LEADS}/search", {"domain": [], "context": {"lang": "en'--"}}, 422),
    "a language that is not there": (f"{LEADS}/search", {"domain": [], "context": {"lang": "tlh_AA"}}, 422),
    "an unknown argument": (f"{LEADS}/search", {"domain": [], "sudo": True}, 422),
    "ids for a method of the model": (f"{LEADS}/search", {"domain": [], "ids": [1]}, 422),
    "a tree without end": (
        f"{LEADS}/web_search_read",
        {"domain": [], "specification": {"partner_id": {"fields": "x"}}},
        422,
    ),
    "an operation there is none of": (f"{LEADS}/check_access_rights", {"operation": "drop"}, 422),
    "a group without a module": ("/json/2/res.users/has_group", {"ids": [], "group_ext_id": "admin"}, 422),
    "another's groups": ("/json/2/res.users/has_group", {"ids": [2], "group_ext_id": "base.group_user"}, 403),
    "a path without end": (f"{LEADS}/export_data", {"ids": [2], "fields_to_export": ["a/" * 50 + "id"]}, 422),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.asvs("16.5.1")
@pytest.mark.attacks(
    "rpc: private methods",
    "rpc: method names with dots",
    "rpc: methods of the session",
    "rpc: ids of other types",
    "rpc: context abuse",
    "injection: SQL",
)
def test_odd_calls_are_refused(call: tuple[str, dict[str, Any], int], client: httpx.Client) -> None:
    """A clear status, an error in Odoo's shape, nothing of the server in it."""
    path, body, status = call
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    error = _error(response)
    assert error["message"]
    assert "/src/" not in response.text


SHUT: dict[str, tuple[str, dict[str, Any]]] = {
    "asked bit by bit": ("search", {"domain": [["message_main_attachment_id", "!=", False]]}),
    "through a path": ("search", {"domain": [["user_id.employee_ids.pin", "=like", "1%"]]}),
    "in a negation": ("search_count", {"domain": ["!", ["user_id.employee_ids.pin", "=", "1"]]}),
    "in a count": ("search_count", {"domain": [["pin", ">", "0"]]}),
    "ordered by": ("search", {"domain": [], "order": "pin"}),
    "ordered by, behind another": ("search", {"domain": [], "order": "name, pin desc"}),
    "grouped by": ("read_group", {"domain": [], "fields": [], "groupby": ["pin"]}),
    "aggregated": ("read_group", {"domain": [], "fields": ["pin:max"], "groupby": ["department_id"]}),
    "aggregated under a name": (
        "read_group",
        {"domain": [], "fields": ["x:max(pin)"], "groupby": ["department_id"]},
    ),
    "ordered by in groups": (
        "read_group",
        {"domain": [], "fields": [], "groupby": ["job_id"], "orderby": "pin"},
    ),
    "read": ("search_read", {"domain": [], "fields": ["name", "pin"]}),
    "read in a tree": ("web_search_read", {"domain": [], "specification": {"pin": {}}}),
    "exported": ("export_data", {"ids": [1], "fields_to_export": ["name", "pin"]}),
}


@pytest.mark.parametrize("call", list(SHUT.values())[3:], ids=list(SHUT)[3:])
@pytest.mark.asvs("8.2.3")
@pytest.mark.attacks("fields: order by a denied field", "fields: group by a denied field")
def test_shut_field_is_not_told(
    call: tuple[str, dict[str, Any]], client: httpx.Client, serve18: Odoo
) -> None:
    """Neither read, nor searched, ordered, grouped or aggregated by; `portal` may see no PIN."""
    server = serve18.server
    method, body = call
    params = {
        "service": "object",
        "method": "execute_kw",
        "args": [server.database, 7, "portal", "hr.employee", method],
    }
    args = [body.pop("ids")] if "ids" in body else []
    params["args"] += [args, body]  # type: ignore[operator]
    response = client.post("/jsonrpc", json={"jsonrpc": "2.0", "id": 1, "params": params})
    body.update({"ids": args[0]} if args else {})
    error = _error(response)
    assert error["name"] in (
        "odoo.exceptions.AccessError",
        "builtins.ValueError",
        "odoo.exceptions.UserError",
    )


@pytest.mark.parametrize(
    "context",
    [
        {"sudo": True},
        {"su": 1},
        {"uid": 2},
        {"user_id": 2},
        {"__superuser": 1},
        {"allowed_company_ids": []},
        {"lang": False},
    ],
)
@pytest.mark.attacks("rpc: sudo-like context keys")
def test_context_widens_nothing(context: dict[str, Any], client: httpx.Client) -> None:
    """Keys that sound like more rights have no effect."""
    plain = client.post(f"{LEADS}/search", json={"domain": []}).json()
    assert client.post(f"{LEADS}/search", json={"domain": [], "context": context}).json() == plain
    assert client.post("/json/2/ir.rule/search", json={"domain": [], "context": context}).status_code == 403


def test_answer_is_bounded(client: httpx.Client, serve18: Odoo) -> None:
    """A giant limit is no error, a giant offset no answer, ids by the thousand are read once each."""
    assert client.post(f"{LEADS}/search", json={"domain": [], "limit": 2**62}).status_code == 200
    assert client.post(f"{LEADS}/search", json={"domain": [], "offset": 2**62}).json() == []
    assert client.post(f"{LEADS}/search", json={"domain": [], "offset": 2**63}).status_code == 422


@pytest.mark.attacks("rpc: unknown databases")
def test_unknown_database_is_refused(client: httpx.Client, serve18: Odoo) -> None:
    """By every protocol; and databases are not listed."""
    response = client.post(f"{LEADS}/search", json={"domain": []}, headers={"X-Odoo-Database": "other"})
    assert response.status_code == 404
    for service, method, args in (
        ("common", "authenticate", ["other", "demo", "demo", {}]),
        ("object", "execute_kw", ["other", 6, "demo", "crm.lead", "search", [[]]]),
        ("db", "list", []),
        ("db", "drop", ["master", "x"]),
    ):
        assert "error" in serve18.server.rpc(client, service, method, *args)


@pytest.mark.attacks("rpc: secrets of other types")
def test_secret_of_another_kind_is_refused(client: httpx.Client, serve18: Odoo) -> None:
    """Empty, giant, of other types; and an id that is not the key's."""
    server = serve18.server
    assert server.rpc(client, "common", "authenticate", server.database, "a\0b", "x", {})["result"] is False
    for secret in ("", None, False, 7, ["demo"], "x" * 100_000, "demo\0"):
        answer = server.rpc(
            client, "object", "execute_kw", server.database, 6, secret, "crm.lead", "search", [[]]
        )
        assert answer["error"]["data"]["name"] in ("odoo.exceptions.AccessDenied", "builtins.TypeError")
    answer = server.rpc(
        client, "object", "execute_kw", server.database, 2, serve18.key, "crm.lead", "search", [[]]
    )
    assert answer["error"]["data"]["name"] == "odoo.exceptions.AccessDenied"
    for bearer in (
        "",
        "Bearer",
        "Bearer x y",
        "Basic eDp5",
        f"Bearer {serve18.key[:-1]}",
        f"Bearer {serve18.key}x",
    ):
        response = client.post(f"{LEADS}/search", json={"domain": []}, headers={"Authorization": bearer})
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"


def test_form_of_a_foreign_page_is_refused(client: httpx.Client) -> None:
    """A body that a form can send calls nothing."""
    body = json.dumps({"jsonrpc": "2.0", "params": {"db": "x", "login": "a", "password": "b"}})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        response = client.post("/web/session/authenticate", content=body, headers={"Content-Type": kind})
        assert response.status_code == 415


@pytest.mark.attacks("rpc: batches")
def test_odd_batch_is_refused(client: httpx.Client) -> None:
    """JSON-RPC batches, which would be many calls at the price of one, are no calls."""
    assert client.post("/jsonrpc", json=[{"jsonrpc": "2.0", "params": {}}] * 1_000).status_code == 400


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, 2**53, -(2**53)])
def test_integer_over_xml_is_equal_or_refused(number: int) -> None:
    """XML-RPC has 32 bits: beyond, a float that is the same number, and none that is nearly."""
    assert xmlrpc.client.loads(dumped(([number],)))[0] == ([number],)
    with pytest.raises(RpcError):
        dumped(({"a": [2**53 + 1]},))
