"""`export_data`: as many statements as paths have levels, and the rows of each record as they are alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pytest

import vallum
from examples.trading import SECURITY, Base
from vallum.kernel import AccessDenied, UnknownField
from vallum.server.rpc.context import Context
from vallum.server.rpc.export import export_data
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call

PATHS: Final = [
    "name",
    ".id",
    "id",
    "partner_id",
    "partner_id/.id",
    "partner_id/country_code",
    "partner_id/child_ids/name",
    "partner_id/child_ids/user_id/login",
    "order_line",
    "order_line/name",
    "order_line/product_id/name",
    "order_line/price_unit",
    "state/ignored",
]


@pytest.fixture(scope="module")
def opened(company: str) -> Any:
    """The example company."""
    with vallum.open(company, metadata=Base, policy=SECURITY) as found:
        yield found


def asked(
    opened: vallum.Vallum, login: str, model: str, ids: list[int], paths: list[str], most: int = 10_000
) -> Any:
    """The rows of a call as a worker makes it."""
    service: Any = SimpleNamespace(max_rows=most, trail=None, of_odoo=False)
    call = Call(service, opened.as_user(login), model, Context.parse({}))
    return export_data(call, ids, paths)["datas"]


def orders(opened: vallum.Vallum, number: int) -> list[int]:
    """Orders that marie may read."""
    return opened.as_user("marie").search("sale.order", [("order_line", "!=", False)], limit=number)


def test_rows_of_many_records_are_those_of_each_alone(opened: vallum.Vallum) -> None:
    """In their order, one below the other, whatever they share."""
    ids = orders(opened, 40)
    ids = [*ids, ids[0]]
    whole = asked(opened, "marie", "sale.order", ids, PATHS)
    assert whole == [row for i in ids for row in asked(opened, "marie", "sale.order", [i], PATHS)]
    assert len(whole) > len(ids)
    one = opened.as_user("marie").read("sale.order", ids[:1], ["name", "partner_id", "order_line", "state"])[
        0
    ]
    lines = opened.as_user("marie").read("sale.order.line", one["order_line"], ["name", "price_unit"])
    first = dict(zip(PATHS, whole[0], strict=True))
    assert (first["name"], first["partner_id"]) == (one["name"], one["partner_id"][1])
    assert first["partner_id/.id"] == str(one["partner_id"][0])
    assert (first["order_line/name"], first["state/ignored"]) == (lines[0]["name"], one["state"])
    at = PATHS.index("order_line/price_unit")
    prices = [price for [price] in asked(opened, "marie", "sale.order", ids[:1], [PATHS[at]])]
    assert prices == [line["price_unit"] for line in lines]
    assert whole[0][at] == prices[0]


def test_number_of_statements_does_not_grow_with_the_records(
    opened: vallum.Vallum, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty orders are asked about as often as two."""
    statements: list[Any] = []
    rows = opened.application.database.rows

    def told(*args: Any, **options: Any) -> Any:
        statements.append(args[0])
        return rows(*args, **options)

    monkeypatch.setattr(opened.application.database, "rows", told)
    counts = []
    for number in (2, 40):
        ids = orders(opened, number)
        asked(opened, "marie", "sale.order", ids, PATHS)
        statements.clear()
        assert len(asked(opened, "marie", "sale.order", ids, PATHS)) >= number
        counts.append(len(statements))
    assert counts[0] == counts[1] > 0


def test_what_is_shut_behind_a_path_is_refused(opened: vallum.Vallum) -> None:
    """A field of groups, a field that is none, a record out of scope."""
    ids = orders(opened, 3)
    with pytest.raises(AccessDenied):
        asked(opened, "marie", "sale.order", ids, ["partner_id/bank_account"])
    with pytest.raises(UnknownField):
        asked(opened, "marie", "sale.order", ids, ["order_line/nothing"])
    seen = set(opened.as_user("marie").search("crm.lead", active_test=False))
    hidden = next(i for i in opened.sudo().search("crm.lead", order="id") if i not in seen)
    with pytest.raises(AccessDenied):
        asked(opened, "marie", "crm.lead", [hidden], ["name"])


def test_more_rows_than_may_be_answered_are_not_read(opened: vallum.Vallum) -> None:
    """Lines are counted before they are read, rows while they are made."""
    ids = orders(opened, 40)
    for paths in (["order_line/name"], ["partner_id/child_ids/name", "order_line/name"]):
        rows = len(asked(opened, "marie", "sale.order", ids, paths))
        assert asked(opened, "marie", "sale.order", ids, paths, rows)
        with pytest.raises(RpcError, match="more than"):
            asked(opened, "marie", "sale.order", ids, paths, rows - 1)
