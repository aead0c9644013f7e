"""Clients that people use against Odoo, unmodified: on Odoo databases, and on an application of one's own."""

from __future__ import annotations

import ssl
import urllib.request
import xmlrpc.client
from typing import Any

import httpx
import odoo_connect.odoo_rpc
import odoolib
import odoolib.json2
import odooly
import odoorpc
import pytest
import requests

from tests.server.conftest import Company, Odoo
from tests.support.serving import Server

LEADS = "crm.lead"
NESTED = ["|", ["stage_id.name", "=", "Won"], "&", ["type", "=", "opportunity"], "!", ["priority", "=", "3"]]


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets clients that take no CA of their own trust the server's."""

    def trust(server: Server) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))

    return trust


def _xmlrpc(server: Server, service: str) -> xmlrpc.client.ServerProxy:
    context = ssl.create_default_context(cafile=str(server.ca)) if server.secure else None
    url = f"{server.url}/xmlrpc/2/{service}"
    return xmlrpc.client.ServerProxy(url, context=context, allow_none=True)


def test_xmlrpc_client_reads_an_odoo(serve18: Odoo) -> None:
    """Sign in, list, read, search with a nested domain, count, group; errors are faults with Odoo's codes."""
    server = serve18.server
    with _xmlrpc(server, "common") as common, _xmlrpc(server, "object") as models:
        version: Any = common.version()
        assert version["server_serie"] == "18.0"
        assert common.authenticate(server.database, "demo", "wrong", {}) is False
        uid: Any = common.authenticate(server.database, "demo", "demo", {})
        assert uid == 6

        def call(model: str, method: str, *args: Any, **kwargs: Any) -> Any:
            return models.execute_kw(server.database, uid, "demo", model, method, args, kwargs)

        ids = call(LEADS, "search", NESTED)
        assert ids
        assert call(LEADS, "search_count", NESTED) == len(ids)
        assert {r["id"] for r in call(LEADS, "read", ids, fields=["name", "stage_id"])} == set(ids)
        groups = call(LEADS, "read_group", [], ["expected_revenue"], ["stage_id"])
        assert sum(g["stage_id_count"] for g in groups) == call(LEADS, "search_count", [])
        with pytest.raises(xmlrpc.client.Fault) as refused:
            call(LEADS, "read", [1], fields=["name"])
        assert refused.value.faultCode == 4
        with pytest.raises(xmlrpc.client.Fault) as read_only:
            call(LEADS, "create", {"name": "x"})
        assert "belongs to Odoo" in read_only.value.faultString


