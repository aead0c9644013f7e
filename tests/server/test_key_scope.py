"""A key with a scope, shown for calls that reach beyond it: through relations, in either direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.conftest import Company
from vallum.identity import open_identity
from vallum.identity.keys.scope import Scope
from vallum.kernel import Settings, SystemClock
from vallum.postgres import Database, EmbeddedServer

ORDERS = "/json/2/sale.order"


@pytest.fixture(scope="module")
def narrow(serve_company: Company, pg_server: EmbeddedServer) -> str:
    """A key of marie's program for orders alone, without deleting."""
    folder = serve_company.server.folder
    settings = Settings.load(folder, environ={"VALLUM_DATA_DIR": str(folder)})
    with Database(pg_server.dsn(serve_company.server.database), readonly=False) as store:
        identity = open_identity(store, settings)
        try:
            scope = Scope.parse(["sale.order"], ["read", "write", "create"])
            account = identity.base.accounts.find("marie-program")
            made = identity.keys.create(account, "narrow", scope, SystemClock().now(), days=30, by="test")
        finally:
            identity.close()
    return made.text


@pytest.fixture
def client(serve_company: Company, narrow: str) -> Iterator[httpx.Client]:
    """A client with it."""
    with serve_company.server.client(headers={"Authorization": f"Bearer {narrow}"}) as found:
        yield found


@pytest.fixture
def marie(serve_company: Company) -> Iterator[httpx.Client]:
    """A client with marie's key for nearly everything."""
    headers = {"Authorization": f"Bearer {serve_company.people.keys['marie']}"}
    with serve_company.server.client(headers=headers) as found:
        yield found


@pytest.fixture
def order(marie: httpx.Client) -> dict[str, Any]:
    """An order of marie's with a line."""
    [found] = marie.post(
        f"{ORDERS}/search_read",
        json={"domain": [["order_line", "!=", False], ["user_id.login", "=", "marie"]], "limit": 1},
    ).json()
    return dict(found)


