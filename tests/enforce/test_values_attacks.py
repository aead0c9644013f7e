"""Whoever wants more than they may: by fields, commands and ids; by two hands at once; half-applied."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import vallum
from tests.support.undone import undone
from vallum.kernel import (
    AccessDenied,
    Conflict,
    ConstraintRefused,
    InvalidValue,
    KeyReused,
    NotWritable,
    ReadonlyField,
    UnknownField,
    VallumError,
)
from vallum.postgres import Database


def everything(shop: vallum.Vallum) -> dict[str, Any]:
    """A digest of every table."""
    tables = {m.table for m in shop.schema.models.values()}
    tables |= {f.relation for m in shop.schema.models.values() for f in m.fields.values() if f.relation}
    return {
        t: shop.application.database.rows(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {t} t")
        for t in sorted(tables)
    }


# By fields, commands and ids


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x", "create_uid": 1},
        {"name": "x", "id": 1},
        {"name": "x", "write_date": "2020-01-01 00:00:00"},
        {"name": "x", "user_id.login": "root"},
        {"name": "x", "user_id": {"login": "root"}},
        {"name": "x", "tag_ids": [(0, 0, {"name": "T", "create_uid": 1})]},
        {"name": "x", "tag_ids": [(1, 1, {"id": 5})]},
        {"name": "x", "__class__": 1},
        {"name": "x", "display_name": "y"},
        {"name": "x\x00"},
        {"name": "x", "1; DROP TABLE crm_lead; --": 1},
        {"name": "x", "expected_revenue": float("nan")},
        {"name": "x", "order_ids": [(4, 1)]},
    ],
)
def test_nothing_of_a_refused_creation_stays(shop: vallum.Vallum, values: dict[str, Any]) -> None:
    """Whatever it was refused for; each is an error of its own, none of PostgreSQL's."""
    before = everything(shop)
    marie = shop.as_user("marie")
    with pytest.raises((ReadonlyField, UnknownField, InvalidValue, AccessDenied)):
        marie.create("crm.lead", [{"name": "fine", "user_id": 3}, {"user_id": 3, **values}])
    assert everything(shop) == before


def test_text_that_looks_like_sql_is_text(shop: vallum.Vallum) -> None:
    """Values are bound, placeholders among them."""
    marie = shop.as_user("marie")
    texts = ["'; DROP TABLE crm_lead; --", "%(ids)s", "%s %% {0} {column}", "\\", "NULL", "{1,2}"]
    ids = marie.create("crm.lead", [{"name": t, "user_id": 3, "contact_name": t} for t in texts])
    for i, text in zip(ids, texts, strict=True):
        marie.write("crm.lead", i, {"email_from": text})
    read = marie.read("crm.lead", ids, ["name", "contact_name", "email_from"])
    assert [{r["name"], r["contact_name"], r["email_from"]} for r in read] == [{t} for t in texts]


@pytest.mark.parametrize(
    "ids",
    [["1"], [True], [None], [1.0], "1", {"1": 2}, [2**63], [[1]], pytest.param([10**5000], id="huge")],
)
def test_what_is_no_id_is_refused(shop: vallum.Vallum, ids: Any) -> None:
    """By write, unlink, exists and copy alike."""
    admin = shop.as_user("admin")
    for attempt in (
        lambda: admin.write("crm.lead", ids, {"name": "x"}),
        lambda: admin.unlink("crm.lead", ids),
        lambda: admin.exists("crm.lead", ids),
        lambda: admin.copy("crm.lead", ids),
    ):
        with pytest.raises(InvalidValue):
            attempt()


def test_commands_do_not_reach_past_rights_and_rules(shop: vallum.Vallum) -> None:
    """A seller's order is no way to products, users or other people's lines."""
    marie, sudo = shop.as_user("marie"), shop.sudo()
    order = marie.create("sale.order", {"name": "M", "partner_id": 6, "company_id": 1, "user_id": 3})
    foreign = sudo.search("sale.order.line", [("salesman_id", "=", 6)], limit=1)[0]
    before = everything(shop)
    lines: list[list[Any]] = [
        [(4, foreign)],
        [(1, foreign, {"name": "x"})],
        [(2, foreign)],
        [(3, foreign)],
        [(6, 0, [foreign])],
        [(0, 0, {"name": "x", "company_id": 2})],
        [(0, 0, {"name": "x", "company_id": 1, "purchase_price": 1})],
        [(0, 0, {"name": "x", "company_id": 1, "salesman_id": 4})],
    ]
    for commands in lines:
        with pytest.raises(AccessDenied):
            marie.write("sale.order", order, {"order_line": commands})
    for model, field, commands in (
        ("crm.team", "member_ids", [(4, 3)]),
        ("res.groups", "user_ids", [(4, 3)]),
        ("res.users", "group_ids", [(4, 1)]),
        ("res.company", "user_ids", [(4, 3)]),
    ):
        with pytest.raises(AccessDenied):
            marie.write(model, [1], {field: commands})
    assert everything(shop) == before


