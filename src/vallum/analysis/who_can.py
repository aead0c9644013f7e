"""Who may do something: all users who may, each with the reasons.

Users with the same groups are decided about together. For a record, equal conditions are
asked of PostgreSQL once, a few hundred in one statement, so that statements grow with
the rules rather than with the users.
Invariant: an error denies: a user for whom a rule cannot be evaluated is not among the holders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from vallum.analysis.binding import Binder, BoundRule, BoundScope
from vallum.analysis.counts import count_records
from vallum.analysis.explain import field_reason
from vallum.analysis.holder import Holder, RulePass
from vallum.analysis.paths import Grant, GroupPath, Membership, memberships
from vallum.analysis.truth import exists, has_records, holds, parent_of
from vallum.domain import Filter
from vallum.enforce import Application
from vallum.enforce.attempt import as_error
from vallum.kernel import NO_PROGRESS, Operation, Progress, UnknownRecord, VallumError
from vallum.policy import Actor, Decision, RecordRule, User, actor_of, decide
from vallum.schema import Field, Model

__all__ = ["who_can"]

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A user whose access rights and field groups allow it."""

    user: User
    actor: Actor
    member: Membership
    right: Decision
    grants: tuple[Grant, ...]
    field_group: GroupPath | None


def who_can(
    application: Application,
    operation: Operation | str,
    model: str,
    *,
    record_id: int | None = None,
    field: str | None = None,
    companies: Literal["all"] | None = None,
    active_only: bool = True,
    count: bool = False,
    progress: Progress = NO_PROGRESS,
) -> tuple[Holder, ...]:
    """The users who may do this, by id.

    `companies`: None for each user's own company alone, "all" for all of the user's
    companies. `count`: how many records of the model each may touch as well; who may
    touch none is left out.

    Raises: UnknownModel, UnknownField, UnknownRecord, ConnectionFailed.
    """
    operation = Operation(operation)
    target = application.schema.model(model)
    asked = None if field is None else target.field(field)
    users = [u for u in application.directory if u.active or not active_only]
    with application.database.snapshot():
        if record_id is not None and exists(application, target, record_id) is False:
            raise UnknownRecord(f"`{model}` {record_id} does not exist")
        found = _candidates(application, operation, target, asked, users, companies)
        work = _Work(application, operation, target, [c.user.id for c in found], progress)
        holders = work.unfiltered(found) if record_id is None else work.of_record(found, record_id)
        holders = work.counted(holders) if count else holders
    progress.done()
    return tuple(h for h, _ in holders)


def _candidates(
    application: Application,
    operation: Operation,
    model: Model,
    field: Field | None,
    users: Iterable[User],
    companies: Literal["all"] | None,
) -> list[_Candidate]:
    policy = application.policy
    members: dict[tuple[frozenset[int], frozenset[int]], Membership] = {}
    grants: dict[Membership, tuple[Grant, ...]] = {}
    found: list[_Candidate] = []
    for user in users:
        actor = actor_of(user, policy, _all_companies(user) if companies == "all" else None)
        right = decide(policy, actor, operation, model.name)
        if not right.allowed:
            continue
        key = memberships(policy, application.directory, actor)
        member = members.get(key)
        if member is None:
            member = members[key] = Membership(policy, *key)
            grants[member] = member.grants(right.granting)
        access = None if field is None else field_reason(application, actor, member, field)
        if access is None or access.admitted:
            by = None if access is None else access.by
            found.append(_Candidate(user, actor, member, right, grants[member], by))
    return found


def _all_companies(user: User) -> Sequence[int]:
    """All companies of a user, the own one first: it is the current one."""
    own = () if user.company_id is None else (user.company_id,)
    return tuple(dict.fromkeys((*own, *user.company_ids)))


_Holders = list[tuple[Holder, Actor]]
_Asked = tuple[str, int, Filter]