# The client leaves its sockets to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("protocol", ["xmlrpcs", "jsonrpcs"])
def test_odoo_client_lib_reads_an_odoo(
    protocol: str, serve18: Odoo, trusting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By XML-RPC and JSON-RPC over HTTPS."""
    server = serve18.server
    trusting(server)
    monkeypatch.setattr(
        ssl, "_create_default_https_context", lambda: ssl.create_default_context(cafile=str(server.ca))
    )
    connection = odoolib.get_connection(
        hostname="localhost",
        protocol=protocol,
        port=server.port,
        database=server.database,
        login="demo",
        password="demo",
    )
    connection.check_login()
    leads = connection.get_model(LEADS)
    ids = leads.search(NESTED)
    assert {r["id"] for r in leads.read(ids, ["name"])} == set(ids)
    assert leads.search_count(NESTED) == len(ids)
    with pytest.raises(Exception, match="may not read"):
        leads.read([1], ["name"])


def test_odoo_client_lib_reads_an_odoo_by_json2(serve19: Odoo, trusting: Any) -> None:
    """By JSON-2 with a key; arguments by place work, since the server documents its methods."""
    server = serve19.server
    trusting(server)
    connection = odoolib.get_connection(
        hostname="localhost",
        protocol="json2s",
        port=server.port,
        database=server.database,
        password=serve19.key,
    )
    assert connection.get_user_context()["uid"] == 5
    leads = connection.get_model(LEADS)
    ids = leads.search(domain=NESTED)
    assert leads.search_count(domain=NESTED) == len(ids)
    assert [r["id"] for r in leads.read(ids, ["name"])] == ids


def test_odooly_reads_an_odoo(serve18: Odoo, trusting: Any) -> None:
    """By JSON-RPC and by the web session."""
    server = serve18.server
    trusting(server)
    for url in (f"{server.url}/jsonrpc", server.url):
        client = odooly.Client(url, server.database, "demo", "demo")
        leads = client.env[LEADS]
        found = leads.search(NESTED)
        assert found
        assert leads.search_count(NESTED) == len(found)
        assert all(found.read("name"))
        with pytest.raises(odooly.ServerError):
            client.env.execute("ir.rule", "search", [])


def test_odooly_reads_an_odoo_by_json2(serve19: Odoo, trusting: Any) -> None:
    """With a key alone."""
    server = serve19.server
    trusting(server)
    client = odooly.Client(server.url, server.database, "demo", api_key=serve19.key)
    found = client.env[LEADS].search(NESTED)
    assert client.env[LEADS].search_count(NESTED) == len(found)


def test_odoo_connect_reads_an_odoo(serve18: Odoo, serve19: Odoo, trusting: Any) -> None:
    """By JSON-RPC with a password, and by JSON-2 with a key."""
    trusting(serve18.server)
    client = odoo_connect.connect(
        serve18.server.url,
        database=serve18.server.database,
        username="demo",
        password="demo",
        check_connection=False,
    )
    leads: Any = client.get_model(LEADS)
    ids = leads.search(NESTED)
    assert {r["id"] for r in leads.read(ids, ["name"])} == set(ids)
    with pytest.raises(odoo_connect.odoo_rpc.OdooServerError, match="may not read"):
        leads.read([1], ["name"])
    trusting(serve19.server)
    other = odoo_connect.odoo_rpc.OdooClientJson(
        serve19.server.url, database=serve19.server.database, token=serve19.key
    )
    assert other.major_version == 19
    models: Any = other.get_model(LEADS)
    found = models.search(NESTED)
    groups = models.read_group_dict([], ["__count"], ["stage_id"])
    assert found
    assert groups


def test_odoorpc_reads_an_odoo(serve18: Odoo) -> None:
    """By JSON-RPC and a session, over HTTPS."""
    server = serve18.server
    context = ssl.create_default_context(cafile=str(server.ca))
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor()
    )
    client = odoorpc.ODOO("localhost", protocol="jsonrpc+ssl", port=server.port, opener=opener)
    client.login(server.database, "demo", "demo")
    leads = client.env[LEADS]
    ids = leads.search(NESTED)
    assert leads.search_count(NESTED) == len(ids)
    assert {r["id"] for r in leads.read(ids, ["name"])} == set(ids)
    with pytest.raises(odoorpc.error.RPCError):
        leads.read([1], ["name"])
    assert client.logout()


# An application of one's own: read and written


def _life(create: Any, read: Any, write: Any, search: Any, unlink: Any, failing: Any) -> None:
    """A lead from its creation to its end, and what a salesman may not do with it."""
    made = create({"name": "A client's lead", "type": "opportunity"})
    made = made[0] if isinstance(made, list) else made
    write(made, {"name": "Renamed"})
    assert read(made)["name"] == "Renamed"
    assert made in search([["name", "=", "Renamed"]])
    failing(lambda: write(made, {"nofield": 1}))
    failing(lambda: unlink(made))


def test_xmlrpc_client_writes(serve_company: Company) -> None:
    """marie, who may create leads and not delete them; sofia, who may."""
    server, passwords = serve_company.server, serve_company.people.passwords
    with _xmlrpc(server, "common") as common, _xmlrpc(server, "object") as models:

        def caller(login: str) -> Any:
            uid: Any = common.authenticate(server.database, login, passwords[login], {})
            return lambda method, *args: models.execute_kw(
                server.database, uid, passwords[login], LEADS, method, args, {}
            )

        marie, sofia = caller("marie"), caller("sofia")

        def failing(work: Any) -> None:
            with pytest.raises(xmlrpc.client.Fault):
                work()

        _life(
            lambda values: marie("create", values),
            lambda i: marie("read", [i], ["name"])[0],
            lambda i, values: marie("write", [i], values),
            lambda domain: marie("search", domain),
            lambda i: marie("unlink", [i]),
            failing,
        )
        [first, *_] = marie("search", [["name", "=", "Renamed"]])
        assert sofia("unlink", [first]) is True
        assert marie("search", [["id", "=", first]]) == []


def test_odoorpc_writes(serve_company: Company) -> None:
    """By JSON-RPC over plain HTTP on loopback."""
    server, passwords = serve_company.server, serve_company.people.passwords
    client = odoorpc.ODOO("localhost", port=server.port)
    client.login(server.database, "marie", passwords["marie"])
    leads = client.env[LEADS]
    # All its fields are columns, so that records can be browsed.
    assert all(lead.name for lead in leads.browse(leads.search([], limit=3)))

    def failing(work: Any) -> None:
        with pytest.raises(odoorpc.error.RPCError):
            work()

    _life(
        leads.create,
        lambda i: leads.read([i], ["name"])[0],
        lambda i, values: leads.write([i], values),
        leads.search,
        lambda i: leads.unlink([i]),
        failing,
    )


def test_odooly_writes(serve_company: Company) -> None:
    """By JSON-RPC."""
    server, passwords = serve_company.server, serve_company.people.passwords
    client = odooly.Client(f"{server.url}/jsonrpc", server.database, "marie", passwords["marie"])
    leads = client.env[LEADS]

    def failing(work: Any) -> None:
        with pytest.raises(odooly.ServerError):
            work()

    _life(
        lambda values: leads.create(values).id,
        lambda i: leads.browse(i).read(["name"]),
        lambda i, values: client.env.execute(LEADS, "write", [i], values),
        lambda domain: client.env.execute(LEADS, "search", domain),
        lambda i: client.env.execute(LEADS, "unlink", [i]),
        failing,
    )


def test_odoo_client_lib_and_odoo_connect_write(serve_company: Company) -> None:
    """By JSON-2 with a key of a service account, and by JSON-RPC."""
    server, people = serve_company.server, serve_company.people
    connection = odoolib.get_connection(
        hostname="localhost",
        protocol="json2",
        port=server.port,
        database=server.database,
        password=people.keys["marie"],
    )
    leads = connection.get_model(LEADS)

    def failing(work: Any) -> None:
        with pytest.raises((ValueError, httpx.HTTPError)):
            work()

    _life(
        lambda values: leads.create(vals_list=values),
        lambda i: leads.read([i], ["name"]),
        lambda i, values: leads.write([i], values),
        lambda domain: leads.search(domain=domain),
        lambda i: leads.unlink([i]),
        failing,
    )
    other: Any = odoo_connect.connect(
        server.url,
        database=server.database,
        username="marie",
        password=people.passwords["marie"],
        check_connection=False,
    ).get_model(LEADS)

    def refused(work: Any) -> None:
        with pytest.raises((odoo_connect.odoo_rpc.OdooServerError, requests.HTTPError)):
            work()

    _life(
        other.create,
        lambda i: other.read([i], ["name"])[0],
        lambda i, values: other.write([i], values),
        other.search,
        lambda i: other.execute("unlink", [i]),
        refused,
    )
