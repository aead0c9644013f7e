"""What holds for every policy: over random policies, schemas and rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.domain.worlds import COMPANY, LANG, MODELS, World, domains, schema_of, worlds
from vallum.domain import TRUE, Env, RuleContext, lowering_for, odoo_named
from vallum.domain.filter import Filter
from vallum.domain.predicate import MemoryStore, filter_ids
from vallum.kernel import AccessDenied, CyclicHierarchy, Operation, UnsupportedDomain, VallumError
from vallum.policy import AccessRight, Actor, ActorAccess, Group, Policy, RecordRule, decide, scope

NOW = datetime.fromisoformat("2024-01-01 12:00:00")
READ = Operation.READ
GROUPS = (1, 2, 3, 4)

theorem = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Nothing:
    """A reader without records: the rules here mention none."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema

    def read(self, model: str, ids: Any, field: str) -> Any:
        """There is nothing to read."""
        raise AssertionError(f"{model}.{field} is read")


class Case:
    """A policy over a world, seen by actors."""

    def __init__(self, world: World, version: int, policy: Policy) -> None:
        self.world, self.policy = world, policy
        self.schema = schema_of(world.facts, version)
        self.store = MemoryStore(world.tables, world.links)
        self.lowering = lowering_for(version)

    def with_policy(self, policy: Policy) -> Case:
        """The same world under another policy."""
        return Case(self.world, self.schema.version, policy)

    def with_rules(self, *rules: RecordRule) -> Case:
        """The same world under the same policy but for its rules."""
        policy = self.policy
        return self.with_policy(Policy.of(policy.groups.values(), policy.rights, rules))

    def actor(self, groups: frozenset[int]) -> Actor:
        """An actor of these groups and all they imply."""
        return Actor(user_id=2, login="marie", groups=self.policy.close(groups), companies=(COMPANY,))

    def context(self, actor: Actor) -> RuleContext:
        """What rules may name."""
        return RuleContext(
            Nothing(self.schema), actor.user_id, COMPANY, actor.companies, (COMPANY,), lambda: NOW
        )

    def env(self, actor: Actor | None) -> Env:
        """The actor's eyes; the superuser's where None."""
        access = None
        if actor is not None:
            named, context = odoo_named(), self.context(actor)
            access = ActorAccess(self.policy, self.schema, actor, context, self.lowering, named)
        return Env(
            schema=self.schema,
            named=odoo_named(),
            now=NOW,
            company=COMPANY,
            companies=(COMPANY,),
            lang=LANG,
            active_test=False,
            access=access,
        )

    def in_scope(self, actor: Actor, model: str) -> frozenset[int]:
        """The records that the actor's rules leave, access rights aside."""
        access = self.env(actor).access
        assert access is not None
        return self._ids(model, access.rules(self.schema.model(model), self.env(None)))

    def found(self, actor: Actor, model: str) -> frozenset[int]:
        """The records a search of everything finds: none where the right is missing."""
        target = self.schema.model(model)
        try:
            return self._ids(model, self.lowering.search(target, TRUE, self.env(actor)))
        except AccessDenied:
            return frozenset()

    def all(self, model: str) -> frozenset[int]:
        """All records."""
        return frozenset(self.world.tables[model])

    def _ids(self, model: str, where: Filter) -> frozenset[int]:
        try:
            return frozenset(filter_ids(self.schema.model(model), where, self.store))
        except UnsupportedDomain:
            assume(False)  # the order of texts is the database's
            raise


@st.composite
def cases(draw: st.DrawFn, model: str | None = None, rules: int = 4) -> tuple[Case, str]:
    """A world with a policy over it, and the model it is about."""
    world, version = draw(worlds()), draw(st.sampled_from((18, 19)))
    about = model or draw(st.sampled_from(MODELS))
    groups = [
        Group(id=g, name=f"Group {g}", xml_id=f"test.group_{g}", implied=draw(_subset(GROUPS[g:])))
        for g in GROUPS
    ]
    rights = [
        AccessRight(id=i, name=f"right {i}", model=about, group=group, operations=frozenset({READ}))
        for i, group in enumerate(draw(st.lists(st.sampled_from((*GROUPS, None)), max_size=3)), 1)
    ]
    ruled = [draw(rule(world, version, about, 10 * i)) for i in range(1, draw(st.integers(0, rules)) + 1)]
    return Case(world, version, Policy.of(groups, rights, ruled)), about


@st.composite
def rule(draw: st.DrawFn, world: World, version: int, model: str, own: int, groups: Any = None) -> RecordRule:
    """A rule with a random domain."""
    domain = draw(domains(schema_of(world.facts, version), model, 1))
    return RecordRule(
        id=own,
        name=f"rule {own}",
        model=model,
        domain=repr(domain),
        groups=draw(_subset(GROUPS)) if groups is None else frozenset(groups),
        operations=draw(st.sampled_from((frozenset({READ}), frozenset(Operation)))),
    )


