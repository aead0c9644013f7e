"""One record: what it holds, field by field, and where it leads."""

from __future__ import annotations

from typing import Any, Final

from vallum.kernel import UnknownRecord, VallumError
from vallum.schema import MAGIC_FIELDS, Field, Model
from vallum.server.console.cells import shown
from vallum.server.console.seen import Seen, seen
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Page, Pages

__all__ = ["pages"]

pages: Pages[Site] = Pages()

LISTED: Final = 12
_WIDE: Final = frozenset({"text", "html", "json", "properties"})


@pages.get("/data/{model:str}/{record:int}")
def record(visit: Ask) -> Answer:
    """The record as the viewer, or somebody else, sees it."""
    eyes, model = seen(visit), visit.site.model(visit.parts["model"])
    eyes.check(model)
    record_id = int(visit.parts["record"])
    form = Form(visit, eyes, model, record_id)
    return Page("record.html", form.values())


class Form:
    """The fields of a record in the making."""

    def __init__(self, visit: Ask, eyes: Seen, model: Model, record_id: int) -> None:
        self._visit, self._eyes, self._model, self._id = visit, eyes, model, record_id
        self._described = eyes.own.fields_get(model.name)
        self._suffix = f"?as={eyes.other.id}" if eyes.other else ""

    def values(self) -> dict[str, Any]:
        """Everything the page shows.

        Raises: UnknownRecord, where it is gone or out of sight: which of them is not told.
        """
        model, eyes = self._model, self._eyes
        row = self._row()
        known = frozenset(m.name for m in eyes.models())
        lines: list[tuple[str, str, Any]] = []
        wide: list[tuple[str, str, Any]] = []
        links: list[tuple[str, str, int, list[tuple[str, str]]]] = []
        tail: list[tuple[str, str, Any]] = []
        for name, field in eyes.fields(model).items():
            if name not in row or name == "id":
                continue
            if field.x2many:
                links.append((name, self._label(name), *self._linked(field, row[name], known)))
                continue
            choices = dict(self._described.get(name, {}).get("selection", ()))
            cell = shown(field, row[name], choices, self._visit.viewer.lang, self._suffix, known)
            target = tail if name in MAGIC_FIELDS or cell.empty else wide if field.type in _WIDE else lines
            target.append((name, self._label(name), cell))
        site = self._visit.site
        may = {
            o: site.writable and eyes.other is None and eyes.own.can(o, model.name).allowed
            for o in ("write", "unlink")
        }
        return {
            "model": model,
            "label": model_label(model),
            "seen": eyes,
            "record": self._id,
            "name": eyes.names(model, [self._id]).get(self._id) or f"{model_label(model)} #{self._id}",
            "lines": lines,
            "wide": wide,
            "links": [link for link in links if link[2]],
            "tail": tail,
            "suffix": self._suffix,
            "may": may,
            "history": site.audit is not None and eyes.other is None,
            "marked": eyes.marked(model) if self._visit.query.text("marks") else ((), ()),
        }

    def _row(self) -> dict[str, Any]:
        model, eyes = self._model, self._eyes
        for look in dict.fromkeys((eyes.own, eyes.eyes)):
            if not look.search(model.name, [("id", "=", self._id)], active_test=False):
                raise UnknownRecord(
                    f"{model_label(model)} #{self._id} is gone, or out of sight",
                    fix="it may have been deleted meanwhile; look for it in the list",
                )
        return eyes.read(model, [self._id], None)[0]

    def _label(self, name: str) -> str:
        return str(self._described.get(name, {}).get("string") or name)

    def _linked(self, field: Field, ids: Any, known: frozenset[str]) -> tuple[int, list[tuple[str, str]]]:
        """How many records a field leads to, and the first of them by name."""
        found = list(ids or ())
        if not field.comodel or field.comodel not in known:
            return len(found), []
        target = self._visit.site.model(field.comodel)
        try:
            names = self._eyes.names(target, found[:LISTED])
        except VallumError:
            names = {}
        return len(found), [
            (names.get(i, f"#{i}"), f"/data/{field.comodel}/{i}{self._suffix}") for i in found[:LISTED]
        ]