def _beyond(order: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    i, line = order["id"], order["order_line"][0]
    lines = "order_line"
    return {
        "lines are read": (
            "web_read",
            {"ids": [i], "specification": {lines: {"fields": {"price_unit": {}}}}},
        ),
        "a partner is read": (
            "web_search_read",
            {"domain": [], "limit": 1, "specification": {"partner_id": {"fields": {"email": {}}}}},
        ),
        "lines are exported": ("export_data", {"ids": [i], "fields_to_export": [f"{lines}/price_unit"]}),
        "names of lines are exported": ("export_data", {"ids": [i], "fields_to_export": [lines]}),
        "a partner is guessed": ("search", {"domain": [["partner_id.email", "=like", "a%"]]}),
        "a partner is guessed within": (
            "search_count",
            {"domain": ["|", ["id", "=", 1], ["partner_id", "any", [["email", "=like", "a%"]]]]},
        ),
        "a grandparent is guessed": ("search", {"domain": [["user_id.partner_id.email", "=like", "a%"]]}),
        "groups of guesses": (
            "read_group",
            {"domain": [["partner_id.email", "=", "x"]], "fields": ["__count"], "groupby": ["state"]},
        ),
        "a line is made": ("write", {"ids": [i], "vals": {lines: [[0, 0, {"name": "x"}]]}}),
        "a line is changed": ("write", {"ids": [i], "vals": {lines: [[1, line, {"name": "x"}]]}}),
        "a line is deleted": ("write", {"ids": [i], "vals": {lines: [[2, line, 0]]}}),
        "a line is taken out": ("write", {"ids": [i], "vals": {lines: [[3, line, 0]]}}),
        "all lines are taken out": ("write", {"ids": [i], "vals": {lines: [[5, 0, 0]]}}),
        "all lines are replaced": ("write", {"ids": [i], "vals": {lines: [[6, 0, [line]]]}}),
        "the lines are emptied": ("write", {"ids": [i], "vals": {lines: False}}),
        "a line is made with the order": (
            "create",
            {"vals_list": [{"partner_id": order["partner_id"][0], lines: [[0, 0, {"name": "x"}]]}]},
        ),
        "a line is made by the context": (
            "create",
            {
                "vals_list": [{"partner_id": order["partner_id"][0]}],
                "context": {f"default_{lines}": [[0, 0, {"name": "x"}]]},
            },
        ),
        "a line is made with a copy": ("copy", {"ids": [i], "default": {lines: [[0, 0, {"name": "x"}]]}}),
        "ordered by the partner": ("search", {"domain": [], "order": "date_order, partner_id desc"}),
        "read in the order of partners": ("search_read", {"domain": [], "order": "partner_id", "limit": 1}),
        "shown in the order of users": (
            "web_search_read",
            {"domain": [], "specification": {"name": {}}, "order": "user_id", "limit": 1},
        ),
        "groups in the order of partners": (
            "read_group",
            {"domain": [], "fields": [], "groupby": ["partner_id"], "orderby": "partner_id"},
        ),
        "a partner is guessed by name": ("search", {"domain": [["partner_id", "ilike", "@"]]}),
        "a partner is searched for": ("search_count", {"domain": [["partner_id", "=", "Acme"]]}),
        "partners are searched for": ("search_count", {"domain": [["partner_id", "in", [1, "Acme"]]]}),
        "a hierarchy is guessed": ("search", {"domain": [["partner_id", "child_of", 1]]}),
        "lines are guessed by name": ("search", {"domain": [[lines, "ilike", "a"]]}),
        "a name is guessed behind a path": (
            "search",
            {"domain": [["partner_id.display_name", "ilike", "a"]]},
        ),
        "another model": ("../sale.order.line/search", {"domain": []}),
    }


@pytest.mark.parametrize("name", sorted(_beyond({"id": 1, "order_line": [1], "partner_id": [1]})))
@pytest.mark.attacks("keys: reaching beyond their models")
def test_key_reaches_no_other_model_through_relations(
    name: str, client: httpx.Client, marie: httpx.Client, order: dict[str, Any]
) -> None:
    """Refused as a call of that model is, and nothing is done; the same call is good with a wider key."""
    method, arguments = _beyond(order)[name]
    response = client.post(f"{ORDERS}/{method}", json=arguments)
    assert response.status_code == 403, response.text
    assert "key" in response.json()["message"]
    [now] = marie.post(f"{ORDERS}/read", json={"ids": [order["id"]], "fields": ["order_line"]}).json()
    assert now["order_line"] == order["order_line"]


def test_key_does_with_its_own_model_what_it_is_for(client: httpx.Client, order: dict[str, Any]) -> None:
    """Names behind relations, ids of lines, conditions on them as they are, and links to other records."""
    i, partner = order["id"], order["partner_id"]
    [read] = client.post(f"{ORDERS}/read", json={"ids": [i], "fields": ["partner_id", "order_line"]}).json()
    assert (read["partner_id"], read["order_line"]) == (partner, order["order_line"])
    named: dict[str, Any] = {"fields": {"display_name": {}}}
    specification: dict[str, Any] = {"partner_id": named, "order_line": {}, "state": {}}
    [seen] = client.post(f"{ORDERS}/web_read", json={"ids": [i], "specification": specification}).json()
    assert seen["partner_id"] == {"id": partner[0], "display_name": partner[1]}
    domain = [["partner_id", "=", partner[0]], ["order_line", "in", order["order_line"]]]
    assert client.post(f"{ORDERS}/search", json={"domain": domain}).json() == [i]
    rows = client.post(
        f"{ORDERS}/export_data", json={"ids": [i], "fields_to_export": ["partner_id", "partner_id/.id"]}
    )
    assert rows.json() == {"datas": [[partner[1], str(partner[0])]]}
    values = {"partner_id": partner[0], "order_line": False}
    made = client.post(f"{ORDERS}/create", json={"vals_list": [values]})
    assert made.status_code != 403, made.text
    assert client.post(f"{ORDERS}/write", json={"ids": [i], "vals": {"order_line": []}}).json() is True


def test_key_orders_by_ids_what_it_is_not_for(client: httpx.Client, marie: httpx.Client) -> None:
    """Groups of partners without an order; with the wider key they are in the order of partners."""
    grouped = {"domain": [], "fields": ["__count"], "groupby": ["partner_id"]}
    narrow = client.post(f"{ORDERS}/read_group", json=grouped).json()
    wide = marie.post(f"{ORDERS}/read_group", json=grouped).json()
    ids = [group["partner_id"][0] for group in narrow if group["partner_id"]]
    assert ids == sorted(ids)
    assert ids != [group["partner_id"][0] for group in wide if group["partner_id"]]
    key = str
    assert sorted(narrow, key=key) == sorted(wide, key=key)
    found = client.post(
        f"{ORDERS}/search_read", json={"order": "partner_id.id", "fields": ["partner_id"]}
    ).json()
    partners = [record["partner_id"][0] for record in found]
    assert partners == sorted(partners)
    assert partners


def test_key_for_lines_as_well_writes_them(marie: httpx.Client, order: dict[str, Any]) -> None:
    """What the narrow key is refused, a key for `sale.*` may."""
    line = order["order_line"][0]
    vals = {"order_line": [[1, line, {"name": "as before"}]]}
    assert marie.post(f"{ORDERS}/write", json={"ids": [order["id"]], "vals": vals}).json() is True
