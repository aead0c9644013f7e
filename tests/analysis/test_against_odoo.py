"""Analysis against Odoo's own answers: snapshots equal them, verdicts agree with them.

The answers were computed outside a user's request: search methods that look at the current
user saw the superuser. Explanations are what enforcement applies, where they see the user;
changing the members of channels is the one place where that differs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.application import opened
from tests.support.odoo import OdooReference
from vallum.analysis import Snapshot, diff_snapshots, explain, read_snapshot, take_snapshot, who_can
from vallum.analysis.binding import Binder
from vallum.analysis.format import UserVisible
from vallum.kernel import Operation
from vallum.policy import scope

pytestmark = [pytest.mark.odoo, pytest.mark.slow]

SCOPES = {18: 20_900, 19: 16_900}
SEES_THE_USER = {("discuss.channel.member", o) for o in (Operation.WRITE, Operation.CREATE, Operation.UNLINK)}


@cache
def taken(reference: OdooReference) -> Snapshot:
    return take_snapshot(opened(reference))


@cache
def answers(reference: OdooReference) -> Snapshot:
    """Odoo's own answers, which are in the format of snapshots."""
    return read_snapshot(reference.folder / "access.json.gz")


def sets(snapshot: Snapshot, entry: UserVisible) -> dict[tuple[str, Operation], tuple[int, ...] | None]:
    found: dict[tuple[str, Operation], tuple[int, ...] | None] = {}
    for model, indexes in entry.rules.items():
        for operation in Operation:
            index = indexes.of(operation)
            found[model, operation] = None if index is None else tuple(snapshot.idsets[index])
    return found


def test_snapshot_equals_odoos_answers(odoo: OdooReference) -> None:
    """Users, models, rights, fields and menus: the same."""
    ours, theirs = taken(odoo), answers(odoo)
    known = {u.id for u in theirs.users}
    assert len(known) >= 27
    assert tuple(u for u in ours.users if u.id in known) == theirs.users
    assert tuple(a for a in ours.access if a.user in known) == theirs.access
    assert [(f.user, f.denied) for f in ours.fields if f.user in known] == [
        (f.user, f.denied) for f in theirs.fields
    ]
    assert tuple(m for m in ours.menus if m.user in known) == theirs.menus
    assert (ours.odoo, ours.models.keys(), ours.errors) == (theirs.odoo, theirs.models.keys(), ())
    for name, model in theirs.models.items():
        mine = ours.models[name]
        assert (mine.table, mine.relkind, mine.inherits) == (model.table, model.relkind, model.inherits)
        assert (mine.all is None) == (model.all is None)
        if mine.all is not None and model.all is not None:
            assert ours.idsets[mine.all] == theirs.idsets[model.all]


def test_every_scope_equals_odoos(odoo: OdooReference) -> None:
    """Per user, companies, model and operation: the same records, the same models restricted."""
    ours, theirs = taken(odoo), answers(odoo)
    known = {u.id for u in theirs.users}
    mine = [v for v in ours.visible if v.user in known]
    compared = 0
    assert len(mine) == len(theirs.visible)
    for entry, expected in zip(mine, theirs.visible, strict=True):
        assert (entry.user, entry.companies, entry.company_id) == (
            expected.user, expected.companies, expected.company_id,
        )  # fmt: skip
        wanted = sets(theirs, expected)
        assert sets(ours, entry) == wanted
        compared += len(wanted)
    assert compared > SCOPES[odoo.version]


def test_fields_that_code_decides_about_equal_odoos(odoo19: OdooReference) -> None:
    """Odoo 19 tells them."""
    theirs = {f.user: f.by_code for f in answers(odoo19).fields}
    ours = {f.user: f.by_code for f in taken(odoo19).fields if f.user in theirs}
    assert ours == theirs
    assert sum(map(len, theirs.values())) > 20


def test_diff_against_odoos_answers_is_empty_but_for_users_left_out(odoo: OdooReference) -> None:
    """A diff compares by content: files made by two programs."""
    found = diff_snapshots(answers(odoo), taken(odoo))
    added = {u.login for u in taken(odoo).users} - {u.login for u in answers(odoo).users}
    assert set(found.users_added) == added
    assert not any((found.users_removed, found.users, found.access, found.fields, found.menus, found.records))


