"""Hold a policy against its database: can every rule be bound and read for everyone it is for?

A rule that cannot is an error at the moment somebody meets it, and an error denies. This finds them before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vallum.domain import Domain, evaluate_domain, root
from vallum.enforce import Application
from vallum.kernel import NO_PROGRESS, Progress, VallumError
from vallum.policy import Actor, RecordRule, User
from vallum.schema import Model

__all__ = ["BrokenRule", "Check", "check"]


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that shuts everyone out whom it is for, or those of them with the logins `users`."""

    rule: RecordRule
    error: VallumError
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What was tried: rules, active users, pairs of both; and what failed.

    `unreachable` are models with rules whose records live in code, not in a table or view: their rules
    can be bound, but nothing can be searched.
    """

    rules: int
    users: int
    bound: int
    broken: tuple[BrokenRule, ...]
    unreachable: tuple[str, ...]


def check(
    application: Application, *, users: Iterable[User] | None = None, progress: Progress = NO_PROGRESS
) -> Check:
    """Bind every rule for every user it is for (all active ones), with all the user's companies."""
    rules = [rule for rule in application.policy.rules if rule.model in application.schema]
    strays = [rule for rule in application.policy.rules if rule.model not in application.schema]
    users = [user for user in (application.directory if users is None else users) if user.active]
    lowered: dict[tuple[int, Domain], None] = {}
    failures: dict[tuple[int, str], tuple[RecordRule, VallumError, list[str]]] = {}
    bound = 0
    progress.start(len(users), "binding rules")
    for user in users:
        actor = application.actor(user.id, user.company_ids or None)
        for rule in () if actor.superuser else rules:
            if rule.is_global or not rule.groups.isdisjoint(actor.groups):
                bound += 1
                error = _failure(application, actor, rule, lowered)
                if error is not None:
                    failures.setdefault((rule.id, error.what), (rule, error, []))[2].append(user.login)
        progress.advance()
    progress.done()
    broken = [BrokenRule(rule, error, tuple(logins)) for rule, error, logins in failures.values()]
    broken += [BrokenRule(rule, _stray(rule), ()) for rule in strays]
    models = sorted({rule.model for rule in rules})
    unreachable = tuple(name for name in models if not _reachable(application.schema.model(name)))
    return Check(len(application.policy.rules), len(users), bound, tuple(broken), unreachable)


def _failure(
    application: Application, actor: Actor, rule: RecordRule, lowered: dict[tuple[int, Domain], None]
) -> VallumError | None:
    """What keeps the rule from being bound for the actor, or from being a filter, if anything does."""
    model = application.schema.model(rule.model)
    try:
        domain = evaluate_domain(rule.domain, application.access(actor).context, where=rule.source)
        key = (rule.id, domain)
        if key not in lowered and _reachable(model):
            application.lowering.lower(model, domain, application.env(None), root(model))
            lowered[key] = None
    except VallumError as error:
        return error
    return None


def _reachable(model: Model) -> bool:
    """Whether the model has a table or view."""
    return model.relation and not model.abstract


_FIX: Final = "remove the rule, or read the models it belongs to"


def _stray(rule: RecordRule) -> VallumError:
    return VallumError(f"the rule is on the model `{rule.model}`, which is not there", fix=_FIX)
