"""All who may are found, nobody else, each with the reason, in few statements."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.analysis.world import GROUPS, RIGHTS, RULES, Open, crowd, rule
from vallum.analysis import explain, who_can
from vallum.enforce import Application
from vallum.kernel import Operation, UnknownField, UnknownModel, UnknownRecord
from vallum.policy import Policy
from vallum.postgres import connect


def logins(found: tuple[Any, ...]) -> list[str]:
    return [h.login for h in found]


def test_holders_of_a_right_are_found(app: Application) -> None:
    """Without a record, access rights decide."""
    assert logins(who_can(app, "read", "lead")) == ["ada", "bob", "eve"]
    assert logins(who_can(app, "write", "lead")) == ["ada", "bob"]


def test_inactive_users_are_left_out_unless_asked_for(app: Application) -> None:
    """Who has left cannot sign in."""
    assert logins(who_can(app, "write", "lead", active_only=False)) == ["__system__", "ada", "bob", "old"]


def test_right_for_everyone_has_no_group_path(app: Application) -> None:
    """A right without a group is everybody's."""
    found = who_can(app, "read", "note")
    assert logins(found) == ["ada", "bob", "eve"]
    assert found[0].reasons() == ["access right `access_note_None` (for everyone)"]


def test_record_is_held_by_those_whose_rules_let_it_through(app: Application) -> None:
    """Bob sees his own lead, Ada every lead of her company, Eve none of it."""
    assert logins(who_can(app, "read", "lead", record_id=1)) == ["ada", "bob"]
    assert logins(who_can(app, "read", "lead", record_id=3)) == ["ada"]
    assert logins(who_can(app, "read", "lead", record_id=4)) == ["eve"]
    assert logins(who_can(app, "read", "lead", record_id=5)) == []


def test_all_companies_widen_the_answer(app: Application) -> None:
    """Ada sees the lead abroad once she has both companies switched on."""
    (ada, eve) = who_can(app, "read", "lead", record_id=4, companies="all")
    assert (ada.login, ada.companies, eve.login) == ("ada", (1, 2), "eve")


def test_field_narrows_the_answer(app: Application) -> None:
    """Only managers see the margin."""
    (ada,) = who_can(app, "read", "lead", field="margin")
    assert (ada.login, str(ada.field_group)) == ("ada", "sales.manager")


def test_holder_names_right_and_rules(app: Application) -> None:
    """The reason is the whole chain."""
    bob = who_can(app, "read", "lead", record_id=1)[1]
    assert bob.reasons() == [
        "access right `access_lead_2` (sales.salesman)",
        "record rule `rule 1` (global)",
        "record rule `rule 2` (sales.salesman)",
        "record rule `rule 4` (global)",
    ]
    assert json.loads(json.dumps(bob.as_dict()))["login"] == "bob"


def test_records_are_counted(app: Application) -> None:
    """How many leads each may read; counting agrees with asking one by one."""
    found = {h.login: h.count for h in who_can(app, "read", "lead", count=True)}
    asked = {
        login: sum(explain(app, app.actor(login), "read", "lead", i).allowed for i in range(1, 7))
        for login in found
    }
    assert found == asked == {"ada": 3, "bob": 2, "eve": 1}


def test_answer_is_that_of_explain_for_every_user(app: Application) -> None:
    """Both say the same, for every record, operation and set of companies."""
    for record in range(1, 7):
        for operation in Operation:
            found = logins(who_can(app, operation, "lead", record_id=record, active_only=False))
            asked = [
                u.login
                for u in app.directory
                if explain(app, app.actor(u.id), operation, "lead", record).allowed
            ]
            assert found == asked


def test_user_with_a_rule_that_fails_is_no_holder(again: Open) -> None:
    """An error denies the users it concerns, and no others."""
    broken = again(Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", "[(user.nothing, '=', 1)]", 3))))
    assert logins(who_can(broken, "read", "lead")) == ["bob", "eve"]
    assert logins(who_can(broken, "read", "lead", record_id=1)) == ["bob"]


def test_statement_that_postgres_refuses_denies_only_those_it_concerns(again: Open) -> None:
    """The others' filters are asked again without it."""
    domain = "[('name', '=', 'x')] if user.login == 'ada' else []"
    broken = again(Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", domain))))
    with connect(broken.database.dsn, readonly=False) as connection:
        connection.execute("ALTER TABLE lead DROP COLUMN name")
    assert logins(who_can(broken, "read", "lead", record_id=1)) == ["bob"]
    assert logins(who_can(broken, "read", "lead", count=True)) == ["bob", "eve"]


def test_model_whose_records_live_in_code_is_decided_by_rights(app: Application) -> None:
    """There is nothing to search: no record of it can be vouched for, counted least of all."""
    assert logins(who_can(app, "read", "report")) == ["ada", "bob"]
    assert explain(app, app.actor("bob"), "read", "report").allowed
    assert who_can(app, "read", "report", record_id=1) == ()
    assert explain(app, app.actor("bob"), "read", "report", 1).allowed is False
    assert who_can(app, "read", "report", count=True) == ()


def test_unknown_names_are_errors(app: Application) -> None:
    """A typo does not mean nobody."""
    with pytest.raises(UnknownModel):
        who_can(app, "read", "laed")
    with pytest.raises(UnknownField):
        who_can(app, "read", "lead", field="nmae")
    with pytest.raises(UnknownRecord):
        who_can(app, "read", "lead", record_id=99)


def test_statements_do_not_grow_with_users(again: Open, statements: list[str]) -> None:
    """Two thousand salesmen, each with a condition of their own, cost a handful of statements."""
    crowded = again(users=crowd(2_000))
    assert len(who_can(crowded, "read", "lead", record_id=2)) == 2_002
    assert len(statements) < 25
    statements.clear()
    who_can(crowded, "read", "lead")
    assert len(statements) < 8
