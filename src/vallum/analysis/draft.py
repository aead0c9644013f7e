"""A change of the policy before it is made: who would gain and lose which records of a model.

The draft is a policy in memory; nothing is written. Both policies are asked about the data of one instant,
and users whose conditions are the same are asked about once.
Invariant: a rule that cannot be read denies, in the draft as in what it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from vallum.analysis.binding import Binder
from vallum.analysis.truth import has_records
from vallum.analysis.verdict import Finding
from vallum.domain import Filter, root
from vallum.domain.filter import Plain, Ref
from vallum.domain.sql import Scope
from vallum.enforce import Application
from vallum.enforce.attempt import as_error, attempt
from vallum.enforce.statement import compiled
from vallum.kernel import NO_PROGRESS, Operation, Progress, VallumError
from vallum.policy import AccessRight, Group, Policy, RecordRule, User, actor_of, decide
from vallum.schema import Model

__all__ = ["Change", "Draft", "Failure", "compare", "with_group", "with_right", "with_rule", "without"]

_SAMPLES: Final = 6


@dataclass(frozen=True, slots=True)
class Change(Finding):
    """What a draft changes for some users. `gained`, `lost`: records, with the ids of the first of them."""

    users: tuple[User, ...]
    before: int
    after: int
    gained: int
    lost: int
    gained_ids: tuple[int, ...] = ()
    lost_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure(Finding):
    """A rule of the draft that cannot be read for somebody, and so shuts them out."""

    error: VallumError
    users: tuple[User, ...]


@dataclass(frozen=True, slots=True)
class Draft(Finding):
    """The changes of a draft; users for whom nothing changes are counted only."""

    changes: tuple[Change, ...]
    failures: tuple[Failure, ...]
    same: int


def with_rule(policy: Policy, rule: RecordRule) -> Policy:
    """The policy with this rule, in the place of the one with its id.

    Raises: MissingReference (a group there is not), MalformedPolicy.
    """
    rules = [old for old in policy.rules if old.id != rule.id]
    return Policy.of(policy.groups.values(), policy.rights, [*rules, rule], policy.menus, source="draft")


def with_right(policy: Policy, right: AccessRight) -> Policy:
    """The policy with this access right, in the place of the one with its id.

    Raises: MissingReference.
    """
    rights = [old for old in policy.rights if old.id != right.id]
    return Policy.of(policy.groups.values(), [*rights, right], policy.rules, policy.menus, source="draft")


def with_group(policy: Policy, group: Group) -> Policy:
    """The policy with this group, in the place of the one with its id.

    Raises: MissingReference, CyclicHierarchy (it implies itself).
    """
    groups = {**policy.groups, group.id: group}
    return Policy.of(groups.values(), policy.rights, policy.rules, policy.menus, source="draft")


def without(policy: Policy, kind: str, number: int) -> Policy:
    """The policy without the access right (`right`) or record rule (`rule`) of that id."""
    rights = [old for old in policy.rights if kind != "right" or old.id != number]
    rules = [old for old in policy.rules if kind != "rule" or old.id != number]
    return Policy.of(policy.groups.values(), rights, rules, policy.menus, source="draft")


def compare(
    application: Application,
    draft: Policy,
    model: Model,
    operation: Operation,
    users: Sequence[User],
    *,
    progress: Progress = NO_PROGRESS,
) -> Draft:
    """Who gains and loses which records of the model for an operation, each with their own company.

    Raises: UnsupportedDomain (records of the model live in code), ConnectionFailed.
    """
    if not has_records(model):
        raise VallumError(
            f"records of `{model.name}` live in code, not in a table", fix="choose another model"
        )
    other = Application(
        application.database,
        application.schema,
        draft,
        application.directory,
        named=application.named,
        clock=application.clock,
    )
    with application.database.snapshot():
        work = _Work(application, other, model, operation, users)
        return work.compared(progress)


class _Work:
    def __init__(
        self,
        application: Application,
        other: Application,
        model: Model,
        operation: Operation,
        users: Sequence[User],
    ) -> None:
        ids = [user.id for user in users]
        self._binders = (Binder(application, ids), Binder(other, ids))
        self._application, self._model, self._operation, self._users = application, model, operation, users
        self._failures: dict[str, tuple[VallumError, list[User]]] = {}

    def compared(self, progress: Progress) -> Draft:
        progress.start(len(self._users), "users")
        pairs: dict[tuple[Filter | None, Filter | None], list[User]] = {}
        for user in self._users:
            pair = self._filter(0, user), self._filter(1, user)
            pairs.setdefault(pair, []).append(user)
            progress.advance()
        differing = {pair: users for pair, users in pairs.items() if pair[0] != pair[1]}
        progress.start(len(differing), "comparing records")
        changes = []
        for (before, after), users in differing.items():
            change = self._change(before, after, users)
            if change.gained or change.lost:
                changes.append(change)
            progress.advance()
        progress.done()
        moved = sum(len(change.users) for change in changes)
        failures = tuple(Failure(error, tuple(users)) for error, users in self._failures.values())
        changes.sort(key=lambda c: (-(c.gained + c.lost) * len(c.users), c.users[0].id))
        return Draft(tuple(changes), failures, len(self._users) - moved)

    def _filter(self, which: int, user: User) -> Filter | None:
        """What a user may touch; None for nothing."""
        binder = self._binders[which]
        actor = actor_of(user, binder.application.policy)
        if not decide(binder.application.policy, actor, self._operation, self._model.name).allowed:
            return None
        try:
            domain = binder.scope(actor, self._model.name, self._operation).domain
            return binder.filter(actor, self._model, domain)
        except Exception as error:
            found = as_error(error)
            if which == 1:
                self._failures.setdefault(found.what, (found, []))[1].append(user)
            return None

    def _change(self, before: Filter | None, after: Filter | None, users: Iterable[User]) -> Change:
        scope = Scope(root(self._model))
        old = sa.false() if before is None else scope.where(before)
        new = sa.false() if after is None else scope.where(after)
        gained = sa.and_(new.is_(True), old.is_not(True))
        lost = sa.and_(old.is_(True), new.is_not(True))
        own = scope.ref(Ref(scope.root, "id", Plain("int4")))
        count = sa.func.count
        numbers = [count().filter(part) for part in (old, new, gained, lost)]
        row = self._rows(sa.select(*numbers).select_from(scope.from_clause()))[0]
        change = Change(tuple(users), *row)
        return replace(
            change,
            gained_ids=self._some(scope, own, gained) if change.gained else (),
            lost_ids=self._some(scope, own, lost) if change.lost else (),
        )

    def _some(self, scope: Scope, own: Any, condition: Any) -> tuple[int, ...]:
        statement = sa.select(own).select_from(scope.from_clause()).where(condition).order_by(own)
        return tuple(row[0] for row in self._rows(statement.limit(_SAMPLES)))

    def _rows(self, statement: Any) -> list[Any]:
        with attempt(self._application.database):
            return list(self._application.database.rows(*compiled(statement)))