def cases(reference: OdooReference, number: int) -> Iterator[tuple[UserVisible, str, Operation, int, bool]]:
    """A fixed sample of (user, companies), model, operation and record, half of them refused."""
    theirs = answers(reference)
    rights = {a.user: a.models for a in theirs.access}
    chosen = random.Random(reference.version)  # noqa: S311 -- the same sample every time
    models = sorted(n for n, m in theirs.models.items() if m.all is not None and theirs.idsets[m.all])
    left = {True: number // 2, False: number // 2}
    while any(left.values()):
        entry, model = chosen.choice(theirs.visible), chosen.choice(models)
        operation = chosen.choice(list(Operation))
        index = theirs.models[model].all
        if index is None or (model, operation) in SEES_THE_USER:
            continue
        record = chosen.choice(theirs.idsets[index])
        found = entry.rules.get(model)
        where = None if found is None else found.of(operation)
        allowed = operation.letter in rights[entry.user].get(model, "") and (
            where is None or record in theirs.idsets[where]
        )
        if left[allowed]:
            left[allowed] -= 1
            yield entry, model, operation, record, allowed


def test_explanations_agree_with_odoo(odoo: OdooReference) -> None:
    """For records that are allowed and refused; every refusal names what failed."""
    application = opened(odoo)
    by_rule = 0
    for entry, model, operation, record, allowed in cases(odoo, 600):
        found = explain(application, application.actor(entry.user, entry.companies), operation, model, record)
        assert found.allowed == allowed, (entry.user, entry.companies, model, operation, record)
        assert found.exists
        assert found.reasons()
        if allowed:
            assert found.right.superuser or found.grants
        elif found.right.allowed:
            by_rule += 1
            assert found.rules is not None
            assert any("record rule" in text or "missing" in text for text in found.rules.failures())
        else:
            assert "no access right" in found.reasons()[0]
    assert by_rule > 50


def test_every_failed_rule_names_a_condition(odoo: OdooReference) -> None:
    """No rule fails without saying by what."""
    application = opened(odoo)
    failed = 0
    for entry, model, operation, record, _ in cases(odoo, 300):
        found = explain(application, application.actor(entry.user, entry.companies), operation, model, record)
        scopes = [] if found.rules is None else [found.rules]
        while scopes:
            current = scopes.pop()
            scopes.extend(parent for _, parent in current.parents)
            for rule in (*current.global_rules, *current.group_rules):
                assert rule.status in ("passed", "failed", "not evaluated")
                assert (rule.status == "failed") == bool(rule.failing)
                failed += rule.status == "failed"
    assert failed > 50


def test_who_can_is_the_snapshot_inverted(odoo: OdooReference) -> None:
    """All who may, nobody else."""
    application, theirs = opened(odoo), answers(odoo)
    known = {u.id for u in theirs.users}
    rights = {a.user: a.models for a in theirs.access}
    own = {v.user: v for v in reversed(theirs.visible)}
    every = {v.user: v for v in theirs.visible}
    holders = 0
    for _, model, operation, record, _ in cases(odoo, 150):
        for companies, entries in ((None, own), ("all", every)):
            expected = set()
            for user, entry in entries.items():
                found = entry.rules.get(model)
                index = None if found is None else found.of(operation)
                if operation.letter in rights[user].get(model, "") and (
                    index is None or record in theirs.idsets[index]
                ):
                    expected.add(user)
            ours = who_can(
                application,
                operation,
                model,
                record_id=record,
                companies="all" if companies else None,
                active_only=False,
            )
            assert {h.user.id for h in ours} & known == expected
            holders += len(expected)
    assert holders > 1_000


def test_bound_scopes_are_those_of_the_policy(odoo: OdooReference) -> None:
    """Analysis and enforcement bind the same domains, rule by rule or at once."""
    application = opened(odoo)
    users = [u.id for u in application.directory if u.id != 1][::4]
    binder = Binder(application, users)
    models = sorted({r.model for r in application.policy.rules} & application.schema.models.keys())
    compared = 0
    for user in users:
        actor = application.actor(user)
        context = binder.context(actor)
        for model in models:
            for operation in Operation:
                expected = scope(application.policy, application.schema, actor, operation, model, context)
                found = binder.scope(actor, model, operation)
                assert (found.domain, found.restricted) == (expected.domain, expected.restricted)
                compared += 1
    assert compared > 2_000


def test_snapshot_resumes_to_the_same_snapshot(odoo: OdooReference, tmp_path: Path) -> None:
    """On a real database as well."""
    from tests.analysis.test_snapshot import Interrupted, Plug

    journal = tmp_path / "journal"
    with pytest.raises(Interrupted):
        take_snapshot(opened(odoo), resume=journal, progress=Plug(13))
    assert take_snapshot(opened(odoo), resume=journal) == taken(odoo)
