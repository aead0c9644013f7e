"""Users by models: what access rights grant, whether record rules decide, and how many records that leaves.

Cells of users with the same groups are computed once, so that a window of the matrix costs the same among
ten users as among ten thousand. Counts are asked of PostgreSQL, each distinct condition once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from vallum.analysis.binding import Binder
from vallum.analysis.counts import count_records
from vallum.analysis.truth import has_records
from vallum.analysis.verdict import Finding
from vallum.enforce.attempt import as_error
from vallum.kernel import NO_PROGRESS, Operation, Progress
from vallum.policy import Actor, Policy, User, actor_of, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.domain import Filter
    from vallum.enforce import Application
    from vallum.schema import Model, Schema

__all__ = ["DECIDING_MODELS", "Cell", "cell", "count_cells", "may_escalate", "readable_models"]

# Who may write one of these decides what others, or they themselves, may see.
DECIDING_MODELS: Final = (
    "ir.model.access",
    "ir.rule",
    "res.groups",
    "res.users",
    "ir.actions.server",
    "base.automation",
    "ir.cron",
    "ir.model.fields",
)
_EVERYTHING: Final = re.compile(r"\[\s*(?:\(\s*1\s*,\s*'='\s*,\s*1\s*\)\s*,?)?\s*\]")


@dataclass(frozen=True, slots=True)
class Cell(Finding):
    """What a user may do with a model. `operations`: letters of `rwcu`; `ruled`: rules decide."""

    operations: str
    ruled: bool
    superuser: bool = False


def cell(application: Application, actor: Actor, model: Model) -> Cell:
    """The cell of an actor and a model. Decided from rights and the text of rules: nothing is bound."""
    if actor.superuser:
        return Cell("".join(o.letter for o in Operation), False, True)
    return _cells(application.policy, application.schema)(actor.groups, model.name)


@lru_cache(maxsize=8)
def _cells(policy: Policy, schema: Schema) -> Callable[[frozenset[int], str], Cell]:
    return lru_cache(maxsize=200_000)(partial(_cell, policy, schema))


def _cell(policy: Policy, schema: Schema, groups: frozenset[int], model: str) -> Cell:
    nobody = Actor(user_id=0, login="", groups=groups)
    letters = "".join(o.letter for o in Operation if decide(policy, nobody, o, model).allowed)
    return Cell(letters, bool(letters) and _ruled(policy, schema, groups, model, ()))


def _ruled(policy: Policy, schema: Schema, groups: frozenset[int], model: str, path: tuple[str, ...]) -> bool:
    """Whether reading is restricted by a rule that is not for every record, a parent's included."""
    rules = [r for r in policy.rules_by_model.get(model, ()) if Operation.READ in r.operations]
    if any(rule.is_global and not _for_all(rule.domain) for rule in rules):
        return True
    own = [rule for rule in rules if not rule.groups.isdisjoint(groups)]
    if own and not any(_for_all(rule.domain) for rule in own):
        return True
    parents = schema.model(model).inherits if model in schema else {}
    inner = (*path, model)
    return any(_ruled(policy, schema, groups, parent, inner) for parent in parents if parent not in inner)


def readable_models(application: Application, actor: Actor) -> int:
    """How many models an access right lets the actor read."""
    return _readable(application.policy, application.schema)(actor.groups, actor.superuser)


@lru_cache(maxsize=8)
def _readable(policy: Policy, schema: Schema) -> Callable[[frozenset[int], bool], int]:
    models = [name for name in policy.rights_by_model if name in schema]

    def count(groups: frozenset[int], superuser: bool) -> int:
        nobody = Actor(user_id=0, login="", groups=groups, superuser=superuser)
        return sum(decide(policy, nobody, Operation.READ, name).allowed for name in models)

    return lru_cache(maxsize=20_000)(count)


def _for_all(domain: str) -> bool:
    """
    >>> _for_all("[(1, '=', 1)]"), _for_all("[]"), _for_all("[('user_id', '=', user.id)]")
    (True, True, False)
    """
    return _EVERYTHING.fullmatch(domain.strip().replace('"', "'")) is not None


def may_escalate(policy: Policy, actor: Actor) -> tuple[str, ...]:
    """The models through which an actor may change who sees what."""
    if actor.superuser:
        return DECIDING_MODELS
    changing = (Operation.WRITE, Operation.CREATE)
    return tuple(
        name
        for name in DECIDING_MODELS
        if name in policy.rights_by_model and any(decide(policy, actor, o, name).allowed for o in changing)
    )


def count_cells(
    application: Application,
    users: Sequence[User],
    models: Sequence[Model],
    operation: Operation = Operation.READ,
    *,
    progress: Progress = NO_PROGRESS,
) -> Mapping[tuple[int, str], int | None]:
    """How many records each user may touch, in each model, with their own company alone.

    None where it cannot be told: the model has no table, or a rule cannot be read (which denies).
    Raises: ConnectionFailed.
    """
    found: dict[tuple[int, str], int | None] = {}
    with application.database.snapshot():
        binder = Binder(application, [user.id for user in users])
        actors = [actor_of(user, application.policy) for user in users]
        for model in models:
            found.update(_counted(binder, actors, model, operation, progress))
    progress.done()
    return found


def _counted(
    binder: Binder, actors: Sequence[Actor], model: Model, operation: Operation, progress: Progress
) -> dict[tuple[int, str], int | None]:
    wanted: dict[int, Filter] = {}
    found: dict[tuple[int, str], int | None] = {}
    for actor in actors:
        key = (actor.user_id, model.name)
        if not decide(binder.application.policy, actor, operation, model.name).allowed:
            found[key] = 0
            continue
        condition = _condition(binder, actor, model, operation)
        found[key] = None
        if condition is not None:
            wanted[actor.user_id] = condition
    counts = count_records(binder.application, model, list(dict.fromkeys(wanted.values())), progress)
    for user_id, condition in wanted.items():
        found[user_id, model.name] = counts.get(condition)
    return found


def _condition(binder: Binder, actor: Actor, model: Model, operation: Operation) -> Filter | None:
    if not has_records(model):
        return None
    try:
        domain = binder.scope(actor, model.name, operation).domain
        return binder.filter(actor, model, domain)
    except Exception as error:
        as_error(error)
        return None