def test_groups_are_not_given_by_who_may_write_users_alone(shop: vallum.Vallum) -> None:
    """The head of HR writes users; their groups are for the access administrator."""
    helene = shop.as_user("helene", companies=[1])
    helene.write("res.users", [3], {"name": "Marie L."})
    with pytest.raises(AccessDenied, match="group_ids"):
        helene.write("res.users", [3], {"group_ids": [(4, 8)]})


def test_hidden_ids_answer_like_missing_ones(shop: vallum.Vallum) -> None:
    """By write, unlink, copy, exists and has_access; whatever the version that is given."""
    marie, sudo = shop.as_user("marie"), shop.sudo()
    hidden = sudo.search("sale.order.line", [("salesman_id", "=", 6)], limit=1)[0]
    asks: list[Callable[[int], Any]] = [
        lambda i: marie.write("sale.order.line", [i], {"name": "x"}),
        lambda i: marie.write("sale.order.line", [i], {"name": "x"}, version="2020-01-01 00:00:00"),
        lambda i: marie.unlink("sale.order.line", [i]),
        lambda i: marie.copy("sale.order.line", i),
        lambda i: marie.exists("sale.order.line", [i]),
        lambda i: marie.has_access("sale.order.line", "write", [i]),
        lambda i: marie.create("crm.lead", {"name": "x", "user_id": 3, "order_ids": [(4, i)]}),
    ]
    for ask in asks:
        assert _said(ask, hidden) == _said(ask, 10**6)


def _said(ask: Callable[[int], Any], record: int) -> str:
    try:
        return str(ask(record))
    except VallumError as error:
        return f"{error.code}: {error}".replace(str(record), "ID")


# Half-applied


def test_fault_in_the_middle_undoes_all_of_a_call(own_shop: vallum.Vallum) -> None:
    """A constraint strikes after parents, links and lines were written."""
    own_shop.application.database.rows(
        "ALTER TABLE sale_order_line ADD CONSTRAINT no_thirteen CHECK (product_uom_qty <> 13) NOT VALID"
    )
    before = everything(own_shop)
    marie = own_shop.as_user("marie")
    order = {"partner_id": 6, "company_id": 1, "user_id": 3}
    line = {"name": "x", "company_id": 1}
    with pytest.raises(ConstraintRefused, match="no_thirteen") as caught:
        marie.create(
            "sale.order",
            [
                {**order, "name": "A", "order_line": [(0, 0, {**line, "product_uom_qty": 1})]},
                {**order, "name": "B", "order_line": [(0, 0, {**line, "product_uom_qty": 13})]},
            ],
        )
    assert "Failing row" not in str(caught.value)
    lead = own_shop.sudo().search("crm.lead", [("user_id", "=", 3), ("company_id", "=", 1)], limit=1)
    with pytest.raises(ConstraintRefused):
        marie.write(
            "crm.lead",
            lead,
            {
                "name": "Changed",
                "tag_ids": [(0, 0, {"name": "New"})],
                "order_ids": [
                    (0, 0, {**order, "name": "C", "order_line": [(0, 0, {**line, "product_uom_qty": 13})]})
                ],
            },
        )
    assert everything(own_shop) == before


def test_role_that_may_not_write_is_an_error_of_ours(own_shop: vallum.Vallum) -> None:
    """Whatever PostgreSQL says about it."""
    database, marie = own_shop.application.database, own_shop.as_user("marie")
    with undone(own_shop), database.transaction() as connection:
        connection.execute("CREATE ROLE nobody_writes")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO nobody_writes")
        connection.execute("SET LOCAL ROLE nobody_writes")
        with pytest.raises(NotWritable, match="role"):
            marie.create("crm.tag", {"name": "x"})


# Two hands at once


@pytest.fixture
def rival(own_shop: vallum.Vallum) -> Any:
    """Another process with the same database, as far as it can be told."""
    with Database(own_shop.application.database.dsn, readonly=False) as database:
        yield database


def test_record_that_leaves_the_scope_meanwhile_is_not_written(
    own_shop: vallum.Vallum, rival: Database
) -> None:
    """The write waits for the other transaction and looks again at what that leaves."""
    marie = own_shop.as_user("marie")
    lead = marie.create("crm.lead", {"name": "Mine", "user_id": 3})
    outcome: list[Any] = []
    with rival.transaction() as connection:
        connection.execute("UPDATE crm_lead SET user_id = 6 WHERE id = %s", (lead,))
        thread = threading.Thread(
            target=lambda: outcome.append(_said(lambda i: marie.write("crm.lead", [i], {"name": "x"}), lead))
        )
        thread.start()
        _until_waiting(own_shop)
    thread.join()
    assert outcome[0].startswith("access-denied")
    assert own_shop.sudo().read("crm.lead", [lead], ["name"])[0]["name"] == "Mine"


