"""What a draft changes, as its viewer may be told: counts for all, names through the viewer's own eyes.

Invariant: a draft is compared only where it asks about fields the viewer may read, so that counts tell
nothing of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from vallum.analysis import Draft, compare
from vallum.domain import evaluate_domain, to_list
from vallum.kernel import Operation, VallumError
from vallum.policy import Policy, User
from vallum.schema import Model
from vallum.server.console.site import Ask, Site, operation_in
from vallum.server.pages import Stream
from vallum.server.pages.environment import render
from vallum.server.pages.progress import run

__all__ = ["AT_ONCE", "check_own", "compared", "comparing", "concerned"]

AT_ONCE: Final = 60


def concerned(site: Site) -> list[User]:
    """Whom a draft is compared for: everyone active."""
    return [user for user in site.census.users if user.active]


def check_own(visit: Ask, model: Model, domain_text: str) -> None:
    """Refuse a domain that compares fields which are shut to the viewer.

    Raises: AccessDenied, and whatever is wrong with the domain.
    """
    eyes = visit.site.eyes(visit)
    actor = visit.site.actor(visit.site.viewer(visit))
    context = visit.site.vallum.application.access(actor).context
    domain = evaluate_domain(domain_text, context, where="the draft")
    eyes.where(model, to_list(domain), active_test=False)


def comparing(visit: Ask, model: Model, changed: Callable[[], Policy]) -> Stream:
    """The comparison for everybody, told as it is found."""
    site, operation = visit.site, operation_in(visit)
    page = replace(visit, path=visit.path.rpartition("/")[0])
    policy = changed()

    def work(progress: Any) -> Draft:
        return compare(site.vallum.application, policy, model, operation, concerned(site), progress=progress)

    def finish(found: Draft) -> dict[str, Any]:
        values = {"visit": page, "query": visit.query, "viewer": visit.viewer, "asked": operation}
        return {"html": render("workshop_changes.html", {**values, **compared(visit, model, found)})}

    return Stream(lambda: run(work, finish))


def at_once(visit: Ask, model: Model, changed: Policy, operation: Operation) -> dict[str, Any]:
    """The comparison, within the page."""
    found = compare(visit.site.vallum.application, changed, model, operation, concerned(visit.site))
    return compared(visit, model, found)


def compared(visit: Ask, model: Model, found: Draft) -> dict[str, Any]:
    """A comparison as the template shows it."""
    eyes = visit.site.eyes(visit)

    def named(ids: tuple[int, ...]) -> list[tuple[int, str]]:
        if not ids:
            return []
        try:
            names = dict(eyes.name_search(model.name, "", [("id", "in", list(ids))], limit=len(ids)))
        except VallumError:
            return []
        return [(i, str(names[i])) for i in ids if names.get(i)]

    rows = [(change, named(change.gained_ids), named(change.lost_ids)) for change in found.changes[:100]]
    return {
        "compared": found,
        "rows": rows,
        "gaining": sum(len(c.users) for c in found.changes if c.gained),
        "losing": sum(len(c.users) for c in found.changes if c.lost),
        "model": model,
    }
