"""A diff names what changed, all of it and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.analysis.world import GROUPS, MENUS, POLICY, RIGHTS, RULES, USERS, Open, rule
from vallum.analysis import (
    AccessChange,
    FieldChange,
    MenuChange,
    RecordChange,
    SnapshotDiff,
    UserChange,
    diff_snapshots,
    take_snapshot,
)
from vallum.enforce import Application
from vallum.kernel import Operation
from vallum.policy import Policy
from vallum.postgres import connect

READ = frozenset({Operation.READ})


def test_snapshot_does_not_differ_from_itself(app: Application) -> None:
    """Nothing changed, nothing is said."""
    found = take_snapshot(app)
    assert diff_snapshots(found, found).is_empty
    assert diff_snapshots(found, take_snapshot(app)) == SnapshotDiff()


def test_equal_access_in_another_order_of_sets_is_no_difference(app: Application) -> None:
    """Indexes are positions in a file, no content."""
    whole, part = take_snapshot(app), take_snapshot(app, users=["ada", "bob"])
    found = diff_snapshots(whole, part)
    assert found == SnapshotDiff(users_removed=("__system__", "eve", "old"))


def test_wider_rule_shows_the_records_gained(again: Open) -> None:
    """The salesmen's rule is opened for reading: they gain the leads of others."""
    open_rule = rule(8, "lead", "[(1, '=', 1)]", 2, operations=READ)
    old = take_snapshot(again())
    new = take_snapshot(again(Policy.of(GROUPS, RIGHTS, (*RULES, open_rule), MENUS)))
    found = diff_snapshots(old, new)
    assert found == SnapshotDiff(
        records=(
            RecordChange("bob", (1,), "lead", Operation.READ, gained=1, gained_ids=(3,)),
            RecordChange("old", (1,), "lead", Operation.READ, gained=2, gained_ids=(1, 3)),
        )
    )
    assert found.widened == found
    assert found.narrowed.is_empty
    assert diff_snapshots(new, old).narrowed == diff_snapshots(new, old)


def test_lost_right_shows_letters_and_records(again: Open) -> None:
    """Auditors may no longer read leads: the letter, and the record it was good for."""
    old = take_snapshot(again())
    new = take_snapshot(again(Policy.of(GROUPS, (RIGHTS[0], *RIGHTS[2:]), RULES, MENUS)))
    found = diff_snapshots(old, new)
    assert found == SnapshotDiff(
        access=(AccessChange("eve", "lead", lost="r"),),
        records=(RecordChange("eve", (2,), "lead", Operation.READ, lost=1, lost_ids=(4,)),),
    )
    assert found.widened.is_empty


def test_right_the_rules_leave_nothing_of_gains_no_record(again: Open) -> None:
    """Access that is none is not called a gain of records."""
    shut = (*RULES, rule(9, "lead", "[(0, '=', 1)]"))
    old = take_snapshot(again(Policy.of(GROUPS, (RIGHTS[0], *RIGHTS[2:]), shut, MENUS)))
    new = take_snapshot(again(Policy.of(GROUPS, RIGHTS, shut, MENUS)))
    assert diff_snapshots(old, new) == SnapshotDiff(access=(AccessChange("eve", "lead", gained="r"),))


def test_new_group_of_a_user_shows_all_it_brings(again: Open) -> None:
    """Bob becomes manager: group, field, records."""
    promoted = tuple(replace(u, groups=frozenset({3})) if u.login == "bob" else u for u in USERS)
    found = diff_snapshots(take_snapshot(again()), take_snapshot(again(users=promoted)))
    assert found.users == (UserChange("bob", groups_gained=(3,)),)
    assert found.fields == (FieldChange("bob", "lead", opened=("margin",)),)
    assert found.access == ()
    assert {(c.login, c.gained_ids) for c in found.records} == {("bob", (3,))}
    assert found.narrowed.is_empty


