"""Who can: a model, field or record and an operation; everyone who may, through what, and last used when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Final

from vallum.analysis import Holder, who_can
from vallum.kernel import Operation
from vallum.server.console import words
from vallum.server.console.explain import listed_models
from vallum.server.console.last_used import LastUsed, last_used
from vallum.server.console.site import Ask, Site, model_label, operation_in
from vallum.server.pages import Answer, NotFound, Page, Pages, Stream, twin
from vallum.server.pages.environment import render
from vallum.server.pages.progress import run

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Who can", "/access/who-can", "users", section="Access", key="w", who="oversees")

SHOWN: Final = 100
# With more people the answer takes longer than a page should: it is told as it is found.
AT_ONCE: Final = 300


@pages.get("/access/who-can", who="oversees")
def holders(visit: Ask) -> Answer:
    """The people who may, or the form that asks."""
    site, name = visit.site, visit.query.text("model")
    values: dict[str, Any] = {
        "found": None,
        "operations": [(o.value, words.OPERATIONS[o]) for o in Operation],
        "listed_models": listed_models(site),
        "fields": (),
        "later": False,
    }
    if not name:
        return Page("who_can.html", values)
    model = site.model(name)
    now = visit.query.text("count") == "now"
    if len(site.census.users) > AT_ONCE and not (now or visit.query.text("format")):
        model.field(visit.query.text("field")) if visit.query.text("field") else None
        return Page("who_can.html", values | {"fields": sorted(model.fields), "later": True})
    found = _asked(visit, count=now)
    shown = _shown(visit, found)
    answer = twin(visit, "who-can", [_told(holder, shown["used"]) for holder in found])
    if answer is not None:
        return answer
    return Page("who_can.html", values | shown | {"fields": sorted(model.fields)})


@pages.get("/access/who-can/count", who="oversees")
def counting(visit: Ask) -> Answer:
    """The same with the number of records each may touch, told as it goes."""
    if not visit.query.text("model"):
        raise NotFound("count what?", fix="name a model")

    def work(progress: Any) -> list[Holder]:
        return _asked(visit, count=visit.query.text("only") != "names", progress=progress)

    def finish(found: list[Holder]) -> dict[str, Any]:
        page = replace(visit, path="/access/who-can")
        return {
            "html": render(
                "who_can_table.html",
                {"visit": page, "query": visit.query, "viewer": visit.viewer, **_shown(page, found)},
            )
        }

    return Stream(lambda: run(work, finish))


def _asked(visit: Ask, *, count: bool, progress: Any = None) -> list[Holder]:
    """The holders, those whose name fits the search.

    Raises: UnknownModel, UnknownField, UnknownRecord.
    """
    record = visit.query.number("record", most=2**62) or None
    more = {} if progress is None else {"progress": progress}
    found = who_can(
        visit.site.vallum.application,
        operation_in(visit),
        visit.query.text("model"),
        record_id=record,
        field=visit.query.text("field") or None,
        companies=None if visit.query.text("companies") == "own" else "all",
        count=count,
        **more,
    )
    text = visit.query.text("q").casefold()
    return [h for h in found if text in h.login.casefold() or text in h.user.name.casefold()]


def _told(holder: Holder, used: LastUsed) -> dict[str, Any]:
    """A holder for a program, with when they last did it."""
    at = used.at.get(holder.user.id)
    return {**holder.as_dict(), "last_used": at.isoformat() if at else None}


def _shown(visit: Ask, found: list[Holder]) -> dict[str, Any]:
    site = visit.site
    model = site.model(visit.query.text("model"))
    first = visit.query.number("from", most=max(0, len(found) - 1))
    active = sum(user.active for user in site.census.users)
    through: Counter[str] = Counter()
    for holder in found:
        names = {words.group_title(g.path.group.name, g.path.group.xml_id) for g in holder.grants if g.path}
        through.update(names or {"superuser" if holder.superuser else "everyone"})
    operation = operation_in(visit)
    field = visit.query.text("field")
    record = visit.query.number("record", most=2**62)
    what = f"{words.field_title(site.vallum.schema, model, field)} of " if field else ""
    what += f"{model_label(model)} #{record}" if record else model_label(model)
    return {
        "found": found[first : first + SHOWN],
        "total": len(found),
        "first": first,
        "active": active,
        "through": through.most_common(8),
        "verb": words.OPERATIONS[operation],
        "what": what,
        "model": model,
        "words": words,
        "counted": bool(found) and found[0].count is not None,
        "step": SHOWN,
        "used": last_used(visit, model, operation),
    }
