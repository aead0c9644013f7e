"""The rule workshop: change a rule, right or group in a draft, and see who gains and loses what.

The draft is the address, so it can be sent to a colleague; nothing is written here. From here it is submitted
(see `changes`), or taken along as a file.
"""

from __future__ import annotations

from typing import Any, Final

from vallum.kernel import Operation, VallumError
from vallum.policy import Policy, RecordRule
from vallum.schema import Model
from vallum.server.console import words
from vallum.server.console.comparison import AT_ONCE, at_once, check_own, comparing, concerned
from vallum.server.console.explain import listed_models
from vallum.server.console.lint import lint
from vallum.server.console.site import Ask, Site, model_label, operation_in
from vallum.server.console.sketch import Sketch, drafted, read_sketch
from vallum.server.pages import Answer, Download, Page, Pages, twin
from vallum.server.pages.failures import failure_of

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Rule workshop", "/workshop", "flask-conical", section="Access", key="s", who="administrator")

_SHOWN: Final = 200


@pages.get("/workshop", who="administrator")
def start(visit: Ask) -> Answer:
    """What could be changed: rules, rights and groups, by name."""
    policy, text = visit.site.vallum.policy, visit.query.text("q").casefold()

    def fits(*names: str | None) -> bool:
        return any(text in (name or "").casefold() for name in names)

    rules = [r for r in policy.rules if fits(r.model, r.name, r.xml_id)]
    answer = twin(visit, "rules", [_row(policy, rule) for rule in rules])
    if answer is not None:
        return answer
    values = {
        "rules": rules[:_SHOWN],
        "rights": [r for r in policy.rights if text and fits(r.model, r.name, r.xml_id)][:_SHOWN],
        "groups": [g for g in policy.groups.values() if text and fits(g.name, g.xml_id)][:_SHOWN],
        "all_rules": len(rules),
        "policy": policy,
        "words": words,
        "letters": _letters,
        "listed_models": listed_models(visit.site),
        "native": visit.site.native,
    }
    return Page("workshop.html", values)


@pages.get("/workshop/draft", who="administrator")
def draft(visit: Ask) -> Answer:
    """The draft, and what it changes."""
    site = visit.site
    sketch = read_sketch(site.vallum.policy, visit.query)
    model = site.model(sketch.model) if sketch.model or sketch.kind != "group" else None
    values = draft_values(visit, sketch, model)
    if not visit.query.text("try"):
        return Page("workshop_draft.html", values)
    try:
        changed = drafted(site.vallum.policy, sketch)
        if model is not None and sketch.kind == "rule":
            check_own(visit, model, sketch.domain)
        values["lint"] = lint(site, sketch, model) if model is not None else ()
        if visit.query.text("format") == "xml":
            # Loaded with the first file: lxml takes 4 MiB of a worker.
            from vallum.server.console.patch import patch

            text = patch(site.vallum.policy, sketch, odoo=site.odoo)
            return Download(text, "application/xml", f"{sketch.xml_id.partition('.')[2]}.xml")
        if len(concerned(site)) > AT_ONCE and visit.query.text("try") != "now":
            values["later"] = model is not None
        elif model is not None:
            values |= at_once(visit, model, changed, values["asked"])
    except VallumError as error:
        values["failure"] = failure_of(error)
    return Page("workshop_draft.html", values)


def draft_values(visit: Ask, sketch: Sketch, model: Model | None) -> dict[str, Any]:
    """What the draft's page shows before anything is tried."""
    site = visit.site
    return {
        "sketch": sketch,
        "model": model,
        "label": model_label(model) if model is not None else "",
        "operations": [(o.value, words.OPERATIONS[o], o in sketch.operations) for o in Operation],
        "asked": operation_in(visit),
        "all_groups": sorted(site.vallum.policy.groups.values(), key=lambda g: g.name),
        "listed_models": listed_models(site) if sketch.kind == "group" else (),
        "lint": (),
        "failure": None,
        "compared": None,
        "later": False,
        "tried": bool(visit.query.text("try")),
        "odoo": site.odoo,
        "native": site.native,
    }


@pages.get("/workshop/compare", who="administrator")
def compare_all(visit: Ask) -> Answer:
    """What the draft changes, told as it is found."""
    site = visit.site
    sketch = read_sketch(site.vallum.policy, visit.query)
    model = site.model(sketch.model)
    if sketch.kind == "rule":
        check_own(visit, model, sketch.domain)
    return comparing(visit, model, lambda: drafted(site.vallum.policy, sketch))


def _row(policy: Policy, rule: RecordRule) -> dict[str, Any]:
    """A rule for a program."""
    return {
        "id": rule.id,
        "xml_id": rule.xml_id,
        "name": rule.name,
        "model": rule.model,
        "groups": sorted(policy.groups[g].label for g in rule.groups),
        "operations": [o.value for o in Operation if o in rule.operations],
        "domain": rule.domain,
    }


def _letters(operations: frozenset[Operation]) -> str:
    return "".join(o.letter if o in operations else "·" for o in Operation)