def test_users_who_come_and_go_are_named(again: Open) -> None:
    """And nothing else is said about them."""
    ada, bob = USERS[1], USERS[2]
    old = take_snapshot(again(users=(ada,)))
    new = take_snapshot(again(users=(replace(bob, id=2),)))
    found = diff_snapshots(old, new)
    assert found == SnapshotDiff(users_added=("bob",), users_removed=("ada",))
    assert found.widened == SnapshotDiff(users_added=("bob",))
    assert found.narrowed == SnapshotDiff(users_removed=("ada",))


def test_users_are_compared_by_login(again: Open) -> None:
    """The same people under other ids, as in another database."""
    moved = tuple(replace(u, id=u.id + 50, groups=u.groups) for u in USERS[3:])
    assert diff_snapshots(take_snapshot(again(users=USERS[3:])), take_snapshot(again(users=moved))).is_empty


def test_deactivation_and_companies_are_named(again: Open) -> None:
    """Eve moves to company 1 and is switched off."""
    moved = tuple(
        replace(u, company_id=1, company_ids=(1,), active=False) if u.login == "eve" else u for u in USERS
    )
    found = diff_snapshots(take_snapshot(again()), take_snapshot(again(users=moved)))
    assert found.users == (UserChange("eve", companies_gained=(1,), companies_lost=(2,), activated=False),)
    assert found.records == (RecordChange("eve", (1,), "lead", Operation.READ, 3, 1, (1, 2, 3), (4,)),)
    assert found.widened.users == (UserChange("eve", companies_gained=(1,)),)
    assert found.narrowed.users == (UserChange("eve", companies_lost=(2,), activated=False),)
    assert found.narrowed.records[0].gained == 0


def test_menus_that_appear_are_named(again: Open) -> None:
    """Menus follow groups."""
    open_menus = tuple(replace(m, groups=frozenset()) for m in MENUS)
    old = take_snapshot(again())
    new = take_snapshot(again(Policy.of(GROUPS, RIGHTS, RULES, open_menus)))
    found = diff_snapshots(old, new)
    assert found == SnapshotDiff(menus=tuple(MenuChange(n, appeared=(1,)) for n in ("__system__", "eve")))
    assert diff_snapshots(new, old).narrowed.menus[0] == MenuChange("__system__", disappeared=(1,))


def test_only_the_first_ids_are_listed(again: Open) -> None:
    """Counts are exact, lists are short."""
    with_rules = take_snapshot(again(users=USERS[1:2]))
    shut = Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", "[(0, '=', 1)]")), MENUS)
    found = diff_snapshots(with_rules, take_snapshot(again(shut, users=USERS[1:2])), max_ids=2)
    assert {(c.companies, c.lost, c.lost_ids) for c in found.records} == {
        ((1,), 3, (1, 2)),
        ((1, 2), 4, (1, 2)),
    }


def test_new_record_is_a_gain_for_who_sees_it(again: Open) -> None:
    """Data change access as well."""
    app = again(users=USERS[2:4])
    old = take_snapshot(app)
    with connect(app.database.dsn, readonly=False) as connection:
        connection.execute("INSERT INTO lead VALUES (7, 'new', 1, 3, 1, 1)")
    found = diff_snapshots(old, take_snapshot(app))
    assert {(c.login, c.gained_ids) for c in found.records} == {("bob", (7,))}
    assert {c.operation for c in found.records} == set(Operation)


def test_diff_is_ready_for_json_and_has_no_truth_value(again: Open) -> None:
    """`if diff:` would always hold; ask for `is_empty`."""
    found = diff_snapshots(take_snapshot(again()), take_snapshot(again(Policy.of(GROUPS, RIGHTS, RULES[1:]))))
    assert json.loads(json.dumps(found.as_dict()))["records"]
    with pytest.raises(TypeError, match="no truth value"):
        bool(found)


def test_policy_with_other_names_but_equal_access_is_no_difference(again: Open) -> None:
    """What counts is access, not how it is written."""
    renamed = Policy.of(GROUPS, RIGHTS, [replace(r, name="other", id=r.id + 10) for r in RULES], MENUS)
    assert renamed.version != POLICY.version
    assert diff_snapshots(take_snapshot(again()), take_snapshot(again(renamed))).is_empty
