"""Nothing leaks: what an actor may not see changes no answer they get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

import vallum
from examples.trading import SECURITY, Base, generate
from vallum.domain import parse
from vallum.kernel import UnknownOperator, VallumError
from vallum.postgres import Database

LOGINS: Final = ("marie", "lucia", "bruno", "nina", "carmen", "leo", "victor")
MODELS: Final = (
    "crm.lead",
    "sale.order",
    "sale.order.line",
    "res.partner",
    "hr.employee",
    "project.task",
    "account.move",
    "stock.move",
)
# What nobody's rules ask for: texts and amounts.
CHANGES: Final = {
    "res_partner": "name = md5(name), email = 'x'",
    "crm_lead": "name = md5(name), expected_revenue = id * 7, priority = '3', date_deadline = '2031-01-01'",
    "sale_order": "amount_total = id * 3, date_order = '2031-01-01'",
    "hr_employee": "name = md5(name)",
    "account_move": "amount_total = -1",
}


@pytest.fixture
def own(pg_dsn: str) -> Iterator[vallum.Vallum]:
    """A company that may be changed."""
    generate(pg_dsn, rows=2_000)
    with vallum.open(pg_dsn, metadata=Base, policy=SECURITY) as opened:
        yield opened


def test_hidden_records_change_no_answer(own: vallum.Vallum) -> None:
    """Names, amounts and dates out of sight are changed; every answer stays the same to the letter.

    Whatever is asked: orders, pages, names, lines, groups, counts, searches by name.
    """
    for login in LOGINS:
        before = _answers(own, login)
        changed = _change_hidden(own, login)
        assert changed > 100, login
        assert _answers(own, login) == before, login


def _change_hidden(own: vallum.Vallum, login: str) -> int:
    """Change every record out of the user's sight; how many there were."""
    user, total = own.as_user(login), 0
    with Database(own.application.database.dsn, readonly=False) as database:
        for table, change in CHANGES.items():
            try:
                seen = user.search(table.replace("_", "."), active_test=False)
            except VallumError:
                seen = []
            statement = f"UPDATE {table} SET {change} WHERE id <> ALL(%s) RETURNING id"
            total += len(database.rows(statement, (seen,)))
    return total


def _answers(own: vallum.Vallum, login: str) -> list[Any]:
    user = own.as_user(login)
    found: list[Any] = []
    for model in MODELS:
        fields = own.schema.model(model).fields.values()
        pointing = [f.name for f in fields if f.type == "many2one" and f.stored]
        found.append(_asked(lambda m=model: user.search_read(m, limit=60)))
        found.append(_asked(lambda m=model: user.search_count(m, active_test=False)))
        found.append(_asked(lambda m=model: user.name_search(m, "a", limit=None)))
        for name in pointing:
            found.append(_asked(lambda m=model, n=name: user.search(m, order=f"{n} desc, id")))
            found.append(_asked(lambda m=model, n=name: user.page(m, order=n, limit=7)))
            found.append(_asked(lambda m=model, n=name: user.read_group(m, [], [n])))
            found.append(_asked(lambda m=model, n=name: user.search(m, [(n, "ilike", "e")])))
        for name in (f.name for f in fields if f.type == "many2many" and f.stored):
            found.append(_asked(lambda m=model, n=name: user.read_group(m, [], [n])))
    return found


def _asked(ask: Any) -> Any:
    try:
        return ask()
    except VallumError as error:
        return str(error)


@pytest.mark.parametrize("operator", ["any!", "not any!"])
def test_operator_that_bypasses_rules_is_not_for_users(company: str, operator: str) -> None:
    """Odoo 19's, at whatever depth, by whatever door a domain comes in; the superuser bypasses nothing."""
    with vallum.open(company, metadata=Base, policy=SECURITY, odoo_version=19) as own:
        _asked_by_every_door(own, operator)


def _asked_by_every_door(own: vallum.Vallum, operator: str) -> None:
    asked = [("order_ids", operator, [("id", ">", 0)])]
    deep = ["|", ("id", "=", 0), "!", ("partner_id", "any", [("user_ids", operator, [("id", ">", 0)])])]
    user = own.as_user("marie")
    for domain in (asked, deep):
        doors: list[Any] = [
            lambda d=domain: user.search("crm.lead", d),
            lambda d=domain: user.search_count("crm.lead", d),
            lambda d=domain: user.search_read("crm.lead", d, ["name"]),
            lambda d=domain: user.read_group("crm.lead", d, ["stage_id"]),
            lambda d=domain: user.name_search("crm.lead", "a", d),
            lambda d=domain: user.page("crm.lead", d, limit=1),
            lambda d=domain: user.search("crm.lead", parse(d)),
        ]
        for door in doors:
            with pytest.raises(UnknownOperator):
                door()
    assert own.sudo().search("crm.lead", asked, limit=1) is not None