class _Work:
    """Binds the rules of the candidates and asks PostgreSQL, batch by batch."""

    def __init__(
        self,
        application: Application,
        operation: Operation,
        model: Model,
        users: Sequence[int],
        progress: Progress,
    ) -> None:
        self._binder = Binder(application, users)
        self._application = self._binder.application
        self._operation = operation
        self._model = model
        self._progress = progress
        self._parents: dict[tuple[str, int, str], int | None] = {}
        self._truth: dict[_Asked, bool] = {}

    def unfiltered(self, candidates: Iterable[_Candidate]) -> _Holders:
        """All candidates whose rules have a meaning: no record is asked about."""
        return [(_holder(c, ()), c.actor) for c in candidates if self._sound(c.actor)]

    def _sound(self, actor: Actor) -> bool:
        """Whether the actor's rules can be bound, and searched where there is anything to search."""
        if has_records(self._model):
            return self._whole(actor) is not None
        return not any(True for _ in self._binder.scope(actor, self._model.name, self._operation).errors)

    def of_record(self, candidates: Sequence[_Candidate], record: int) -> _Holders:
        """The candidates whose rules let the record through."""
        self._progress.start(len(candidates), "users")
        found: _Holders = []
        for start in range(0, len(candidates), _BATCH):
            batch = candidates[start : start + _BATCH]
            trees = [(c, self._tree(c, record)) for c in batch]
            self._ask(asked for _, tree in trees if tree is not None for asked in tree.asked())
            for candidate, tree in trees:
                passed = None if tree is None else tree.passed(self._truth, candidate.member)
                if passed is not None:
                    found.append((_holder(candidate, passed), candidate.actor))
            self._progress.advance(len(batch))
        return found

    def _tree(self, candidate: _Candidate, record: int) -> _Tree | None:
        """The candidate's filters on the record; None where an error denies."""
        scope = self._binder.scope(candidate.actor, self._model.name, self._operation)
        if any(True for _ in scope.errors):
            return None
        try:
            return self._bound(candidate.actor, scope, record)
        except Exception as error:
            as_error(error)
            return None

    def _bound(self, actor: Actor, scope: BoundScope, record: int | None) -> _Tree:
        model = self._application.schema.model(scope.model)
        parents = []
        for via, parent in scope.parents:
            if parent.restricted:
                above = None if record is None else self._parent(model, record, via)
                parents.append(self._bound(actor, parent, above))
        return _Tree(
            record,
            tuple(self._asked(actor, model, r, record) for r in scope.global_rules),
            tuple(self._asked(actor, model, r, record) for r in scope.deciding),
            tuple(parents),
        )

    def _parent(self, model: Model, record: int, via: str) -> int | None:
        key = (model.name, record, via)
        if key not in self._parents:
            self._parents[key] = parent_of(self._application, model, record, via)
        return self._parents[key]

    def _asked(
        self, actor: Actor, model: Model, bound: BoundRule, record: int | None
    ) -> tuple[RecordRule, _Asked]:
        if bound.domain is None:
            raise bound.error or VallumError("a rule could not be bound")
        return bound.rule, (model.name, record or 0, self._binder.filter(actor, model, bound.domain))

    def _ask(self, asked: Iterable[_Asked]) -> None:
        by_record: dict[tuple[str, int], dict[Filter, None]] = {}
        for model, record, condition in asked:
            if (model, record, condition) not in self._truth:
                by_record.setdefault((model, record), {})[condition] = None
        for (model, record), conditions in by_record.items():
            filters = list(conditions)
            for condition, value in zip(filters, self._holds(model, record, filters), strict=True):
                if value is not None:
                    self._truth[model, record, condition] = value

    def _holds(self, model: str, record: int, filters: list[Filter]) -> Sequence[bool | None]:
        """All at once; where PostgreSQL refuses, by halves until the filter it refuses is alone."""
        target = self._application.schema.model(model)
        try:
            return holds(self._application, target, record, filters)
        except Exception as error:
            as_error(error)
        if len(filters) == 1:
            return [None]
        half = len(filters) // 2
        return [*self._holds(model, record, filters[:half]), *self._holds(model, record, filters[half:])]

    # counts

    def counted(self, holders: _Holders) -> _Holders:
        """The holders who have records, with their number."""
        wanted: dict[Filter, None] = {}
        filters: list[Filter | None] = []
        for _, actor in holders:
            condition = self._whole(actor)
            filters.append(condition)
            if condition is not None:
                wanted[condition] = None
        counts = count_records(self._application, self._model, list(wanted), self._progress)
        found: _Holders = []
        for (holder, actor), condition in zip(holders, filters, strict=True):
            number = None if condition is None else counts.get(condition)
            if number:
                found.append((replace(holder, count=number), actor))
        return found

    def _whole(self, actor: Actor) -> Filter | None:
        try:
            domain = self._binder.scope(actor, self._model.name, self._operation).domain
            return self._binder.filter(actor, self._model, domain)
        except Exception as error:
            as_error(error)
            return None


@dataclass(frozen=True, slots=True)
class _Tree:
    """The filters of a scope on one record, and of its parents on theirs."""

    record: int | None
    global_rules: tuple[tuple[RecordRule, _Asked], ...]
    group_rules: tuple[tuple[RecordRule, _Asked], ...]
    parents: tuple[_Tree, ...]

    def asked(self) -> list[_Asked]:
        """All filters, the parents' included."""
        own = [] if self.record is None else [a for _, a in (*self.global_rules, *self.group_rules)]
        return [*own, *(a for parent in self.parents for a in parent.asked())]

    def passed(self, truth: dict[_Asked, bool], member: Membership) -> tuple[RulePass, ...] | None:
        """The rules that let the record through; None where it does not pass."""
        rules = (*self.global_rules, *self.group_rules)
        if self.record is None or any(asked not in truth for _, asked in rules):
            return None
        passing = [(rule, member.first(rule.groups)) for rule, asked in rules if truth[asked]]
        granted = not self.group_rules or any(truth[asked] for _, asked in self.group_rules)
        if not granted or not all(truth[asked] for _, asked in self.global_rules):
            return None
        found = [RulePass(rule, path) for rule, path in passing]
        for parent in self.parents:
            above = parent.passed(truth, member)
            if above is None:
                return None
            found.extend(above)
        return tuple(found)


def _holder(candidate: _Candidate, rules: tuple[RulePass, ...]) -> Holder:
    return Holder(
        candidate.user,
        candidate.actor.companies,
        candidate.grants,
        rules,
        candidate.field_group,
        candidate.right.superuser,
    )
