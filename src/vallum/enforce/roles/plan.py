"""What the database has to hold for the policy to hold in it: a list of items, each with its undoing.

Pure but for the relations it is told of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from vallum.enforce.application import Application
from vallum.enforce.roles.attachments import is_known
from vallum.enforce.roles.found import Relation
from vallum.enforce.roles.items import Item, Locked, Plan
from vallum.enforce.roles.names import RoleNames
from vallum.enforce.roles.planner import Planner
from vallum.enforce.roles.tables import VIEWS
from vallum.enforce.roles.writes import check_writable
from vallum.kernel import NO_PROGRESS, Progress
from vallum.policy import Actor

__all__ = ["VIEWS", "Item", "Locked", "Plan", "Relation", "make_plan"]


def make_plan(
    application: Application,
    relations: Mapping[str, Relation],
    names: RoleNames,
    *,
    schema: str = "public",
    users: Iterable[int] | None = None,
    code_models: bool = False,
    writable: bool = False,
    force: bool = False,
    taken: Collection[str] = (),
    poolers: Sequence[str] = (),
    progress: Progress = NO_PROGRESS,
) -> Plan:
    """The plan for an application. `users`: ids of those that get a role, all active ones by default.

    `code_models`: models whose code hides records are read by their record rules alone, rather than locked.
    `writable`: rights to write, create and unlink hold as well; on an Odoo database only with `force`.
    `taken`: names that roles of others bear: who or what would have them is left out, and told of.
    `poolers`: roles that act for users by a signed setting.

    Raises: RolesRefused.
    """
    if writable:
        check_writable(relations, forced=force)
    actors = _actors(application, users)
    planner = Planner(application, relations, names, schema, actors, code_models, writable)
    planner.leave_out(taken)
    planner.poolers = tuple(poolers)
    later = []
    for model in application.schema.models.values():
        if is_known(model, application) and not code_models:
            # Its records follow those of all others, once it is known which may be read.
            later.append(model)
        else:
            planner.model(model)
    for model in later:
        planner.attachments(model)
    planner.links()
    planner.bystanders()
    return planner.plan(progress)


def _actors(application: Application, users: Iterable[int] | None) -> list[Actor]:
    wanted = None if users is None else set(users)
    return [
        application.actor(user.id, sorted(user.company_ids) or None)
        for user in application.directory
        if (user.active if wanted is None else user.id in wanted) and user.id != 1
    ]