def _subset(values: tuple[int, ...]) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.sampled_from(values)) if values else st.just(frozenset())


MEMBERSHIPS = _subset(GROUPS)

# rights


@theorem
@given(case=cases(rules=0), groups=MEMBERSHIPS, joined=st.sampled_from(GROUPS))
def test_adding_a_group_never_narrows_access_rights(
    case: tuple[Case, str], groups: frozenset[int], joined: int
) -> None:
    """Rights add up. (Rules may narrow: a group can bring the first rule that applies.)"""
    world, model = case
    fewer, more = world.actor(groups), world.actor(groups | {joined})
    for operation in Operation:
        if decide(world.policy, fewer, operation, model).allowed:
            assert decide(world.policy, more, operation, model).allowed
    assert world.found(fewer, model) <= world.found(more, model)


@theorem
@given(case=cases(), groups=MEMBERSHIPS)
def test_a_missing_right_denies(case: tuple[Case, str], groups: frozenset[int]) -> None:
    """Whatever the rules say."""
    world, model = case
    actor = world.actor(groups)
    decision = decide(world.policy, actor, READ, model)
    granted = {r.group for r in world.policy.rights}
    assert decision.allowed == (None in granted or not granted.isdisjoint(actor.groups))
    if not decision.allowed:
        with pytest.raises(AccessDenied):
            world.lowering.search(world.schema.model(model), TRUE, world.env(actor))


# rules


@theorem
@given(case=cases(rules=0), groups=MEMBERSHIPS)
def test_no_rule_allows(case: tuple[Case, str], groups: frozenset[int]) -> None:
    """A model without rules is open to whoever has the right."""
    world, model = case
    assert world.in_scope(world.actor(groups), model) == world.all(model)


@theorem
@given(case=cases(), groups=MEMBERSHIPS, data=st.data())
def test_rules_of_other_groups_change_nothing(
    case: tuple[Case, str], groups: frozenset[int], data: st.DataObject
) -> None:
    """A rule concerns the members of its groups only."""
    world, model = case
    actor = world.actor(groups)
    assume(len(actor.groups) < len(GROUPS))
    others = set(GROUPS) - actor.groups
    foreign = data.draw(rule(world.world, world.schema.version, model, 99, others))
    assert world.with_rules(*world.policy.rules, foreign).in_scope(actor, model) == world.in_scope(
        actor, model
    )


@theorem
@given(case=cases(), groups=MEMBERSHIPS, data=st.data())
def test_adding_a_global_rule_never_widens(
    case: tuple[Case, str], groups: frozenset[int], data: st.DataObject
) -> None:
    """Global rules restrict, and what they leave out no group rule brings back."""
    world, model = case
    actor = world.actor(groups)
    added = data.draw(rule(world.world, world.schema.version, model, 99, ()))
    narrowed = world.with_rules(*world.policy.rules, added).in_scope(actor, model)
    assert narrowed <= world.in_scope(actor, model)


@theorem
@given(case=cases(), groups=MEMBERSHIPS)
def test_a_global_rule_trumps_a_group_rule(case: tuple[Case, str], groups: frozenset[int]) -> None:
    """What any global rule leaves out is out of scope."""
    world, model = case
    actor = world.actor(groups)
    seen = world.in_scope(actor, model)
    for one in world.policy.rules:
        if one.is_global and READ in one.operations:
            assert seen <= world.with_rules(one).in_scope(actor, model)


@theorem
@given(case=cases(), groups=MEMBERSHIPS, data=st.data())
def test_rule_order_is_irrelevant(
    case: tuple[Case, str], groups: frozenset[int], data: st.DataObject
) -> None:
    """Neither the ids of rules nor their place in a file matters."""
    world, model = case
    order = data.draw(st.permutations(world.policy.rules))
    renumbered = [replace(one, id=i) for i, one in enumerate(order, 1)]
    actor = world.actor(groups)
    assert world.with_rules(*renumbered).in_scope(actor, model) == world.in_scope(actor, model)


BROKEN = (
    "[('nowhere', '=', 1)]",
    "[('id', '~', 1)]",
    "[('id', '=', unknown)]",
    "[('id', '=', user.__class__)]",
    "[('id', '=', 1 / 0)]",
    "['|', ('id', '=', 1)]",
    "[('id', '=', 1)",
    "3",
)
UNREAD = BROKEN[:2]


