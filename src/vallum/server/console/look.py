"""Search: people, groups, models and fields by name, and records of a model."""

from __future__ import annotations

from typing import Any, Final

from vallum.kernel import VallumError
from vallum.server.console.home import own_models
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Page, Pages

__all__ = ["pages"]

pages: Pages[Site] = Pages()

MOST: Final = 12
SEARCHED: Final = 8


@pages.get("/search")
def search(visit: Ask) -> Answer:
    """What is called so, each kind only for those whom it is for."""
    text, site = visit.query.text("q")[:200], visit.site
    wanted = text.casefold()
    values: dict[str, Any] = {
        "text": text,
        "people": (),
        "groups": (),
        "models": (),
        "fields": (),
        "records": (),
    }
    if not wanted:
        return Page("search.html", values)
    mine = own_models(visit)
    readable = {name for name, _, _ in mine}
    if visit.viewer.oversees:
        values["people"] = [
            u for u in site.census.users if wanted in u.login.casefold() or wanted in u.name.casefold()
        ][:MOST]
        groups = site.vallum.policy.groups.values()
        values["groups"] = [
            g for g in groups if wanted in g.name.casefold() or wanted in (g.xml_id or "").casefold()
        ][:MOST]
    shown = [m for m in site.models if visit.viewer.oversees or m.name in readable]
    values["models"] = [
        (m, model_label(m), m.name in readable)
        for m in shown
        if wanted in m.name or wanted in model_label(m).casefold()
    ][:MOST]
    if visit.viewer.oversees:
        values["fields"] = [
            (m, f)
            for m in shown
            for f in m.fields.values()
            if wanted in f.name or wanted in f.string.casefold()
        ][:MOST]
    values["records"] = _records(visit, text, [name for name, _, _ in mine[:SEARCHED]])
    return Page("search.html", values)


def _records(visit: Ask, text: str, models: list[str]) -> list[tuple[str, str, list[tuple[int, Any]]]]:
    """Records called so, in the first models of the viewer's menus, through their own eyes."""
    eyes = visit.site.eyes(visit)
    found = []
    for name in models:
        try:
            rows = eyes.name_search(name, text, limit=4)
        except VallumError:
            continue
        if rows:
            found.append((name, model_label(visit.site.model(name)), rows))
    return found
