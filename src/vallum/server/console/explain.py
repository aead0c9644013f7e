"""Why: the chain from a person over groups, rights and rules to a record, as a picture and in words."""

from __future__ import annotations

from typing import Any, Final

from vallum.analysis import explain
from vallum.kernel import Operation
from vallum.schema import Model
from vallum.server.console import words
from vallum.server.console.chain import picture
from vallum.server.console.site import Ask, Site, companies_of, model_label, operation_in, person_in
from vallum.server.console.teller import Teller
from vallum.server.pages import Answer, Page, Pages
from vallum.server.pages.answers import Download
from vallum.server.pages.table import as_json

__all__ = ["listed_models", "pages"]

pages: Pages[Site] = Pages()
pages.entry("Explain", "/access/explain", "circle-help", section="Access", key="e", who="oversees")

MAX_LISTED: Final = 1500


@pages.get("/access/explain", who="oversees")
def explanation(visit: Ask) -> Answer:
    """The explanation of what the address asks about, or the form that asks."""
    site = visit.site
    user, model_name = person_in(visit), visit.query.text("model")
    values: dict[str, Any] = {
        "found": None,
        "operations": [(o.value, words.OPERATIONS[o]) for o in Operation],
        "listed_models": listed_models(site),
        "listed_users": list(site.vallum.users)[:MAX_LISTED],
        "fields": (),
        "user": user,
        "model": None,
    }
    if user is None or not model_name:
        return Page("explain.html", values)
    model = site.model(model_name)
    operation = operation_in(visit)
    record = visit.query.number("record", most=2**62) or None
    field = visit.query.text("field") or None
    own = visit.query.text("companies") == "own"
    actor = site.vallum.application.actor(user.id, None if own else companies_of(user) or None)
    found = explain(site.vallum.application, actor, operation, model.name, record, field, values=False)
    teller = Teller(site, site.eyes(visit), model, found, user)
    if visit.query.text("format") == "json":
        return Download(as_json(teller.as_dict()), "application/json")
    values |= {
        "found": found,
        "model": model,
        "label": model_label(model),
        "fields": sorted(model.fields),
        "operation": words.OPERATIONS[operation],
        "answer": teller.answer(),
        "steps": list(teller.steps()),
        "picture": picture(found, user, teller, down=visit.partial),
        "record_name": teller.record_name,
        "others": [(o, words.OPERATIONS[o]) for o in Operation],
    }
    return Page("explain.html", values, "explain_part.html")


def listed_models(site: Site) -> list[Model]:
    """Models offered while one types: those somebody has a right on."""
    rights = site.vallum.policy.rights_by_model
    return [model for model in site.models if model.name in rights][:MAX_LISTED]
