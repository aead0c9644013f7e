"""Explanations name every right, group, field, rule and condition that decides."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.analysis.world import EVERY, GROUPS, POLICY, RIGHTS, RULES, Open, rule
from vallum.analysis import Explanation, explain
from vallum.enforce import Application
from vallum.kernel import UnknownField, UnknownModel, VallumError
from vallum.policy import Policy
from vallum.postgres import connect


def why(app: Application, who: str, operation: str, model: str, *target: object, **more: bool) -> Explanation:
    return explain(app, app.actor(who), operation, model, *target, **more)  # type: ignore[arg-type]


def test_allowed_record_names_right_and_group_path(app: Application) -> None:
    """Whoever asks learns which group gave the right, and how the user got that group."""
    found = why(app, "ada", "read", "lead", 3)
    assert found.allowed
    assert [str(g) for g in found.grants] == ["`access_lead_2` (sales.manager → sales.salesman)"]
    assert found.exists is True
    assert any("sales.manager" in text for text in found.reasons())


def test_missing_right_names_who_has_it(app: Application) -> None:
    """A refusal says which groups would do."""
    found = why(app, "eve", "write", "lead")
    assert not found.allowed
    assert found.needed_groups == ("sales.salesman",)
    assert found.reasons()[0] == "eve has no access right to write `lead`; it is granted to `sales.salesman`"


def test_right_nobody_has_is_said(app: Application) -> None:
    """A model without rights is shut to all."""
    assert why(app, "ada", "read", "res.users").reasons() == [
        "ada has no access right to read `res.users`; nobody has it"
    ]


def test_failing_condition_is_shown_with_the_value(app: Application) -> None:
    """The condition that fails is named, and what the record holds instead."""
    found = why(app, "bob", "read", "lead", 4)
    assert not found.allowed
    assert found.rules is not None
    (leaf,) = found.rules.global_rules[0].failing
    assert leaf.actual is not None
    assert (str(leaf), leaf.actual.value) == ("`company_id in [1, False]`, it is 2", 2)
    assert found.rules.group_rules[0].status == "passed"


def test_values_can_be_left_out(app: Application) -> None:
    """A report for many eyes holds no data."""
    found = why(app, "bob", "read", "lead", 4, values=False)
    assert found.reasons()[0].endswith("asks for `company_id in [1, False]`")
    assert "actual" not in json.dumps(found.as_dict())


def test_every_alternative_of_a_failing_rule_is_shown(app: Application) -> None:
    """Of an `|` all sides fail, and all are named."""
    found = why(app, "bob", "read", "lead", 3)
    assert found.reasons()[0] == (
        "`lead` 3: record rule `rule 2` (for sales.salesman) asks for `user_id = 3`, it is 2"
        " or `user_id = False`, it is 2"
    )


def test_rule_of_inherits_parent_is_followed(app: Application) -> None:
    """A lead is hidden by a rule on the asset it delegates to."""
    found = why(app, "bob", "read", "lead", 5)
    assert not found.allowed
    assert found.rules is not None
    ((via, parent),) = found.rules.parents
    assert (via, parent.model, parent.record_id) == ("asset_id", "asset", 2)
    assert found.reasons()[0] == (
        "through `asset_id`: `asset` 2: record rule `rule 4` (global) asks for `secret = False`, it is True"
    )


def test_missing_inherits_parent_hides_the_record(app: Application) -> None:
    """A record whose delegated record is gone passes no rule of it."""
    found = why(app, "bob", "read", "lead", 6)
    assert not found.allowed
    assert "missing" in found.reasons()[0]


def test_field_is_open_by_its_group(app: Application) -> None:
    """Field groups are part of the verdict."""
    assert why(app, "ada", "read", "lead", None, "margin").allowed
    refused = why(app, "bob", "read", "lead", None, "margin")
    assert not refused.allowed
    assert refused.reasons()[0] == "the field `lead.margin` is shut to bob: it is for `sales.manager`"


def test_record_that_is_gone_is_said(app: Application) -> None:
    """Nobody may touch what is not there."""
    found = why(app, "ada", "read", "lead", 99)
    assert (found.allowed, found.exists) == (False, False)
    assert found.reasons()[0] == "`lead` 99 does not exist"


def test_without_record_rules_are_listed_only(app: Application) -> None:
    """The question about a model is answered by rights."""
    found = why(app, "bob", "read", "lead")
    assert found.allowed
    assert found.rules is not None
    assert {r.status for r in found.rules.global_rules} == {"not evaluated"}


def test_superuser_is_explained_as_such(app: Application) -> None:
    """Rights and rules do not bind the superuser."""
    found = why(app, "__system__", "unlink", "lead", 5, "margin")
    assert found.allowed
    assert found.rules is None
    assert "superuser" in found.reasons()[0]


def test_override_makes_the_verdict_inexact(app: Application) -> None:
    """Code that decides as well is named; code that only shows names is not."""
    assert why(app, "ada", "read", "lead", 1).inexact == ("`_search` of `lead` is code of `sales_plus`",)
    assert why(app, "ada", "read", "asset", 1).inexact == ()


@pytest.mark.parametrize(
    "domain",
    ["[('nothing', '=', 1)]", "[(user.nothing, '=', 1)]", "[('user_id', '=', __import__('os'))]", "[(("],
)
@pytest.mark.parametrize("record", [None, 1])
def test_rule_that_cannot_be_bound_denies(again: Open, domain: str, record: int | None) -> None:
    """An error denies, whatever the other rules say, and is among the reasons."""
    policy = Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", domain)))
    broken = again(policy)
    found = why(broken, "ada", "read", "lead", record)
    assert not found.allowed
    assert "rule 9" in found.reasons()[0] or "fails" in found.reasons()[0]


def test_statement_that_postgres_refuses_denies_and_ends_nothing_else(again: Open) -> None:
    """One rule fails in PostgreSQL; the others are still evaluated."""
    broken = again(Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", "[('name', '=', 'x')]", 2))))
    with connect(broken.database.dsn, readonly=False) as connection:
        connection.execute("ALTER TABLE lead DROP COLUMN name")
    found = why(broken, "bob", "read", "lead", 1)
    assert not found.allowed
    assert found.rules is not None
    assert [r.status for r in found.rules.group_rules] == ["passed", "error"]
    assert "PostgreSQL refuses" in " ".join(found.reasons())


def test_rule_beside_one_that_lets_everything_through_does_not_matter(again: Open) -> None:
    """Enforcement drops it, broken or not, and so does the explanation."""
    policy = Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", "[('nothing', '=', 1)]", 3)))
    found = why(again(policy), "ada", "read", "lead", 3)
    assert found.allowed
    assert found.rules is not None
    assert [r.status for r in found.rules.group_rules] == ["not evaluated", "passed", "not evaluated"]


def test_negation_is_explained_condition_by_condition(again: Open) -> None:
    """`!` in front of a list is pushed to the conditions."""
    domain = "['!', '|', ('company_id', '=', 1), ('user_id', '=', 7)]"
    policy = Policy.of(GROUPS, RIGHTS, (rule(9, "lead", domain),))
    found = why(again(policy), "ada", "read", "lead", 1)
    assert found.rules is not None
    assert [str(leaf) for leaf in found.rules.global_rules[0].failing] == ["`not (company_id = 1)`, it is 1"]


def test_explanation_has_no_truth_value(app: Application) -> None:
    """`if explain(...)` would always hold."""
    with pytest.raises(TypeError, match="no truth value"):
        bool(why(app, "ada", "read", "lead"))


def test_unknown_names_are_errors(app: Application) -> None:
    """A typo is no refusal."""
    with pytest.raises(UnknownModel):
        why(app, "ada", "read", "laed")
    with pytest.raises(UnknownField):
        why(app, "ada", "read", "lead", 1, "nmae")


def test_actor_the_directory_does_not_know_is_explained_by_its_groups(app: Application) -> None:
    """What would somebody with these groups be able to do?"""
    stranger = replace(app.actor("ada"), user_id=77, login="stranger")
    found = explain(app, stranger, "read", "lead", 1)
    assert found.allowed
    assert str(found.grants[0].path) == "sales.manager → sales.salesman"


def test_closed_groups_show_the_chain_they_stand_for(app: Application, again: Open) -> None:
    """Odoo 18 stores implied groups like given ones; the chain is shown all the same."""
    ada = app.directory.find("ada")
    closed = replace(ada, groups=POLICY.close(ada.groups), groups_closed=True)
    found = why(again(users=(closed,)), "ada", "read", "asset", 1)
    assert str(found.grants[0].path) == "sales.manager → sales.salesman → base.group_user"


def test_explanation_is_ready_for_json(app: Application) -> None:
    """Every part can be sent."""
    for who in ("ada", "bob", "eve", "__system__"):
        for record in (None, *range(1, 8)):
            found = json.loads(json.dumps(why(app, who, "write", "lead", record, "margin").as_dict()))
            assert found["reasons"]
            assert isinstance(found["allowed"], bool)


def test_operations_are_all_explained(app: Application) -> None:
    """Rules of one operation do not speak for another."""
    for operation in EVERY:
        assert why(app, "bob", operation, "lead", 1).allowed is True
        assert why(app, "bob", operation, "lead", 3).allowed is False


def test_unknown_operation_is_an_error(app: Application) -> None:
    """There are four operations."""
    with pytest.raises((ValueError, VallumError)):
        why(app, "bob", "delete", "lead", 1)
