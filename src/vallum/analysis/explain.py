"""Explain a verdict: which rights, groups, fields and record rules make it, and which condition fails.

For administrators: a condition that fails is shown with what the record holds, read as
superuser; `values=False` leaves that out. All statements see the data of one instant.
Records are taken as Odoo checks given ids: inactive ones count.
"""

from __future__ import annotations

from collections.abc import Iterable

from vallum.analysis.binding import Binder, BoundRule, BoundScope
from vallum.analysis.explanation import (
    Actual,
    Explanation,
    FieldReason,
    LeafReason,
    RuleReason,
    ScopeReason,
)
from vallum.analysis.inexact import inexactness
from vallum.analysis.paths import Membership, memberships
from vallum.analysis.truth import actual, blamed, exists, has_records, holds, inwards, leaves, parent_of
from vallum.domain import Domain
from vallum.enforce import Application
from vallum.enforce.attempt import as_error
from vallum.kernel import AccessDenied, Operation, VallumError
from vallum.policy import AccessRight, Actor, Policy, admits, decide, may_read_field
from vallum.schema import Field, Model

__all__ = ["explain", "field_reason", "needed_groups"]


def explain(
    application: Application,
    actor: Actor,
    operation: Operation | str,
    model: str,
    record_id: int | None = None,
    field: str | None = None,
    *,
    values: bool = True,
) -> Explanation:
    """Whether the actor may do this, and every reason.

    Without a record, record rules are listed but not evaluated. Of a user's group rules
    one that lets every record through decides alone. An error denies, and is among the
    reasons.

    Raises: UnknownModel, UnknownField, ConnectionFailed.
    """
    operation = Operation(operation)
    target = application.schema.model(model)
    asked = target.field(field) if field is not None else None
    right = decide(application.policy, actor, operation, model)
    member = Membership(application.policy, *memberships(application.policy, application.directory, actor))
    with application.database.snapshot():
        there = None if record_id is None else exists(application, target, record_id)
        access = None if asked is None else field_reason(application, actor, member, asked)
        rules = None
        if not actor.superuser:
            rules = _Explainer(application, actor, member, values).scope(target, operation, record_id, there)
    allowed = (
        right.allowed
        and there is not False
        and (access is None or access.admitted)
        and (rules is None or (not rules.errors if record_id is None else rules.passed))
    )
    return Explanation(
        allowed=allowed,
        actor=actor,
        operation=operation,
        model=model,
        record_id=record_id,
        field=field,
        right=right,
        grants=member.grants(right.granting),
        needed_groups=() if right.allowed else needed_groups(application.policy, right.would_grant),
        field_access=access,
        rules=rules,
        exists=there,
        inexact=inexactness(application.schema, target),
    )


def needed_groups(policy: Policy, rights: Iterable[AccessRight]) -> tuple[str, ...]:
    """The groups that have one of these rights."""
    return tuple(sorted({policy.groups[r.group].label for r in rights if r.group is not None}))


def field_reason(application: Application, actor: Actor, member: Membership, field: Field) -> FieldReason:
    """Whether a field is open to the actor: by its groups, and by known code of its model."""
    policy = application.policy
    if not may_read_field(policy, actor, field):
        return FieldReason(field.name, field.groups, False)
    try:
        if not actor.superuser:
            application.access(actor).check_field(field)
    except AccessDenied:
        return FieldReason(field.name, field.groups, False, shut_by_code=True)
    named = (n.strip() for n in (field.groups or "").split(","))
    letting_in = (
        policy.group_ids[n]
        for n in named
        if n in policy.group_ids and admits(n, lambda name: policy.group_ids[name] in actor.groups)
    )
    return FieldReason(field.name, field.groups, True, member.first(letting_in))


class _Explainer:
    """Evaluates the rules of one actor on one record and its `_inherits` parents."""

    def __init__(self, application: Application, actor: Actor, member: Membership, values: bool) -> None:
        self._binder = Binder(application, (actor.user_id,))
        self._application = self._binder.application
        self._actor = actor
        self._member = member
        self._values = values

    def scope(
        self, model: Model, operation: Operation, record: int | None, there: bool | None
    ) -> ScopeReason:
        """The reasons of the rules; evaluated where the record is there."""
        bound = self._binder.scope(self._actor, model.name, operation)
        return self._scope(model, bound, None if there is False else record)

    def _scope(
        self,
        model: Model,
        bound: BoundScope,
        record: int | None,
        *,
        missing: bool = False,
        error: VallumError | None = None,
    ) -> ScopeReason:
        return ScopeReason(
            model.name,
            record,
            tuple(self._rule(model, r, record) for r in bound.global_rules),
            tuple(self._rule(model, r, record, r in bound.deciding) for r in bound.group_rules),
            tuple((via, self._parent(model, via, p, record)) for via, p in bound.parents if p.restricted),
            missing,
            error,
        )

    def _parent(self, model: Model, via: str, bound: BoundScope, record: int | None) -> ScopeReason:
        """The reasons of a parent's rules, on the record that this one delegates to."""
        parent = self._application.schema.model(bound.model)
        if record is None:
            return self._scope(parent, bound, None)
        try:
            above = parent_of(self._application, model, record, via)
        except Exception as error:
            return self._scope(parent, bound, None, error=as_error(error))
        return self._scope(parent, bound, above, missing=above is None)

    def _rule(self, model: Model, bound: BoundRule, record: int | None, decides: bool = True) -> RuleReason:
        path = self._member.first(bound.rule.groups)
        if bound.domain is None:
            return RuleReason(bound.rule, "error", None, path, error=bound.error)
        try:
            if not decides or record is None:
                # Without a record a rule must still have a meaning: a search would fail by it.
                if decides and has_records(model):
                    self._binder.filter(self._actor, model, bound.domain)
                return RuleReason(bound.rule, "not evaluated", bound.domain, path)
            failing = self._failing(model, bound.domain, record)
        except Exception as error:
            return RuleReason(bound.rule, "error", bound.domain, path, error=as_error(error))
        reasons = tuple(self._leaf(model, record, leaf) for leaf in failing)
        return RuleReason(bound.rule, "failed" if reasons else "passed", bound.domain, path, reasons)

    def _failing(self, model: Model, domain: Domain, record: int) -> tuple[Domain, ...]:
        """The conditions the record does not meet; none where it passes the rule. One statement."""
        pushed = inwards(domain)
        parts = list(dict.fromkeys(leaves(pushed)))
        filters = [self._binder.filter(self._actor, model, part) for part in (domain, *parts)]
        passed, *truths = holds(self._application, model, record, filters)
        return () if passed else blamed(pushed, dict(zip(parts, truths, strict=True)))

    def _leaf(self, model: Model, record: int, leaf: Domain) -> LeafReason:
        if not self._values:
            return LeafReason(leaf)
        reader = self._binder.context(self._actor).reader
        return LeafReason(leaf, Actual(actual(self._application, reader, model, record, leaf)))