@theorem
@given(
    case=cases(),
    groups=MEMBERSHIPS,
    text=st.sampled_from(BROKEN),
    owners=MEMBERSHIPS,
    own=st.sampled_from((0, 99)).filter(lambda n: n % 10),
)
def test_an_error_in_a_rule_denies(
    case: tuple[Case, str], groups: frozenset[int], text: str, owners: frozenset[int], own: int
) -> None:
    """A rule that cannot be read is never skipped, wherever it stands among the others.

    Odoo looks at a condition last: where another rule has settled the question it is not read.
    """
    world, model = case
    broken = RecordRule(
        id=own, name="broken", model=model, domain=text, groups=owners, operations=frozenset({READ})
    )
    spoilt = world.with_rules(*world.policy.rules, broken)
    actor = spoilt.actor(groups)
    if owners and owners.isdisjoint(actor.groups):
        assert spoilt.in_scope(actor, model) == world.in_scope(actor, model)
        return
    try:
        found = spoilt.in_scope(actor, model)
    except VallumError:
        return
    assert text in UNREAD
    # Settled by a global rule for nobody, or by a group's rule for everybody.
    everybody = world.with_rules(*(r for r in world.policy.rules if r.is_global)).in_scope(actor, model)
    assert not found or (owners and found == everybody)


@theorem
@given(case=cases("leaf"), groups=MEMBERSHIPS, data=st.data())
def test_an_inherited_parents_rule_holds_for_the_child(
    case: tuple[Case, str], groups: frozenset[int], data: st.DataObject
) -> None:
    """A record is in scope where its own rules and those of the record it inherits from let it through."""
    world, _ = case
    actor = world.actor(groups)
    own = data.draw(rule(world.world, world.schema.version, "twig", 99))
    through_parent = {
        i for i, row in world.world.tables["twig"].items() if row["leaf_id"] in world.in_scope(actor, "leaf")
    }
    assert world.in_scope(actor, "twig") == through_parent
    both = world.with_rules(*world.policy.rules, own).in_scope(actor, "twig")
    assert both == through_parent & world.with_rules(own).in_scope(actor, "twig")


# actors and groups


@theorem
@given(case=cases(), groups=MEMBERSHIPS)
def test_superuser_sees_all(case: tuple[Case, str], groups: frozenset[int]) -> None:
    """No right is asked for and no rule applies."""
    world, model = case
    superuser = replace(world.actor(groups), superuser=True)
    assert all(decide(world.policy, superuser, operation, model).allowed for operation in Operation)
    bound = scope(world.policy, world.schema, superuser, READ, model, world.context(superuser))
    assert not bound.restricted
    assert bound.domain == TRUE
    assert world.found(superuser, model) == world.all(model)


@theorem
@given(case=cases(), groups=MEMBERSHIPS, numbers=st.permutations(range(1, 9)), known=MEMBERSHIPS)
def test_renumbering_groups_changes_nothing(
    case: tuple[Case, str], groups: frozenset[int], numbers: list[int], known: frozenset[int]
) -> None:
    """A policy from files means the same under the ids a database gave its groups."""
    world, model = case
    ids = {f"test.group_{g}": numbers[g] for g in known}
    renumbered = world.policy.with_group_ids(ids)
    assert {name: renumbered.group_ids[name] for name in ids} == ids
    same = world.with_policy(renumbered)
    moved = frozenset(renumbered.group_ids[f"test.group_{g}"] for g in groups)
    before, after = world.actor(groups), same.actor(moved)
    assert same.in_scope(after, model) == world.in_scope(before, model)
    assert same.found(after, model) == world.found(before, model)


@theorem
@given(case=cases(rules=0), groups=MEMBERSHIPS, others=MEMBERSHIPS)
def test_group_closure_is_a_closure(
    case: tuple[Case, str], groups: frozenset[int], others: frozenset[int]
) -> None:
    """It contains the groups, grows with them, and closing twice adds nothing."""
    policy = case[0].policy
    closed = policy.close(groups)
    assert groups <= closed
    assert policy.close(closed) == closed
    assert closed <= policy.close(groups | others)
    assert all(policy.groups[g].implied <= closed for g in closed)


@theorem
@given(
    circle=st.lists(st.integers(1, 50), min_size=1, max_size=20, unique=True),
    beside=st.dictionaries(st.integers(51, 60), st.frozensets(st.integers(1, 50), max_size=3), max_size=5),
)
def test_groups_in_a_circle_are_refused(circle: list[int], beside: dict[int, frozenset[int]]) -> None:
    """However long the circle, and whatever hangs on it."""
    implied: dict[int, frozenset[int]] = dict.fromkeys(range(1, 51), frozenset())
    implied |= beside
    for current, following in zip(circle, circle[1:] + circle[:1], strict=True):
        implied[current] = frozenset({following})
    with pytest.raises(CyclicHierarchy) as caught:
        Policy.of(Group(id=g, name=f"Group {g}", implied=others) for g, others in implied.items())
    assert f"Group {circle[0]}" in caught.value.what
