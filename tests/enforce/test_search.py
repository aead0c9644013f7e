"""Searching: limits, orders, counts, and statements that are kept."""

from __future__ import annotations

from typing import Any

import pytest

import vallum
from tests.support.odoo import OdooReference
from vallum.enforce.query.order import Term, parse_order
from vallum.enforce.query.statements import Statements, domain_key, statements_of
from vallum.kernel import (
    AccessDenied,
    ConnectionFailed,
    InvalidValue,
    MalformedDomain,
    UnknownField,
    UnsupportedDomain,
)
from vallum.postgres import Database

INJECTIONS = [
    "name; DROP TABLE crm_lead",
    "name) FROM res_users --",
    'name" DESC',
    "(SELECT 1)",
    "name desc nulls middle",
    "pg_sleep(1)",
    "name,,id",
    "partner_id.name",
    "1",
]


def test_limit_and_offset_cut_the_same_sequence(app: vallum.Vallum) -> None:
    """Portions add up to the whole."""
    marie = app.as_user("marie")
    whole = marie.search("crm.lead")
    assert len(whole) > 20
    portions = [marie.search("crm.lead", limit=7, offset=at) for at in range(0, len(whole), 7)]
    assert [i for portion in portions for i in portion] == whole
    assert marie.search("crm.lead", limit=0) == []
    assert marie.search("crm.lead", offset=5) == whole[5:]


@pytest.mark.parametrize("bad", [-1, True, 1.0, "5", 2**63, (1,)])
def test_bounds_are_natural_numbers(app: vallum.Vallum, bad: Any) -> None:
    """Nothing else reaches the statement."""
    marie = app.as_user("marie")
    for bounds in ({"limit": bad}, {"offset": bad}):
        with pytest.raises(InvalidValue):
            marie.search("crm.lead", **bounds)
    with pytest.raises(InvalidValue):
        marie.search_count("crm.lead", limit=bad)


def test_count_is_the_number_of_records_found(app: vallum.Vallum) -> None:
    """With a limit, counting stops there."""
    for login in ("marie", "paul", "lucia", "bruno", "isabel"):
        user = app.as_user(login)
        for model in ("sale.order", "res.partner", "product.product"):
            assert user.search_count(model) == len(user.search(model))
    assert app.as_user("marie").search_count("crm.lead", limit=3) == 3


def test_inactive_records_are_found_when_asked_for(app: vallum.Vallum) -> None:
    """As Odoo's `active_test`."""
    everyone = app.sudo()
    every = set(everyone.search("crm.lead", active_test=False))
    assert every > set(everyone.search("crm.lead"))
    assert everyone.search_count("crm.lead", active_test=False) == len(every)


# Order


def test_orders_are_parsed() -> None:
    """Odoo's spelling, in any case of letters."""
    assert parse_order("a") == (Term("a"),)
    assert parse_order('"a" DESC nulls LAST , b.id') == (
        Term("a", descending=True, nulls_first=False),
        Term("b", by_id=True),
    )
    assert parse_order("d:month desc") == (Term("d", "month", descending=True),)
    assert parse_order(" ") == ()


@pytest.mark.parametrize("order", INJECTIONS)
@pytest.mark.attacks("injection: SQL")
def test_order_is_never_sql(app: vallum.Vallum, order: str) -> None:
    """Identifiers come from the schema only."""
    for ask in (app.sudo().search, app.sudo().page, app.sudo().search_read):
        with pytest.raises((MalformedDomain, UnknownField)):
            ask("crm.lead", order=order)
    with pytest.raises((MalformedDomain, UnknownField)):
        app.sudo().read_group("crm.lead", [], ["stage_id"], order=order)