def test_versions_hold_against_a_write_that_is_under_way(own_shop: vallum.Vallum, rival: Database) -> None:
    """The later one is a conflict, not a lost update."""
    marie = own_shop.as_user("marie")
    lead = marie.create("crm.lead", {"name": "Mine", "user_id": 3})
    version = marie.read("crm.lead", [lead], ["write_date"])[0]["write_date"]
    outcome: list[str] = []
    with rival.transaction() as connection:
        connection.execute("UPDATE crm_lead SET name = 'Theirs', write_date = now() WHERE id = %s", (lead,))

        def write() -> None:
            outcome.append(
                _said(lambda i: marie.write("crm.lead", [i], {"name": "x"}, version=version), lead)
            )

        thread = threading.Thread(target=write)
        thread.start()
        _until_waiting(own_shop)
    thread.join()
    assert outcome[0].startswith(Conflict.code)
    assert own_shop.sudo().read("crm.lead", [lead], ["name"])[0]["name"] == "Theirs"


def test_rows_out_of_scope_are_not_waited_for(own_shop: vallum.Vallum, rival: Database) -> None:
    """How long an answer takes says nothing of a hidden record."""
    hidden = own_shop.sudo().search("crm.lead", [("user_id", "=", 6)], limit=1)[0]
    with rival.transaction() as connection:
        connection.execute("SELECT FROM crm_lead WHERE id = %s FOR UPDATE", (hidden,))
        own_shop.application.database.rows("SET lock_timeout = '2s'")
        with pytest.raises(AccessDenied):
            own_shop.as_user("marie").write("crm.lead", [hidden], {"name": "x"})


def test_moves_at_the_same_time_make_no_circle(own_shop: vallum.Vallum, rival: Database) -> None:
    """They take turns: the second one sees what the first has done."""
    admin = own_shop.as_user("admin")
    a, b = admin.create("product.category", [{"name": "A"}, {"name": "B"}])
    outcome: list[str] = []
    with rival.transaction() as connection:
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext('vallum.hierarchy'), hashtext('product_category'))"
        )
        connection.execute(
            "UPDATE product_category SET parent_id = %s, parent_path = %s WHERE id = %s", (b, f"{b}/{a}/", a)
        )
        thread = threading.Thread(
            target=lambda: outcome.append(
                _said(lambda i: admin.write("product.category", [i], {"parent_id": a}), b)
            )
        )
        thread.start()
        _until_waiting(own_shop)
    thread.join()
    assert outcome[0].startswith("cyclic-hierarchy")


def test_deadlock_is_tried_again(own_shop: vallum.Vallum, rival: Database) -> None:
    """Once, where the whole transaction is ours."""
    tries: list[int] = []

    def stamp(connection: psycopg.Connection[Any], _actor: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            connection.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$")

    own_shop.application.stamps.append(stamp)
    assert own_shop.as_user("marie").create("crm.tag", {"name": "Again"}) > 0
    assert len(tries) == 2


def test_deadlock_that_comes_back_is_a_conflict(own_shop: vallum.Vallum) -> None:
    """And within somebody's transaction it is one at once."""
    tries: list[int] = []

    def stamp(connection: psycopg.Connection[Any], _actor: Any) -> None:
        tries.append(1)
        connection.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")

    own_shop.application.stamps.append(stamp)
    marie = own_shop.as_user("marie")
    with pytest.raises(Conflict, match="try again"):
        marie.create("crm.tag", {"name": "Never"})
    assert len(tries) == 2
    with own_shop.application.database.transaction(), pytest.raises(Conflict):
        marie.create("crm.tag", {"name": "Never"})
    assert len(tries) == 3


def test_key_used_by_two_at_once_creates_once(own_shop: vallum.Vallum) -> None:
    """The second waits for the first and is given its records."""
    dsn = own_shop.application.database.dsn
    made: list[Any] = []
    start = threading.Barrier(4)

    def ask() -> None:
        from examples.trading import SECURITY, Base

        with vallum.open(dsn, metadata=Base, policy=SECURITY, writable=True) as opened:
            start.wait()
            try:
                made.append(opened.as_user("marie").create("crm.tag", {"name": "Once"}, key="same"))
            except KeyReused as error:
                made.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1


def _until_waiting(shop: vallum.Vallum) -> None:
    """Wait until somebody waits for a lock."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with Database(shop.application.database.dsn) as watcher:
        for _ in range(300):
            if watcher.rows(waiting):
                return
            watcher.rows("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waits")
