"""Bind record rules for many actors: what `policy.scope` does, rule by rule and with errors kept.

Invariant: the domain of a bound scope is the one that `policy.scope` gives.
Invariant: a rule that cannot be bound makes its whole scope deny, as enforcement does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from vallum.domain import (
    TRUE,
    Condition,
    Domain,
    Env,
    Filter,
    RuleContext,
    all_of,
    any_of,
    evaluate_domain,
    root,
)
from vallum.domain.expression import names_in
from vallum.enforce import Application
from vallum.enforce.attempt import as_error
from vallum.enforce.readers import Readers
from vallum.kernel import FixedClock, Operation, VallumError
from vallum.policy import Actor, RecordRule
from vallum.schema import Model

__all__ = ["Binder", "BoundRule", "BoundScope", "SearchMethods"]

SearchMethods = Literal["superuser", "user"]

_MAX_KEPT: Final = 50_000


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A record rule bound to an actor, or the error that binding it gave."""

    rule: RecordRule
    domain: Domain | None
    error: VallumError | None = None


@dataclass(frozen=True, slots=True)
class BoundScope:
    """The rules that hold for an actor on a model, and those of its `_inherits` parents."""

    model: str
    global_rules: tuple[BoundRule, ...] = ()
    group_rules: tuple[BoundRule, ...] = ()
    parents: tuple[tuple[str, BoundScope], ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether any rule applies."""
        return bool(self.global_rules or self.group_rules or any(p.restricted for _, p in self.parents))

    @property
    def errors(self) -> Iterator[VallumError]:
        """The errors of this level and of the parents."""
        for rule in (*self.global_rules, *self.group_rules):
            if rule.error is not None:
                yield rule.error
        for _, parent in self.parents:
            yield from parent.errors

    @property
    def deciding(self) -> tuple[BoundRule, ...]:
        """The group rules that decide: where one lets every record through, the others do not matter."""
        every = tuple(r for r in self.group_rules if r.domain == TRUE)
        return every or self.group_rules

    @property
    def domain(self) -> Domain:
        """All rules in one domain.

        Raises: the error of a rule that could not be bound.
        """
        for error in self.errors:
            raise error
        parts: list[Domain] = [Condition(via, "any", p.domain) for via, p in self.parents if p.restricted]
        parts.extend(r.domain for r in self.global_rules if r.domain is not None)
        if self.group_rules:
            parts.append(any_of(r.domain for r in self.group_rules if r.domain is not None))
        return all_of(parts)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The rules that hold for members of the same groups, not yet bound."""

    model: str
    global_rules: tuple[RecordRule, ...]
    group_rules: tuple[RecordRule, ...]
    parents: tuple[tuple[str, _Shape], ...]


class Binder:
    """Binds rules and lowers domains for any number of actors, all at one moment.

    `search_methods`: whom search methods of unstored fields see as the current user. The
    superuser, as where rules are read outside a request, or the user, as in a request.
    """

    def __init__(
        self,
        application: Application,
        users: Iterable[int] = (),
        *,
        search_methods: SearchMethods = "user",
    ) -> None:
        self.application = Application(
            application.database,
            application.schema,
            application.policy,
            application.directory,
            named=application.named,
            clock=FixedClock(application.clock.now()),
        )
        self._search_methods = search_methods
        self._superuser = self.application.env(None, active_test=False)
        self._readers = Readers(self.application, users)
        self._shapes: dict[tuple[frozenset[int], str, Operation], _Shape] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._bound: dict[tuple[Any, ...], BoundRule] = {}
        self._own: dict[RecordRule, BoundRule] = {}
        self._actor: Actor | None = None
        self._context: RuleContext | None = None
        self._env = self._superuser

    def scope(self, actor: Actor, model: str, operation: Operation) -> BoundScope:
        """The rules of an operation, bound to the actor; none for the superuser."""
        if actor.superuser:
            return BoundScope(model)
        self._turn_to(actor)
        return self._bind(self._shape(actor.groups, self.application.schema.model(model), operation, ()))

    def context(self, actor: Actor) -> RuleContext:
        """The names that rules use, bound to the actor."""
        self._turn_to(actor)
        if self._context is None:
            context = self.application.context(actor)
            self._context = replace(context, reader=self._readers.reader(actor))
        return self._context

    def filter(self, actor: Actor, model: Model, domain: Domain) -> Filter:
        """A rule's domain over the root row of the model, inactive records included.

        Raises: UnknownField, UnsupportedDomain and kin.
        """
        self._turn_to(actor)
        return self.application.lowering.lower(model, domain, self._env, root(model))

    @property
    def same_for_all(self) -> bool:
        """Whether equal domains give equal filters, whoever asks."""
        return self._search_methods == "superuser"

    def _turn_to(self, actor: Actor) -> None:
        if actor is self._actor or actor == self._actor:
            return
        self._actor, self._context, self._own = actor, None, {}
        if self._search_methods == "user":
            self._env = self._eyes(actor)

    def _eyes(self, actor: Actor) -> Env:
        """The actor's eyes, unrestricted: what rules are read with."""
        env = self.application.env(replace(actor, superuser=True), active_test=False)
        return env.sudo()

    def _shape(
        self, groups: frozenset[int], model: Model, operation: Operation, path: tuple[str, ...]
    ) -> _Shape:
        key = (groups, model.name, operation)
        found = self._shapes.get(key) if not path else None
        if found is None:
            found = self._new_shape(groups, model, operation, path)
            if not path:
                self._shapes[key] = found
        return found

    def _new_shape(
        self, groups: frozenset[int], model: Model, operation: Operation, path: tuple[str, ...]
    ) -> _Shape:
        schema = self.application.schema
        rules = self.application.policy.rules_by_model.get(model.name, ())
        applying = [r for r in rules if operation in r.operations]
        parents = tuple(
            (via, self._shape(groups, schema.model(parent), operation, (*path, model.name)))
            for parent, via in model.inherits.items()
            if parent not in path and (schema.version < 19 or model.field(via).stored)
        )
        return _Shape(
            model.name,
            tuple(r for r in applying if r.is_global),
            tuple(r for r in applying if not r.groups.isdisjoint(groups)),
            parents,
        )

    def _bind(self, shape: _Shape) -> BoundScope:
        return BoundScope(
            shape.model,
            tuple(map(self._rule, shape.global_rules)),
            tuple(map(self._rule, shape.group_rules)),
            tuple((via, self._bind(parent)) for via, parent in shape.parents),
        )

    def _rule(self, rule: RecordRule) -> BoundRule:
        """The rule bound; kept for all actors whom it says the same to."""
        actor = self._actor
        names = self._names.get(rule.domain)
        if names is None:
            names = self._names[rule.domain] = names_in(rule.domain)
        if actor is None or names & {"user", "uid"}:
            found = self._own.get(rule)
            if found is None:
                found = self._own[rule] = self._new_rule(rule)
            return found
        key = (
            rule,
            actor.company if "company_id" in names else None,
            actor.companies if "company_ids" in names else None,
        )
        found = self._bound.get(key)
        if found is None:
            if len(self._bound) >= _MAX_KEPT:
                self._bound.clear()
            found = self._bound[key] = self._new_rule(rule)
        return found

    def _new_rule(self, rule: RecordRule) -> BoundRule:
        where = rule.source or f"record rule {rule.id} `{rule.name}`"
        try:
            if self._actor is None:
                raise VallumError("no actor to bind the rule to")
            return BoundRule(rule, evaluate_domain(rule.domain, self.context(self._actor), where=where))
        except Exception as error:
            return BoundRule(rule, None, as_error(error))
