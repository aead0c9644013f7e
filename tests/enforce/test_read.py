"""Reading: values as Odoo shows them, and nothing beyond what rights, rules and groups allow."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

import vallum
from tests.support.odoo import OdooReference
from vallum.kernel import (
    AccessDenied,
    InvalidValue,
    UnknownField,
    UnknownOperation,
    UnknownRecord,
    UnsupportedDomain,
)


def test_records_come_in_the_order_of_the_ids(app: vallum.Vallum) -> None:
    """One for each id given, more than a statement takes included."""
    marie = app.as_user("marie")
    ids = marie.search("crm.lead", limit=9)
    asked = [*reversed(ids), ids[0]] * 1200
    found = marie.read("crm.lead", asked, ["name"])
    assert [record["id"] for record in found] == asked
    assert marie.read("crm.lead", []) == []


def test_values_are_those_of_the_table(app: vallum.Vallum) -> None:
    """NULL is False, or 0 in numbers; decimals are floats."""
    sudo = app.sudo()
    fields = ["name", "active", "priority", "date_deadline", "create_date", "expected_revenue", "probability"]
    rows = app.application.database.rows(
        f"SELECT id, {', '.join(fields)} FROM crm_lead ORDER BY id LIMIT 200"
    )
    found = sudo.read("crm.lead", [row[0] for row in rows], fields)
    for row, record in zip(rows, found, strict=True):
        assert [record[name] for name in ("name", "active", "priority")] == list(row[1:4])
        assert record["date_deadline"] == (row[4] or False)
        assert record["create_date"] == (row[5] or False)
        assert record["expected_revenue"] == float(row[6] or 0)
        assert isinstance(record["expected_revenue"], float)
    assert {type(r["date_deadline"]) for r in found} <= {date, bool}
    assert {type(r["create_date"]) for r in found} <= {datetime, bool}


def test_texts_come_in_the_language_of_the_actor(app: vallum.Vallum) -> None:
    """Marie reads French."""
    assert app.as_user("marie").read("crm.stage", [1], ["name"]) == [{"id": 1, "name": "Nouveau"}]
    assert app.as_user("olga").read("res.company", [1], ["name"]) != []


def test_costs_are_those_of_the_current_company(app: vallum.Vallum) -> None:
    """Company-dependent values follow the first active company."""
    found: dict[int, dict[int, Any]] = {}
    for company in (1, 2, 3):
        rosa = app.as_user("rosa", [company])
        ids = rosa.search("product.product", [("company_id", "=", False)], limit=30)
        found[company] = {r["id"]: r["standard_price"] for r in rosa.read("product.product", ids)}
    rows = app.application.database.rows("SELECT id, standard_price FROM product_product")
    stored = {i: prices or {} for i, prices in rows}
    for company, prices in found.items():
        assert prices
        assert prices == {i: float(stored[i].get(str(company)) or 0) for i in prices}


def test_fields_left_open_are_all_open_ones(app: vallum.Vallum) -> None:
    """Without a list, what is shut is left out; asked for, it is refused by name."""
    marie, paul = app.as_user("marie"), app.as_user("sofia")
    order = marie.search("sale.order", limit=1)
    (record,) = marie.read("sale.order", order)
    assert "margin" not in record
    assert {"id", "name", "partner_id", "order_line", "display_name"} <= record.keys() | {"display_name"}
    assert "margin" in paul.read("sale.order", paul.search("sale.order", limit=1))[0]
    with pytest.raises(AccessDenied, match=r"sale\.order\.margin"):
        marie.read("sale.order", order, ["name", "margin"])
    with pytest.raises(AccessDenied, match=r"sale\.order\.margin"):
        marie.search_read("sale.order", [], ["margin"])


def test_fields_must_be_known(app: vallum.Vallum) -> None:
    """And be a list of names."""
    with pytest.raises(UnknownField):
        app.sudo().read("crm.lead", [1], ["nofield"])
    for fields in ("name", [1], [["name"]]):
        with pytest.raises((InvalidValue, TypeError)):
            app.sudo().read("crm.lead", [1], fields)  # type: ignore[arg-type]


def test_search_read_is_search_and_read(app: vallum.Vallum) -> None:
    """In one."""
    for login in ("marie", "bruno", "isabel"):
        user = app.as_user(login)
        ids = user.search("sale.order", [("state", "=", "sale")], limit=20, offset=3)
        found = user.search_read("sale.order", [("state", "=", "sale")], limit=20, offset=3)
        assert found == user.read("sale.order", ids)


# All or nothing


def test_one_hidden_record_fails_the_read(app: vallum.Vallum) -> None:
    """As a whole, in the words used for a record that does not exist."""
    marie = app.as_user("marie")
    own = marie.search("crm.lead")
    hidden = next(i for i in app.sudo().search("crm.lead") if i not in set(own))
    texts = set()
    for missing in (hidden, 10**9):
        for ask in (marie.read, lambda m, ids: marie.check(m, ids, "read")):
            with pytest.raises(AccessDenied) as caught:
                ask("crm.lead", [*own[:3], missing])
            texts.add(caught.value.what.replace(str(missing), "N"))
    assert len(texts) == 1
    with pytest.raises(UnknownRecord, match="1000000000"):
        app.sudo().read("crm.lead", [own[0], 10**9])
    assert marie.read("crm.lead", own[:3], ["name"])


def test_no_right_is_refused_before_anything_else(app: vallum.Vallum) -> None:
    """With the groups that would have it."""
    victor = app.as_user("victor")
    for ask in (
        lambda: victor.read("sale.order", []),
        lambda: victor.search_read("sale.order"),
        lambda: victor.search_count("sale.order"),
        lambda: victor.read_group("sale.order"),
        lambda: victor.fields_get("sale.order"),
        lambda: victor.name_search("sale.order"),
        lambda: victor.page("sale.order"),
        lambda: victor.check("sale.order", [], "read"),
    ):
        with pytest.raises(AccessDenied, match="granted to"):
            ask()


@pytest.mark.parametrize("bad", [True, "1", 1.0, None, 2**70])
def test_ids_are_whole_numbers(app: vallum.Vallum, bad: Any) -> None:
    """Nothing else."""
    for user in (app.sudo(), app.as_user("marie")):
        with pytest.raises(InvalidValue):
            user.read("crm.lead", [bad])
        with pytest.raises(InvalidValue):
            user.check("crm.lead", [bad], "read")


def test_check_follows_the_rules_of_the_operation(app: vallum.Vallum) -> None:
    """Ten ids are named at most."""
    for login in ("marie", "lucia", "claire"):
        user = app.as_user(login)
        for operation in ("read", "write"):
            for model in ("crm.lead", "account.move"):
                if not user.can(operation, model).allowed:
                    with pytest.raises(AccessDenied, match="no access right"):
                        user.check(model, [1], operation)
                    continue
                every = app.sudo().search(model, active_test=False)
                allowed = _passing(user, model, every, operation)
                user.check(model, allowed, operation)
                refused = [i for i in every if i not in set(allowed)]
                with pytest.raises(AccessDenied) as caught:
                    user.check(model, every, operation)
                assert caught.value.what.count(",") <= 12
                assert f"and {len(refused) - 10} more" in caught.value.what
    with pytest.raises(UnknownOperation):
        app.as_user("marie").check("crm.lead", [1], "delete")


def _passing(user: Any, model: str, ids: list[int], operation: str) -> list[int]:
    passing = []
    for record in ids:
        try:
            user.check(model, [record], operation)
        except AccessDenied:
            continue
        passing.append(record)
    return passing


# Names and lines


def test_names_show_only_what_may_be_read(app: vallum.Vallum) -> None:
    """The id shows, the name does not; `always` shows it as Odoo does."""
    bruno = app.as_user("bruno")
    assert not bruno.can("read", "crm.team").allowed
    orders = bruno.search("sale.order", [("team_id", "!=", False)], limit=5)
    for plain, shown, always in zip(
        bruno.read("sale.order", orders, ["team_id"], names=False),
        bruno.read("sale.order", orders, ["team_id"]),
        bruno.read("sale.order", orders, ["team_id"], names="always"),
        strict=True,
    ):
        assert shown["team_id"] == (plain["team_id"], None)
        assert isinstance(always["team_id"][1], str)
    with pytest.raises(InvalidValue):
        bruno.read("sale.order", orders, names="all")  # type: ignore[arg-type]


def test_lines_are_those_the_actor_may_read(app: vallum.Vallum) -> None:
    """In the order of their model, inactive ones only when asked for."""
    for login in ("marie", "lucia", "isabel"):
        user = app.as_user(login)
        allowed = set(user.search("sale.order"))
        leads = user.search("crm.lead", [("order_ids", "!=", False)], limit=200)
        rows = app.application.database.rows(
            "SELECT opportunity_id, id FROM sale_order WHERE opportunity_id = ANY(%s)"
            " ORDER BY date_order DESC, id DESC",
            (leads,),
        )
        expected: dict[int, list[int]] = {lead: [] for lead in leads}
        for lead, order in rows:
            if order in allowed:
                expected[lead].append(order)
        found = {r["id"]: r["order_ids"] for r in user.read("crm.lead", leads, ["order_ids"])}
        assert found == expected


def test_lines_without_a_right(app: vallum.Vallum, odoo18: OdooReference, odoo19: OdooReference) -> None:
    """Odoo 19 refuses a many2many whose comodel is shut; in 18, which shows the ids, it is read as empty."""
    with vallum.open(odoo18.dsn, registry=odoo18.registry) as opened:
        portal = opened.as_user("portal")
        ids = portal.search("res.partner", limit=1)
        assert portal.read("res.partner", ids, ["category_id"])[0]["category_id"] == []
    with vallum.open(odoo19.dsn, registry=odoo19.registry) as opened:
        portal = opened.as_user("portal")
        ids = portal.search("res.partner", limit=1)
        with pytest.raises(AccessDenied):
            portal.read("res.partner", ids, ["category_id"])
        assert "category_id" not in portal.read("res.partner", ids)[0]


def test_values_that_live_in_code_are_refused(odoo18: OdooReference) -> None:
    """With what can be read instead; names of models that compute them are flagged."""
    with vallum.open(odoo18.dsn, registry=odoo18.registry) as opened:
        sudo = opened.sudo()
        with pytest.raises(UnsupportedDomain, match=r"read .*`name`"):
            sudo.read("res.partner", [1], ["activity_state"])
        with pytest.raises(UnsupportedDomain, match="attachment"):
            sudo.read("res.partner", [1], ["image_1920"])
        assert sudo.inexact_names("crm.lead") == ()
        assert sudo.inexact_names("res.partner") == ()
        assert "sale" in sudo.inexact_names("sale.order")
        (user,) = sudo.read("res.users", [2], ["name", "login", "category_id"])
        assert user == {"id": 2, "name": "Mitchell Admin", "login": "admin", "category_id": []}


def test_records_are_searched_by_name(app: vallum.Vallum) -> None:
    """Those the actor may read, with their names; with a domain and an operator."""
    marie = app.as_user("marie")
    found = marie.name_search("res.partner", "an", limit=5)
    assert 0 < len(found) <= 5
    assert all("an" in str(name).lower() for _, name in found)
    assert {i for i, _ in marie.name_search("crm.lead", limit=None)} == set(marie.search("crm.lead"))
    assert marie.name_search("crm.stage", "Nouveau", operator="=") == [(1, "Nouveau")]
    assert marie.name_search("crm.stage", "Nouveau", [("id", "!=", 1)], operator="=") == []
    with pytest.raises(InvalidValue):
        marie.name_search("crm.stage", ["Nouveau"])  # type: ignore[arg-type]


def test_described_fields_are_open_ones(app: vallum.Vallum) -> None:
    """Readonly where the actor may neither create nor change."""
    marie, lars = app.as_user("marie"), app.as_user("lars")
    found = marie.fields_get("sale.order")
    assert "margin" not in found
    assert "margin" in app.as_user("sofia").fields_get("sale.order")
    assert found["partner_id"] == {
        "type": "many2one",
        "string": "Customer",
        "required": True,
        "readonly": False,
        "relation": "res.partner",
    }
    assert [value for value, _ in found["state"]["selection"]] == ["draft", "sent", "sale", "cancel"]
    assert all(field["readonly"] for field in lars.fields_get("account.move").values())
    assert marie.fields_get("sale.order", ["name", "margin", "nofield"]).keys() == {"name"}
