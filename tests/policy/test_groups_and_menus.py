"""Group expressions, and which menus an actor sees."""

from __future__ import annotations

import pytest

from vallum.kernel import CyclicHierarchy, MalformedPolicy, Operation
from vallum.policy import AccessRight, Action, Actor, Group, Menu, Policy, RecordRule, admits, menus

A, B = "m.a", "m.b"


@pytest.mark.parametrize(
    ("expression", "groups", "admitted"),
    [
        (None, set(), True),
        ("", set(), True),
        (".", {A}, False),
        (A, {A}, True),
        (A, {B}, False),
        (f"{A},{B}", {B}, True),
        (f"!{A}", set(), True),
        (f"!{A}", {A}, False),
        (f"{A},!{B}", {A, B}, False),
        (f"{A}, !{B}", {A}, True),
        (f"{A},!{B}", set(), False),
        ("m.unknown", {A}, False),
        ("base.group_no_one", {"base.group_no_one"}, False),
        ("!base.group_no_one", {"base.group_no_one"}, True),
    ],
)
def test_group_expression_admits_as_odoo_does(
    expression: str | None, groups: set[str], admitted: bool
) -> None:
    """Comma is or, `!` shuts out, `.` is nobody, developers count in debug mode only."""
    assert admits(expression, groups.__contains__) is admitted


def test_developers_are_admitted_in_debug_mode() -> None:
    """`base.group_no_one` counts once debug mode is on."""
    assert admits("base.group_no_one", {"base.group_no_one"}.__contains__, debug=True)


ORDERS = Action(type="ir.actions.act_window", id=1, model="sale.order")
SECRETS = Action(type="ir.actions.act_window", id=2, model="secret")
LINK = Action(type="ir.actions.act_url", id=3)
POLICY = Policy.of(
    [Group(id=1, name="User"), Group(id=2, name="Manager")],
    [AccessRight(id=1, name="read", model="sale.order", group=1, operations=frozenset({Operation.READ}))],
    menus=[
        Menu(id=1, name="Sales"),
        Menu(id=2, name="Orders", parent=1, action=ORDERS),
        Menu(id=3, name="Secrets", parent=1, action=SECRETS),
        Menu(id=4, name="Empty folder"),
        Menu(id=5, name="Managers' folder", groups=frozenset({2})),
        Menu(id=6, name="Site", parent=5, action=LINK),
        Menu(id=7, name="Gone", action=ORDERS, active=False),
        Menu(id=8, name="Secret start", action=SECRETS),
        Menu(id=9, name="Below it", parent=8, action=ORDERS),
    ],
)
USER = Actor(user_id=5, login="paul", groups=frozenset({1}))


def test_menu_of_a_readable_model_shows_its_folder() -> None:
    """A folder is there for what it holds; unreadable models and empty folders are not shown."""
    assert {1, 2} <= menus(POLICY, USER)
    assert menus(POLICY, USER).isdisjoint({3, 4, 5, 7, 8})


def test_menu_under_a_hidden_folder_brings_nothing_up() -> None:
    """The folder's groups decide for the folder."""
    assert 6 in menus(POLICY, USER)
    assert 5 not in menus(POLICY, USER)


def test_ancestors_with_an_action_of_their_own_differ_by_version() -> None:
    """Odoo 19 shows them through what is below; 18 does not."""
    assert 8 not in menus(POLICY, USER, version=18)
    assert 8 in menus(POLICY, USER, version=19)


def test_menus_in_a_circle_are_refused() -> None:
    """The circle is spelled out."""
    with pytest.raises(CyclicHierarchy, match="A → B"):
        Policy.of([], menus=[Menu(id=1, name="A", parent=2), Menu(id=2, name="B", parent=1)])


@pytest.mark.parametrize("kind", ["groups", "record rules", "menus"])
def test_two_things_with_one_id_are_refused(kind: str) -> None:
    """A second one would hide the first, or be taken for it."""
    groups = [Group(id=1, name="A"), Group(id=1, name="B")]
    menus_ = [Menu(id=1, name="A"), Menu(id=1, name="B")]
    rules = [
        RecordRule(
            id=1, name=name, model="x", domain=domain, groups=frozenset(), operations=frozenset(Operation)
        )
        for name, domain in (("A", "[]"), ("B", "[(0, '=', 1)]"))
    ]
    with pytest.raises(MalformedPolicy, match=f"two {kind} have the id 1: 'A' and 'B'"):
        Policy.of(
            groups if kind == "groups" else [],
            rules=rules if kind == "record rules" else [],
            menus=menus_ if kind == "menus" else [],
        )
