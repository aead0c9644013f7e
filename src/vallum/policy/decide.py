"""Decide: access rights, record rules and field groups for one actor.

Pure: records that rules mention are read through the context's reader.
Invariant: an error while a rule is bound is raised, and whoever asked denies.
Source: Odoo's combination of rights and rules, docs/design/policy.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Final

from vallum.domain.ast import TRUE, Condition, Domain, all_of, any_of
from vallum.domain.expression import evaluate_domain
from vallum.domain.records import RuleContext
from vallum.kernel import Operation
from vallum.policy.decision import AppliedRule, Decision, Scope
from vallum.policy.groups import admits
from vallum.policy.model import Actor, Policy, RecordRule
from vallum.schema import Field, Model, Schema

MAX_DECISIONS: Final = 100_000

__all__ = ["admitted", "decide", "fields", "may_read_field", "scope"]


def decide(policy: Policy, actor: Actor, operation: Operation, model: str) -> Decision:
    """Whether an access right grants the operation: one of the actor's groups, or of everyone's.

    A model without rights is shut; rights add up over groups.
    """
    if actor.superuser:
        return Decision(True, operation, model, superuser=True)
    return _decisions(policy)(actor.groups, operation, model)


def _decide(policy: Policy, groups: frozenset[int], operation: Operation, model: str) -> Decision:
    rights = [r for r in policy.rights_by_model.get(model, ()) if operation in r.operations]
    granting = tuple(r for r in rights if r.group is None or r.group in groups)
    others = tuple(r for r in rights if r not in granting)
    return Decision(bool(granting), operation, model, granting, others)


@lru_cache(maxsize=16)
def _decisions(policy: Policy) -> Callable[[frozenset[int], Operation, str], Decision]:
    """Decisions of a policy, each made once for all actors of the same groups."""
    return lru_cache(maxsize=MAX_DECISIONS)(partial(_decide, policy))


def scope(
    policy: Policy,
    schema: Schema,
    actor: Actor,
    operation: Operation,
    model: str,
    context: RuleContext,
) -> Scope:
    """The records of a model that the actor's record rules leave for an operation.

    Global rules all hold; of the rules of the actor's groups one does, where there is
    any; the rules of `_inherits` parents hold for the parent record. Access rights are
    not part of it.
    Raises: UnknownModel, ForbiddenExpression, MalformedDomain, UnknownOperator.
    """
    if actor.superuser:
        return Scope(model, operation, TRUE, False, superuser=True)
    return _scope(policy, schema, actor, operation, schema.model(model), context, ())


def _scope(
    policy: Policy,
    schema: Schema,
    actor: Actor,
    operation: Operation,
    model: Model,
    context: RuleContext,
    path: tuple[str, ...],
) -> Scope:
    parents = tuple(
        (via, _scope(policy, schema, actor, operation, schema.model(parent), context, (*path, model.name)))
        for parent, via in model.inherits.items()
        if parent not in path and (schema.version < 19 or model.field(via).stored)
    )
    rules = [r for r in policy.rules_by_model.get(model.name, ()) if operation in r.operations]
    global_rules = tuple(_bound(r, context) for r in rules if r.is_global)
    group_rules = tuple(_bound(r, context) for r in rules if not r.groups.isdisjoint(actor.groups))
    parts: list[Domain] = [
        Condition(via, "any", parent.domain) for via, parent in parents if parent.restricted
    ]
    parts.extend(r.domain for r in global_rules)
    if group_rules:
        parts.append(any_of(r.domain for r in group_rules))
    return Scope(
        model.name,
        operation,
        all_of(parts),
        bool(parts),
        global_rules,
        group_rules,
        parents,
    )


def _bound(rule: RecordRule, context: RuleContext) -> AppliedRule:
    where = rule.source or f"record rule {rule.id} `{rule.name}`"
    return AppliedRule(rule, evaluate_domain(rule.domain, context, where=where))


def may_read_field(policy: Policy, actor: Actor, field: Field, *, debug: bool = False) -> bool:
    """Whether the field's groups let the actor in."""
    return actor.superuser or admitted(policy, actor, field, debug=debug)


def admitted(policy: Policy, actor: Actor, field: Field, *, debug: bool = False) -> bool:
    """Whether the field's groups let the actor in, superuser or not."""
    if not field.groups:
        return True
    ids = policy.group_ids
    return admits(field.groups, lambda name: ids.get(name) in actor.groups, debug=debug)


def fields(policy: Policy, actor: Actor, model: Model, *, debug: bool = False) -> Mapping[str, Field]:
    """The fields of a model that are open to the actor."""
    return {n: f for n, f in model.fields.items() if may_read_field(policy, actor, f, debug=debug)}
