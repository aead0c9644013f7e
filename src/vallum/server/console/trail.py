"""Audit: the timeline, a record's history with what changed, proofs, gaps.

Invariant: events of records are those of records the viewer may read, with the values of fields that are
open to them; a proof, which holds the whole entry, is given only where all of it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vallum.audit import KINDS
from vallum.audit.coverage import check_triggers
from vallum.audit.errors import AuditRefused
from vallum.audit.gaps import gaps
from vallum.audit.proofs import prove
from vallum.audit.search import Event, Wanted
from vallum.audit.verify import verify
from vallum.facade.audit import Audit, parse_moment
from vallum.kernel import VallumError
from vallum.schema import Model
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Download, NotFound, NotYours, Page, Pages, Stream, as_json, twin
from vallum.server.pages.environment import render
from vallum.server.pages.failures import failure_of
from vallum.server.pages.progress import run

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Timeline", "/audit", "history", section="Audit", key="t", who="oversees")
pages.entry("Proofs", "/audit/proofs", "scale", section="Audit", key="f", who="oversees")

SHOWN: Final = 60
_OPERATIONS: Final = (("", "any change"), ("create", "created"), ("write", "changed"), ("unlink", "deleted"))


def trail_of(site: Site) -> Audit:
    """The trail of the database.

    Raises: NotFound, where this server keeps none.
    """
    if site.audit is None:
        raise NotFound(
            "this server is not told where the audit trail is",
            fix="set `audit_dir`, then `vallum audit enable`",
        )
    return site.audit


@dataclass(frozen=True, slots=True)
class Line:
    """An event as it is shown."""

    index: int
    at: datetime
    who: str
    what: str
    model: str
    label: str
    record: int | None
    changes: tuple[tuple[str, str, str], ...]
    altered: bool


@pages.get("/audit", who="oversees")
def timeline(visit: Ask) -> Answer:
    """What happened, newest first."""
    values: dict[str, Any] = {
        "lines": None,
        "failure": None,
        "operations": _OPERATIONS,
        "kinds": [("", "records"), *((kind, kind.replace("-", " ")) for kind in KINDS)],
        "models": sorted(m.name for m in visit.site.models if m.relation and not m.transient),
        "next": None,
    }
    try:
        trail = trail_of(visit.site)
        events = _events(visit, trail)
    except VallumError as error:
        return Page("audit.html", values | {"failure": failure_of(error)})
    lines = [_line(visit.site, event) for event in events[:SHOWN]]
    answer = twin(visit, "audit", [event.as_dict() for event in events[:SHOWN]])
    if answer is not None:
        return answer
    more = events[SHOWN - 1].index if len(events) > SHOWN else None
    return Page("audit.html", values | {"lines": lines, "next": more})


def _events(visit: Ask, trail: Audit) -> list[Event]:
    """The events an address asks for, as the viewer may see them."""
    query = visit.query
    relations = None
    if query.text("model"):
        relations = [f"public.{visit.site.model(query.text('model')).table}"]
    record = query.number("record", most=2**62)
    wanted = Wanted(
        relations=relations,
        key=str(record) if record else None,
        actor=query.text("actor") or None,
        field=query.text("field") or None,
        since=parse_moment(query.text("since")) if query.text("since") else None,
        until=parse_moment(query.text("until")) if query.text("until") else None,
        operation=query.text("op") or None,
        kind=query.text("kind") or None,
        end=query.number("before", most=2**62) or None,
    )
    if query.text("kind"):
        return trail.search(wanted, limit=SHOWN + 1)
    return trail.search_as(visit.site.eyes(visit), wanted, limit=SHOWN + 1)


def _line(site: Site, event: Event) -> Line:
    content = event.content
    table = (event.relation or "").removeprefix("public.")
    model = _models(site).get(table)
    key = content.get("key") or {}
    record = key.get("id") if isinstance(key, Mapping) else None
    actor = content.get("actor") or {}
    return Line(
        event.index,
        datetime.fromisoformat(str(content["at"])),
        _actor(site, actor),
        event.operation,
        model.name if model else table,
        model_label(model) if model else table,
        record if isinstance(record, int) else None,
        tuple(_changes(model, content)),
        bool(event.altered),
    )


def _models(site: Site) -> dict[str, Model]:
    return {m.table: m for m in site.vallum.schema.models.values() if m.relation and not m.abstract}


def _actor(site: Site, actor: Mapping[str, Any]) -> str:
    login = actor.get("login")
    if isinstance(login, str) and login:
        return login
    user = actor.get("id")
    known = site.vallum.users.get(user) if isinstance(user, int) else None
    return known.login if known else str(actor.get("role") or actor.get("db_user") or "the database")


def _changes(model: Model | None, content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Field, before and after; of an event that is no change, its details."""
    if "detail" in content and isinstance(content["detail"], Mapping):
        return [(str(name), "", _text(value)) for name, value in content["detail"].items()]
    old, new = content.get("old") or {}, content.get("new") or {}
    found = []
    for name in dict.fromkeys((*old, *new)):
        field = model.fields.get(name) if model else None
        label = field.string if field is not None and field.string else name
        found.append((label, _text(old.get(name)), _text(new.get(name))))
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        value
        if isinstance(value, str)
        else as_json(value).decode()
        if isinstance(value, dict | list)
        else str(value)
    )


