"""The rule workshop: change a rule or a right in a draft, see who gains and loses what, take it along.

The draft is the address, so it can be sent to a colleague; nothing is written here. It is taken along as a
file in Odoo's format: data of a module for an Odoo, a file of the policy for an application of one's own.
Invariant: a draft asks only about fields the viewer may read, so that counts tell nothing of others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from vallum.analysis import Draft, compare, with_right, with_rule
from vallum.domain import evaluate_domain, to_list
from vallum.kernel import InvalidValue, Operation, VallumError
from vallum.policy import AccessRight, Policy, RecordRule
from vallum.schema import Model
from vallum.server.console import words
from vallum.server.console.explain import listed_models
from vallum.server.console.site import Ask, Site, model_label, operation_in
from vallum.server.console.sketch import Sketch, lint, patch
from vallum.server.pages import Answer, Download, NotFound, Page, Pages, Stream
from vallum.server.pages.environment import render
from vallum.server.pages.failures import failure_of
from vallum.server.pages.progress import run

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Rule workshop", "/workshop", "flask-conical", section="Access", key="s", who="administrator")

AT_ONCE: Final = 60


@pages.get("/workshop", who="administrator")
def start(visit: Ask) -> Answer:
    """What could be changed: the rules and rights of a model, by name."""
    policy, text = visit.site.vallum.policy, visit.query.text("q").casefold()
    rules = [
        rule
        for rule in policy.rules
        if text in rule.model or text in rule.name.casefold() or text in (rule.xml_id or "").casefold()
    ]
    rights = [r for r in policy.rights if text and (text in r.model or text in r.name.casefold())]
    values = {
        "rules": rules[:200],
        "rights": rights[:100],
        "all_rules": len(rules),
        "policy": policy,
        "words": words,
        "letters": _letters,
        "listed_models": listed_models(visit.site),
    }
    return Page("workshop.html", values)


@pages.get("/workshop/draft", who="administrator")
def draft(visit: Ask) -> Answer:
    """The draft, and what it changes."""
    site = visit.site
    sketch = _sketch(visit)
    model = site.model(sketch.model)
    values: dict[str, Any] = {
        "sketch": sketch,
        "model": model,
        "label": model_label(model),
        "operations": [(o.value, words.OPERATIONS[o], o in sketch.operations) for o in Operation],
        "asked": operation_in(visit),
        "all_groups": sorted(site.vallum.policy.groups.values(), key=lambda g: g.name),
        "lint": (),
        "failure": None,
        "compared": None,
        "later": False,
        "tried": bool(visit.query.text("try")),
        "odoo": site.odoo,
    }
    if not visit.query.text("try"):
        return Page("workshop_draft.html", values)
    try:
        changed = _policy(site, sketch)
        _check_own(visit, sketch, model)
        values["lint"] = lint(site, sketch, model)
        if visit.query.text("format") == "xml":
            return Download(
                patch(site.vallum.policy, sketch, odoo=site.odoo), "application/xml", f"{sketch.xml_id}.xml"
            )
        active = [user for user in site.census.users if user.active]
        if len(active) > AT_ONCE and visit.query.text("try") != "now":
            values["later"] = True
        else:
            found = compare(site.vallum.application, changed, model, values["asked"], active)
            values |= _compared(visit, model, found)
    except VallumError as error:
        values["failure"] = failure_of(error)
    return Page("workshop_draft.html", values)


@pages.get("/workshop/compare", who="administrator")
def comparing(visit: Ask) -> Answer:
    """What the draft changes, told as it is found."""
    site = visit.site
    sketch = _sketch(visit)
    model, changed = site.model(sketch.model), _policy(site, sketch)
    _check_own(visit, sketch, model)
    active = [user for user in site.census.users if user.active]

    def work(progress: Any) -> Draft:
        return compare(
            site.vallum.application, changed, model, operation_in(visit), active, progress=progress
        )

    def finish(found: Draft) -> dict[str, Any]:
        values = {"visit": visit, "query": visit.query, "viewer": visit.viewer, "asked": operation_in(visit)}
        return {"html": render("workshop_changes.html", {**values, **_compared(visit, model, found)})}

    return Stream(lambda: run(work, finish))


def _sketch(visit: Ask) -> Sketch:
    """The draft of the address; what it leaves out is as the rule or right is now.

    Raises: NotFound, InvalidValue.
    """
    query, policy = visit.query, visit.site.vallum.policy
    kind = "right" if query.text("kind") == "right" else "rule"
    found_id = query.number("id")
    now: RecordRule | AccessRight | None = None
    if found_id:
        among: Any = policy.rights if kind == "right" else policy.rules
        now = next((item for item in among if item.id == found_id), None)
        if now is None:
            raise NotFound(f"there is no {kind} {found_id}", fix="choose one of the list")
    base = Sketch(
        kind, found_id, "", query.text("model"), (), "[]", frozenset(Operation), query.text("reason")
    )
    if now is not None:
        ids = now.groups if isinstance(now, RecordRule) else {now.group} - {None}
        labels = tuple(sorted(policy.groups[g].label for g in ids if g is not None))
        domain = now.domain if isinstance(now, RecordRule) else "[]"
        base = replace(
            base, name=now.name, model=now.model, groups=labels, domain=domain, operations=now.operations
        )
    if not query.text("try"):
        return base
    chosen = frozenset(o for o in Operation if o.value in query.all("ops"))
    groups = tuple(part for text in query.all("groups") for part in text.replace(",", " ").split())
    return replace(
        base, name=query.text("name"), groups=groups, domain=query.text("domain", "[]"), operations=chosen
    )


def _policy(site: Site, sketch: Sketch) -> Policy:
    """The policy with the draft in it.

    Raises: InvalidValue, MissingReference.
    """
    policy = site.vallum.policy
    if not sketch.operations:
        raise InvalidValue("a rule or right that is for no operation does nothing", fix="choose an operation")
    unknown = [name for name in sketch.groups if name not in policy.group_ids]
    if unknown:
        raise InvalidValue(f"no group is called {unknown[0]!r:.60}", fix="give xml ids of groups")
    ids = frozenset(policy.group_ids[name] for name in sketch.groups)
    if sketch.kind == "right":
        if len(ids) > 1:
            raise InvalidValue("an access right is for one group, or for everyone", fix="choose one group")
        top = max((right.id for right in policy.rights), default=0)
        right = AccessRight(
            id=sketch.id or top + 1,
            name=sketch.name,
            model=sketch.model,
            group=next(iter(ids), None),
            operations=sketch.operations,
        )
        return with_right(policy, right)
    top = max((rule.id for rule in policy.rules), default=0)
    return with_rule(
        policy,
        RecordRule(
            id=sketch.id or top + 1,
            name=sketch.name,
            model=sketch.model,
            domain=sketch.domain,
            groups=ids,
            operations=sketch.operations,
            source="the draft",
        ),
    )


def _check_own(visit: Ask, sketch: Sketch, model: Model) -> None:
    """Refuse a draft that compares fields which are shut to the viewer.

    Raises: AccessDenied, and whatever is wrong with the domain.
    """
    if sketch.kind == "rule":
        eyes = visit.site.eyes(visit)
        actor = visit.site.actor(visit.site.viewer(visit))
        context = visit.site.vallum.application.access(actor).context
        domain = evaluate_domain(sketch.domain, context, where="the draft")
        eyes.where(model, to_list(domain), active_test=False)


def _compared(visit: Ask, model: Model, found: Draft) -> dict[str, Any]:
    eyes = visit.site.eyes(visit)

    def named(ids: tuple[int, ...]) -> list[tuple[int, str]]:
        try:
            names = (
                dict(eyes.name_search(model.name, "", [("id", "in", list(ids))], limit=len(ids)))
                if ids
                else {}
            )
        except VallumError:
            names = {}
        return [(i, str(names[i])) for i in ids if names.get(i)]

    rows = [(change, named(change.gained_ids), named(change.lost_ids)) for change in found.changes[:100]]
    return {
        "compared": found,
        "rows": rows,
        "gaining": sum(len(c.users) for c in found.changes if c.gained),
        "losing": sum(len(c.users) for c in found.changes if c.lost),
        "model": model,
    }


def _letters(operations: frozenset[Operation]) -> str:
    return "".join(o.letter if o in operations else "·" for o in Operation)
