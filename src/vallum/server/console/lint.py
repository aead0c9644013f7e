"""What to know of a draft before it is tried: what it means for whom, and what its query costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from vallum.domain import Filter, evaluate_domain, root, to_list
from vallum.domain.sql import Scope
from vallum.enforce import Application
from vallum.enforce.attempt import attempt
from vallum.enforce.statement import compiled
from vallum.schema import Model
from vallum.server.console.site import Site
from vallum.server.console.sketch import Sketch

__all__ = ["lint"]

_LARGE: Final = 10_000


def lint(site: Site, sketch: Sketch, model: Model) -> list[tuple[str, str]]:
    """What to know of the draft itself: kind and sentence."""
    found: list[tuple[str, str]] = []
    if sketch.remove:
        what = "rule restricts" if sketch.kind == "rule" else "right opens"
        return [("notice", f"It is removed: what the {what} ends for everyone whom it is for.")]
    if not sketch.groups and sketch.kind == "rule":
        found.append(("notice", "Without a group the rule is for everyone, and nobody's group can widen it."))
    if not sketch.groups and sketch.kind == "right":
        found.append(("refused", "Without a group the right is for everyone, visitors included."))
    if sketch.kind == "rule":
        everything = sketch.domain.replace(" ", "") in ("[]", "[(1,'=',1)]")
        if everything and sketch.groups:
            found.append(
                (
                    "notice",
                    "It lets every record through: to its members other rules of groups matter no more.",
                )
            )
        if everything and not sketch.groups:
            found.append(("notice", "It lets every record through for everyone: it does nothing."))
        if any(word in sketch.domain for word in ("ilike", "child_of", "parent_of")):
            found.append(
                ("notice", "It searches text or a hierarchy for each record: see what the query costs.")
            )
        if "user." in sketch.domain and not sketch.groups:
            found.append(
                (
                    "",
                    "For everyone it compares with the person who asks: some may see nothing of it.",
                )
            )
    found.extend(_cost(site, sketch, model))
    return found


def _cost(site: Site, sketch: Sketch, model: Model) -> list[tuple[str, str]]:
    """What PostgreSQL plans for a search under the draft, as one of those whom it is for."""
    if sketch.kind != "rule":
        return []
    policy = site.vallum.policy
    wanted = {policy.group_ids[name] for name in sketch.groups}
    someone = next(
        (
            u
            for u in site.census.users
            if u.active and not site.actor(u).superuser and (not wanted or wanted & site.actor(u).groups)
        ),
        None,
    )
    if someone is None:
        return [("notice", "Nobody active is in these groups.")]
    application = site.vallum.application
    domain = evaluate_domain(
        sketch.domain, application.access(site.actor(someone)).context, where="the draft"
    )
    condition = site.vallum.sudo().where(model, to_list(domain), active_test=False)
    plan = _explained(application, model, condition)
    rows, node = plan.get("Plan Rows", 0), _scan(plan)
    cost = f"about {rows:,} rows, cost {plan.get('Total Cost', 0):,.0f}"
    said = f"PostgreSQL plans a {node.lower()} for {someone.login}: {cost}."
    if node == "Seq Scan" and rows >= _LARGE:
        return [
            ("", said),
            ("notice", "It reads the whole table: an index on the field it compares may help."),
        ]
    return [("", said)]


def _explained(application: Application, model: Model, condition: Filter) -> Mapping[str, Any]:
    """PostgreSQL's plan of a search with the condition; nothing is run."""
    scope = Scope(root(model))
    statement = sa.select(sa.literal(1)).select_from(scope.from_clause()).where(scope.where(condition))
    text, values = compiled(statement)
    with attempt(application.database):
        rows = application.database.rows(f"EXPLAIN (FORMAT JSON) {text}", values)
    plan = rows[0][0]
    found: Mapping[str, Any] = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return found


def _scan(plan: Mapping[str, Any]) -> str:
    """The kind of the first node that reads a table."""
    todo = [plan]
    while todo:
        node = todo.pop(0)
        if "Relation Name" in node or "Index Name" in node:
            return str(node["Node Type"])
        todo.extend(node.get("Plans", ()))
    return str(plan.get("Node Type", "plan"))
