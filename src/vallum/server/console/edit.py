"""Change, make and delete records, as far as the policy and the application let the viewer.

Invariant: a record is written only as it was when the form was opened; who comes second sees what changed.
Invariant: whatever goes wrong, the form comes back with what was typed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from vallum.facade import Session
from vallum.kernel import Conflict, ConnectionFailed, UnknownRecord, VallumError
from vallum.schema import Model
from vallum.server.console.entry import controls, editable, shown, typed_values
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, NotYours, Page, Pages, Query, Redirect
from vallum.server.pages.failures import failure_of

__all__ = ["pages"]

pages: Pages[Site] = Pages()


class Desk:
    """A record, or a new one, on the desk of the viewer."""

    def __init__(self, visit: Ask, operation: str) -> None:
        site = visit.site
        if not site.writable:
            why = "an Odoo database is never written to" if site.odoo else "this server only reads"
            raise NotYours(f"nothing can be changed here: {why}", fix="change it in the application itself")
        self.visit = visit
        self.model: Model = site.model(visit.parts["model"])
        self.eyes: Session = site.eyes(visit)
        decision = self.eyes.can(operation, self.model.name)
        if not decision.allowed:
            raise NotYours(f"no access right lets you {operation} {model_label(self.model)}")
        self.record = int(visit.parts["record"]) if "record" in visit.parts else None
        self.described = self.eyes.fields_get(self.model.name)
        self.fields = editable(self.model, self.eyes.fields(self.model.name), self.described)

    def row(self) -> dict[str, Any]:
        """What the record holds now; the defaults of a new one.

        Raises: UnknownRecord, where it is gone or out of sight.
        """
        names = [field.name for field in self.fields]
        if self.record is None:
            return dict(self.eyes.default_get(self.model.name, names))
        if not self.eyes.search(self.model.name, [("id", "=", self.record)], active_test=False):
            raise UnknownRecord(
                f"{model_label(self.model)} #{self.record} is gone, or out of sight",
                fix="what you typed is kept in this tab; copy it before you leave",
            )
        wanted = [*names, *(["write_date"] if "write_date" in self.eyes.fields(self.model.name) else [])]
        return self.eyes.read(self.model.name, [self.record], wanted, active_test=False)[0]

    @property
    def path(self) -> str:
        """The page of the record, or of the list."""
        return f"/data/{self.model.name}" + (f"/{self.record}" if self.record else "")

    @property
    def keep(self) -> str:
        """Under what the browser keeps what is typed."""
        return f"{self.model.name}/{self.record or 'new'}"

    def page(self, row: Mapping[str, Any], typed: Query, **more: Any) -> Page:
        """The form."""
        tz = self.visit.viewer.tz
        values = {
            "model": self.model,
            "label": model_label(self.model),
            "record": self.record,
            "name": f"{model_label(self.model)} #{self.record}" if self.record else model_label(self.model),
            "controls": controls(self.eyes, self.fields, self.described, row, typed, tz),
            "version": _version(row),
            "key": typed.text("key") or secrets.token_hex(16),
            "keep": self.keep,
            "back": self.path,
            "failure": None,
            "differences": (),
            **more,
        }
        status = HTTPStatus(values["failure"].status) if values["failure"] else HTTPStatus.OK
        return Page("edit.html", values, status=status)


def _version(row: Mapping[str, Any]) -> str:
    value = row.get("write_date")
    return value.isoformat(sep=" ") if value else ""


@pages.get("/data/{model:str}/new")
def new(visit: Ask) -> Answer:
    """An empty form."""
    desk = Desk(visit, "create")
    return desk.page(desk.row(), Query())


@pages.post("/data/{model:str}/new")
def create(visit: Ask) -> Answer:
    """Make a record; the form's key makes it once, however often it is sent."""
    desk = Desk(visit, "create")
    row = desk.row()
    try:
        values = typed_values(desk.eyes, desk.fields, visit.form, {}, visit.viewer.tz)
        made = desk.eyes.create(desk.model.name, values, key=visit.form.text("key") or None)
    except ConnectionFailed:
        raise
    except VallumError as error:
        return desk.page(row, visit.form, failure=failure_of(error))
    return Redirect(f"/data/{desk.model.name}/{made}?{Query().but(saved=desk.keep)}")


@pages.get("/data/{model:str}/{record:int}/edit")
def edit(visit: Ask) -> Answer:
    """The form of a record."""
    desk = Desk(visit, "write")
    return desk.page(desk.row(), Query())


@pages.post("/data/{model:str}/{record:int}/edit")
def write(visit: Ask) -> Answer:
    """Write what was changed, unless somebody else was faster."""
    desk = Desk(visit, "write")
    try:
        row = desk.row()
    except UnknownRecord as error:
        return desk.page({}, visit.form, failure=failure_of(error))
    tz = visit.viewer.tz
    version = visit.form.text("version")
    try:
        if version != _version(row):
            raise Conflict("somebody else has changed this record since you opened it")
        values = typed_values(desk.eyes, desk.fields, visit.form, row, tz)
        if values:
            given = {"version": row["write_date"]} if version else {}
            desk.eyes.write(desk.model.name, [desk.record or 0], values, **given)
    except Conflict as error:
        return desk.page(row, visit.form, failure=failure_of(error), differences=_differences(desk, row))
    except ConnectionFailed:
        raise
    except VallumError as error:
        return desk.page(row, visit.form, failure=failure_of(error))
    return Redirect(f"{desk.path}?{Query().but(saved=desk.keep)}")


def _differences(desk: Desk, row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Where what was typed and what is there now differ: label, there now, typed."""
    tz = desk.visit.viewer.tz
    found = []
    for field in desk.fields:
        now = shown(field, row.get(field.name), tz)
        typed = desk.visit.form.get(f"v.{field.name}", "")
        if now != typed:
            found.append((desk.described[field.name]["string"], now, typed))
    return found


@pages.get("/data/{model:str}/{record:int}/delete")
def ask_delete(visit: Ask) -> Answer:
    """Ask before what cannot be undone."""
    desk = Desk(visit, "unlink")
    desk.row()
    names = desk.eyes.name_search(desk.model.name, "", [("id", "=", desk.record)], limit=1)
    name = names[0][1] if names and names[0][1] else f"{model_label(desk.model)} #{desk.record}"
    return Page(
        "delete.html",
        {
            "model": desk.model,
            "label": model_label(desk.model),
            "name": str(name),
            "back": desk.path,
            "failure": None,
        },
    )


@pages.post("/data/{model:str}/{record:int}/delete")
def delete(visit: Ask) -> Answer:
    """Delete a record."""
    desk = Desk(visit, "unlink")
    try:
        desk.row()
        desk.eyes.unlink(desk.model.name, [desk.record or 0])
    except ConnectionFailed:
        raise
    except VallumError as error:
        failure = failure_of(error)
        values = {
            "model": desk.model,
            "label": model_label(desk.model),
            "name": f"#{desk.record}",
            "back": desk.path,
            "failure": failure,
        }
        return Page("delete.html", values, status=HTTPStatus(failure.status))
    return Redirect(f"/data/{desk.model.name}")
