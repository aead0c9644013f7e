"""How a user came to a group is told by the shortest chain."""

from __future__ import annotations

import pytest

from tests.analysis.world import AUDITOR, EMPLOYEE, MANAGER, POLICY, SALESMAN
from vallum.analysis.paths import Membership
from vallum.policy import Group, Policy


def path(given: set[int], group: int, policy: Policy = POLICY) -> str:
    return str(Membership(policy, frozenset(given), policy.close(given)).path(group))


def test_given_group_is_its_own_path() -> None:
    """Nothing lies between."""
    assert path({SALESMAN}, SALESMAN) == "sales.salesman"


def test_implied_group_shows_every_step() -> None:
    """From the given group down."""
    assert path({MANAGER}, EMPLOYEE) == "sales.manager → sales.salesman → base.group_user"


def test_shortest_path_wins() -> None:
    """A group that was given as well needs no chain."""
    assert path({MANAGER, EMPLOYEE}, EMPLOYEE) == "base.group_user"
    assert path({MANAGER, SALESMAN}, EMPLOYEE) == "sales.salesman → base.group_user"


def test_group_without_membership_has_no_path() -> None:
    """Whoever is no member did not come to it."""
    assert path({MANAGER}, AUDITOR) == "None"


@pytest.mark.parametrize("order", [1, -1])
def test_equal_paths_are_told_in_a_fixed_order(order: int) -> None:
    """Two ways of the same length: the first by name, whatever the order they were read in."""
    groups = [
        Group(id=1, name="top", implied=frozenset({2, 3})),
        Group(id=2, name="b", implied=frozenset({4})),
        Group(id=3, name="a", implied=frozenset({4})),
        Group(id=4, name="end"),
    ]
    assert path({1}, 4, Policy.of(groups[::order])) == "top → a → end"
