"""Access rights, record rules and field groups: how they combine for an actor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.schemas import SALES, schema
from vallum.domain import RuleContext, to_list
from vallum.kernel import (
    CompanyNotAllowed,
    CyclicHierarchy,
    ForbiddenExpression,
    MissingReference,
    Operation,
    UnknownField,
    UnknownUser,
)
from vallum.policy import (
    AccessRight,
    Actor,
    Directory,
    Group,
    Policy,
    RecordRule,
    User,
    actor_of,
    decide,
    fields,
    may_read_field,
    scope,
)
from vallum.schema import Schema

USER, SALESMAN, MANAGER, OTHER = 1, 2, 3, 4
GROUPS = (
    Group(id=USER, name="User", xml_id="base.group_user"),
    Group(id=SALESMAN, name="Salesman", xml_id="sales.salesman", implied=frozenset({USER})),
    Group(id=MANAGER, name="Manager", xml_id="sales.manager", implied=frozenset({SALESMAN})),
    Group(id=OTHER, name="Other", xml_id="other.group"),
)
EVERY = frozenset(Operation)
NOW = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)


def right(model: str, group: int | None, operations: frozenset[Operation] = EVERY) -> AccessRight:
    return AccessRight(id=0, name=f"{model} {group}", model=model, group=group, operations=operations)


def rule(
    number: int, domain: str, *groups: int, model: str = "sale.order", only: Operation | None = None
) -> RecordRule:
    operations = frozenset({only}) if only else EVERY
    return RecordRule(
        id=number,
        name=f"rule {number}",
        model=model,
        domain=domain,
        groups=frozenset(groups),
        operations=operations,
    )


def actor(*groups: int, superuser: bool = False) -> Actor:
    policy = Policy.of(GROUPS)
    return Actor(user_id=7, login="marie", groups=policy.close(groups), companies=(2, 1), superuser=superuser)


class Reader:
    """Reads nothing: the rules of these tests mention no records."""

    schema: Schema = schema(*SALES)

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        raise AssertionError(f"{model}.{field} was read")


def context() -> RuleContext:
    return RuleContext(Reader(), 7, 2, (2, 1), (1, 2, 3), lambda: NOW)


def domain_of(
    policy: Policy, who: Actor, operation: Operation = Operation.READ, model: str = "sale.order"
) -> list[Any]:
    return to_list(scope(policy, Reader.schema, who, operation, model, context()).domain)


def test_model_without_rights_is_refused() -> None:
    """What no right mentions is shut to everyone."""
    decision = decide(Policy.of(GROUPS), actor(MANAGER), Operation.READ, "sale.order")
    assert not decision.allowed
    assert decision.granting == ()


def test_right_of_an_implied_group_is_granted() -> None:
    """A manager is a salesman and a user as well."""
    policy = Policy.of(GROUPS, [right("sale.order", USER, frozenset({Operation.READ}))])
    assert decide(policy, actor(MANAGER), Operation.READ, "sale.order").allowed
    assert not decide(policy, actor(MANAGER), Operation.WRITE, "sale.order").allowed


def test_right_of_another_group_is_named_but_refused() -> None:
    """A refusal tells which rights would grant it."""
    policy = Policy.of(GROUPS, [right("sale.order", OTHER)])
    decision = decide(policy, actor(USER), Operation.READ, "sale.order")
    assert not decision.allowed
    assert [r.group for r in decision.would_grant] == [OTHER]


def test_right_without_a_group_is_for_everyone() -> None:
    """Even for who is in no group at all."""
    policy = Policy.of(GROUPS, [right("sale.order", None)])
    assert decide(policy, actor(), Operation.UNLINK, "sale.order").allowed


def test_decision_is_no_truth_value() -> None:
    """`if decide(…)` would always be true: it raises."""
    with pytest.raises(TypeError, match="allowed"):
        bool(decide(Policy.of(GROUPS), actor(), Operation.READ, "sale.order"))


def test_superuser_is_bound_by_nothing() -> None:
    """Neither rights nor rules nor field groups."""
    policy = Policy.of(GROUPS, rules=[rule(1, "[(0, '=', 1)]")])
    root = actor(superuser=True)
    assert decide(policy, root, Operation.UNLINK, "sale.order").allowed
    assert domain_of(policy, root) == [[1, "=", 1]]
    assert may_read_field(policy, root, Reader.schema.field("sale.order", "margin"))


def test_no_rule_leaves_all_records() -> None:
    """A model without rules is not restricted by them."""
    found = scope(Policy.of(GROUPS), Reader.schema, actor(USER), Operation.READ, "sale.order", context())
    assert not found.restricted
    assert to_list(found.domain) == [[1, "=", 1]]


def test_global_rules_all_hold() -> None:
    """They are joined by and, in the order of their ids."""
    policy = Policy.of(GROUPS, rules=[rule(2, "[('state', '=', 'b')]"), rule(1, "[('state', '=', 'a')]")])
    assert domain_of(policy, actor()) == ["&", ["state", "=", "a"], ["state", "=", "b"]]


def test_rules_of_ones_groups_are_alternatives() -> None:
    """One of them suffices, but the global rule holds all the same."""
    policy = Policy.of(
        GROUPS,
        rules=[
            rule(1, "[('company_id', 'in', company_ids)]"),
            rule(2, "[('user_id', '=', user.id)]", SALESMAN),
            rule(3, "[('state', '=', 'done')]", USER),
            rule(4, "[(1, '=', 1)]", OTHER),
        ],
    )
    assert domain_of(policy, actor(SALESMAN)) == [
        "&",
        ["company_id", "in", [2, 1]],
        "|",
        ["user_id", "=", 7],
        ["state", "=", "done"],
    ]


def test_without_a_rule_of_ones_groups_only_global_rules_hold() -> None:
    """As in Odoo, rules of other groups do not restrict."""
    policy = Policy.of(GROUPS, rules=[rule(1, "[('state', '=', 'a')]"), rule(2, "[(0, '=', 1)]", OTHER)])
    assert domain_of(policy, actor(USER)) == [["state", "=", "a"]]


def test_rule_of_another_operation_does_not_hold() -> None:
    """A rule counts for the operations it names."""
    policy = Policy.of(GROUPS, rules=[rule(1, "[('state', '=', 'a')]", only=Operation.WRITE)])
    assert domain_of(policy, actor(USER)) == [[1, "=", 1]]
    assert domain_of(policy, actor(USER), Operation.WRITE) == [["state", "=", "a"]]


def test_rules_of_a_delegated_record_hold_for_it() -> None:
    """Users are restricted by the rules of contacts, through `partner_id`."""
    policy = Policy.of(GROUPS, rules=[rule(1, "[('name', '=', 'x')]", model="res.partner")])
    assert domain_of(policy, actor(USER), model="res.users") == [["partner_id", "any", [["name", "=", "x"]]]]


def test_rule_that_cannot_be_evaluated_raises() -> None:
    """An error never widens: whoever asks gets it, with the rule's name."""
    policy = Policy.of(GROUPS, rules=[rule(1, "[('id', 'in', __import__('os'))]")])
    with pytest.raises(ForbiddenExpression, match="rule 1"):
        domain_of(policy, actor(USER))