@pages.get("/data/{model:str}/{record:int}/history")
def history(visit: Ask) -> Answer:
    """What happened to one record, for whoever may read it."""
    site = visit.site
    model, record = site.model(visit.parts["model"]), int(visit.parts["record"])
    eyes = site.eyes(visit)
    wanted = Wanted(relations=[f"public.{model.table}"], key=str(record))
    events = trail_of(site).search_as(eyes, wanted, limit=200)
    answer = twin(visit, f"history-{model.name}-{record}", [event.as_dict() for event in events])
    if answer is not None:
        return answer
    names = eyes.name_search(model.name, "", [("id", "=", record)], limit=1)
    values = {
        "model": model,
        "label": model_label(model),
        "record": record,
        "name": str(names[0][1]) if names and names[0][1] else f"{model_label(model)} #{record}",
        "lines": [_line(site, event) for event in events],
    }
    return Page("history.html", values)


@pages.get("/audit/proofs", who="oversees")
def proofs(visit: Ask) -> Answer:
    """What is covered, what is missing, and the way to proofs."""
    values: dict[str, Any] = {"failure": None, "tables": {}, "problems": (), "checked": None}
    try:
        trail = trail_of(visit.site)
        with trail.connection() as connection:
            problems = gaps(connection, trail.home, visit.site.vallum.application.clock.now())
            problems += check_triggers(connection)
        values |= {"tables": trail.audited(), "problems": problems}
    except VallumError as error:
        values["failure"] = failure_of(error)
    return Page("proofs.html", values)


@pages.get("/audit/verify", who="oversees")
def verifying(visit: Ask) -> Answer:
    """Hash every entry again, and hold the tree against what was signed; told as it goes."""
    trail = trail_of(visit.site)

    def finish(found: Any) -> dict[str, Any]:
        return {"html": render("verified.html", {"checked": found, "viewer": visit.viewer})}

    return Stream(
        lambda: run(lambda progress: verify(trail.dsn, trail.home, processes=1, progress=progress), finish)
    )


@pages.get("/audit/events/{index:int}/proof", who="oversees")
def proof(visit: Ask) -> Answer:
    """The bundle that proves one event to an outsider.

    Raises: NotYours, where the entry holds what is not open to the viewer.
    """
    trail, index = trail_of(visit.site), int(visit.parts["index"])
    whole = trail.search(Wanted(start=index, end=index + 1), limit=1)
    if not whole:
        raise NotFound(f"there is no event {index}", fix="it may be gone by retention")
    if whole[0].relation is not None:
        seen = _seen(visit, trail, whole[0])
        if seen is None or any(
            set(seen.content.get(side) or ()) != set(whole[0].content.get(side) or ())
            for side in ("old", "new")
        ):
            raise NotYours(
                "this entry holds values that are not open to you", fix="ask somebody who may read all of it"
            )
    with trail.connection() as connection:
        bundle = prove(connection, trail.home, index)
    visit.site.told(visit, "export", proof=index)
    return Download(as_json(bundle), "application/json", f"proof-{index}.json")


def _seen(visit: Ask, trail: Audit, event: Event) -> Event | None:
    try:
        wanted = Wanted(relations=[event.relation or ""], start=event.index, end=event.index + 1)
        found = trail.search_as(visit.site.eyes(visit), wanted, limit=1)
    except (AuditRefused, VallumError):
        return None
    return found[0] if found else None