def test_order_that_cannot_be_is_refused(app: vallum.Vallum) -> None:
    """Given by a user it is an error, whoever they are."""
    marie = app.as_user("marie")
    with pytest.raises(UnknownField):
        marie.search("crm.lead", order="nofield")
    with pytest.raises(UnsupportedDomain, match="order by a stored field"):
        marie.search("crm.lead", order="tag_ids")
    with pytest.raises(AccessDenied, match=r"sale\.order\.margin"):
        marie.search("sale.order", order="margin desc")
    with pytest.raises(UnknownField):
        marie.search("crm.lead", order="name.id")
    with pytest.raises(MalformedDomain):
        marie.search("crm.lead", order=["name"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("order", "sql"),
    [
        (None, "l.priority DESC, l.id DESC"),
        ("id", "l.id"),
        ("date_deadline", "l.date_deadline, l.id"),
        ("date_deadline desc nulls last", "l.date_deadline DESC NULLS LAST, l.id"),
        ("date_deadline nulls first, id desc", "l.date_deadline NULLS FIRST, l.id DESC"),
        ("active desc, expected_revenue", "COALESCE(l.active, false) DESC, l.expected_revenue, l.id"),
        ("stage_id desc", "s.sequence DESC, s.id DESC, l.id"),
        ("stage_id.id desc", "l.stage_id DESC, l.id"),
        ("user_id nulls first", "l.user_id IS NOT NULL, u.name, u.login, l.id"),
    ],
)
def test_superuser_orders_as_odoo_does(app: vallum.Vallum, order: str | None, sql: str) -> None:
    """A many2one by the order of its comodel."""
    by_hand = app.application.database.rows(
        "SELECT l.id FROM crm_lead l LEFT JOIN crm_stage s ON s.id = l.stage_id"
        f" LEFT JOIN res_users u ON u.id = l.user_id WHERE l.active ORDER BY {sql}"
    )
    assert app.schema.model("res.users").order == "name, login"
    assert app.sudo().search("crm.lead", order=order) == [row[0] for row in by_hand]


def test_every_order_of_the_models_is_the_same_twice(app: vallum.Vallum) -> None:
    """Ties are broken by id."""
    for model in app.schema.models.values():
        whole = app.sudo().search(model.name)
        assert app.sudo().search(model.name, limit=1000, offset=0) == whole[:1000]


def test_own_order_that_lives_in_code_is_left_out(odoo18: OdooReference) -> None:
    """Accounts are found all the same, though their order is computed; asked for, it is refused."""
    with vallum.open(odoo18.dsn, registry=odoo18.registry) as opened:
        found = opened.sudo().search("stock.picking.type")
        assert sorted(found) == opened.sudo().search("stock.picking.type", order="id")
        with pytest.raises(UnsupportedDomain):
            opened.sudo().search("stock.picking.type", order="is_favorite desc")


# Statements that are kept


def test_statement_is_compiled_once(app: vallum.Vallum) -> None:
    """The same question by the same actor, whatever the limit."""
    kept = statements_of(app.application)
    marie = app.as_user("marie")
    marie.search("crm.lead", [("probability", ">", 12.5)], limit=3)
    before = len(kept)
    assert marie.search("crm.lead", [("probability", ">", 12.5)], limit=5, offset=2)
    assert len(kept) == before
    marie.search("crm.lead", [("probability", ">", 12)], limit=3)
    assert len(kept) == before + 1


def test_actors_do_not_share_statements(app: vallum.Vallum) -> None:
    """Nor do the companies an actor switches on."""
    question: list[Any] = [("expected_revenue", ">", 0)]
    found = {login: app.as_user(login).search("crm.lead", question) for login in ("marie", "diego", "erik")}
    assert len({tuple(ids) for ids in found.values()}) == 3
    one, two = app.as_user("sofia", [1]), app.as_user("sofia", [1, 4])
    assert set(one.search("crm.lead", question)) < set(two.search("crm.lead", question))
    assert app.as_user("marie").search("crm.lead", question) == found["marie"]


def test_equal_values_of_other_types_are_other_questions() -> None:
    """`1`, `1.0` and `True` are read differently; what cannot be spelled is not kept."""
    keys = {domain_key([("a", "=", value)]) for value in (1, 1.0, True, "1", None)}
    assert len(keys) == 5
    assert domain_key([("a", "=", object())]) is None
    assert domain_key([("a", "in", list(range(10_000)))]) is None


def test_statements_are_bounded_and_bound_to_their_access() -> None:
    """The oldest goes; another access never gets a statement of this one."""
    kept = Statements(size=2)
    for key in "abc":
        kept.keep((key,), None, ("SELECT", {}))
    assert len(kept) == 2
    assert kept.get(("a",), None) is None
    assert kept.get(("c",), None) is not None
    assert kept.get(("c",), object()) is None  # type: ignore[arg-type]


def test_questions_about_now_are_not_kept(odoo19: OdooReference) -> None:
    """`today` is another day tomorrow."""
    with vallum.open(odoo19.dsn, registry=odoo19.registry) as opened:
        kept = statements_of(opened.application)
        opened.sudo().search("crm.lead", [("create_date", ">", "-30d")])
        assert len(kept) == 0
        opened.sudo().search("crm.lead", [("create_date", ">", "2020-01-01")])
        assert len(kept) == 1


def test_lost_connection_is_an_error(app: vallum.Vallum, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an empty answer."""
    monkeypatch.setattr(app.application, "database", Database("host=/nowhere dbname=none"))
    with pytest.raises(ConnectionFailed):
        app.as_user("marie").search("crm.lead")