def test_rule_over_an_unknown_field_raises() -> None:
    """The rule is evaluated strictly against the schema."""
    policy = Policy.of(GROUPS, rules=[rule(1, "[('id', '=', user.nothing)]")])
    with pytest.raises(UnknownField, match="nothing"):
        domain_of(policy, actor(USER))


def test_field_groups_open_and_shut_fields() -> None:
    """A field with groups is open to their members only."""
    policy = Policy.of(GROUPS)
    order = Reader.schema.model("sale.order")
    assert "margin" not in fields(policy, actor(SALESMAN), order)
    assert "margin" in fields(policy, actor(MANAGER), order)


def test_groups_that_imply_each_other_are_refused() -> None:
    """The circle is spelled out."""
    circle = [
        Group(id=1, name="A", xml_id="m.a", implied=frozenset({2})),
        Group(id=2, name="B", xml_id="m.b", implied=frozenset({1})),
    ]
    with pytest.raises(CyclicHierarchy, match=r"m\.a → m\.b → m\.a"):
        Policy.of(circle)


def test_right_of_a_missing_group_is_refused() -> None:
    """Nothing dangles: a policy is whole or is not made."""
    with pytest.raises(MissingReference, match="99"):
        Policy.of(GROUPS, [right("sale.order", 99)])


def test_equal_policies_have_equal_versions() -> None:
    """A version names the content, not where it was read."""
    one, two = (Policy.of(GROUPS, [right("sale.order", USER)], source=s) for s in ("a", "b"))
    assert one.version == two.version
    assert one.version != Policy.of(GROUPS).version


def test_companies_of_others_are_refused() -> None:
    """Active companies are among the user's own, or nobody becomes an actor."""
    user = User(id=5, login="paul", company_id=1, company_ids=(1, 2))
    assert actor_of(user, Policy.of(GROUPS)).companies == (1,)
    assert actor_of(user, Policy.of(GROUPS), [2, 1]).company == 2
    with pytest.raises(CompanyNotAllowed, match="3"):
        actor_of(user, Policy.of(GROUPS), [1, 3])


def test_unknown_login_is_refused() -> None:
    """There is no actor nobody knows."""
    with pytest.raises(UnknownUser, match="nobody"):
        Directory([]).find("nobody")
