"""Values as people type them into a form, and as they are shown there again.

Pure, but for links: those are looked up by name through the viewer's own eyes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from vallum.facade import Session
from vallum.kernel import InvalidValue
from vallum.schema import MAGIC_FIELDS, NUMBER_TYPES, Field, Model
from vallum.server.pages import Query
from vallum.server.pages.formats import moment, zone_of

__all__ = ["Control", "controls", "typed_values"]

PREFIX: Final = "v."
MOST_CHOICES: Final = 60
_EDITED: Final = frozenset(
    {
        "char",
        "text",
        "html",
        "integer",
        "float",
        "monetary",
        "boolean",
        "date",
        "datetime",
        "selection",
        "many2one",
    }
)
_ID: Final = re.compile(r"\(#([0-9]{1,18})\)\s*$")


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a form. `kind`: which; `options`: what can be chosen."""

    name: str
    label: str
    kind: str
    value: str
    required: bool = False
    options: Sequence[tuple[str, str]] = ()


def editable(model: Model, open_fields: Mapping[str, Field], described: Mapping[str, Any]) -> list[Field]:
    """The fields that a form lets people change: stored, open, and not kept by the system."""
    return [
        field
        for name, field in open_fields.items()
        if field.type in _EDITED
        and field.stored
        and field.column
        and not field.computed
        and not field.inherited
        and name not in MAGIC_FIELDS
        and name not in ("id", "parent_path", model.active_name or "")
        and not described.get(name, {}).get("readonly", True)
    ]


def controls(
    eyes: Session,
    fields: Sequence[Field],
    described: Mapping[str, Any],
    row: Mapping[str, Any],
    typed: Query,
    tz: str | None,
) -> list[Control]:
    """The controls of a form, with what was typed, else with what the record holds."""
    made = []
    for field in fields:
        about = described[field.name]
        key = PREFIX + field.name
        value = typed.get(key, "") if len(typed) else shown(field, row.get(field.name), tz)
        required = bool(about.get("required"))
        made.append(
            Control(field.name, about["string"], _kind(field), value, required, _options(eyes, field, about))
        )
    return made


def _kind(field: Field) -> str:
    if field.type in NUMBER_TYPES:
        return "number"
    return {"char": "text", "text": "area", "html": "area", "datetime": "datetime"}.get(
        field.type, field.type
    )


def _options(eyes: Session, field: Field, about: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    if field.type == "selection":
        return [("", ""), *((str(key), str(label)) for key, label in about.get("selection", ()))]
    if field.type != "many2one" or field.comodel is None or not eyes.can("read", field.comodel).allowed:
        return ()
    return [(link_text(i, name), "") for i, name in eyes.name_search(field.comodel, "", limit=MOST_CHOICES)]


def link_text(record: int, name: Any) -> str:
    """How a link is written in a form: the name, and the id that tells namesakes apart."""
    return f"{name} (#{record})" if name else f"(#{record})"


def shown(field: Field, value: Any, tz: str | None) -> str:
    """A value as a control holds it."""
    if value is None or (value is False and field.type != "boolean"):
        return ""
    if field.type == "boolean":
        return "1" if value else ""
    if field.type == "many2one" and isinstance(value, tuple):
        return link_text(value[0], value[1])
    if isinstance(value, datetime):
        return moment(value).astimezone(zone_of(tz)).strftime("%Y-%m-%dT%H:%M:%S")
    return value.isoformat() if isinstance(value, date) else str(value)


def typed_values(
    eyes: Session, fields: Sequence[Field], form: Query, before: Mapping[str, Any], tz: str | None
) -> dict[str, Any]:
    """The values that were changed. `before`: what the form showed; what is as it was is left alone.

    Raises: InvalidValue.
    """
    found = {}
    for field in fields:
        given = form.get(PREFIX + field.name, "").replace("\r\n", "\n")
        if given == shown(field, before.get(field.name), tz):
            continue
        found[field.name] = _value(eyes, field, given, tz)
    return found


def _value(eyes: Session, field: Field, text: str, tz: str | None) -> Any:
    if field.type == "boolean":
        return bool(text)
    if field.type in ("char", "text", "html"):
        return text or False
    text = text.strip()
    if not text:
        return 0 if field.type in NUMBER_TYPES and field.required else False
    label = field.string or field.name
    try:
        if field.type == "integer":
            return int(text)
        if field.type in NUMBER_TYPES:
            return _number(text)
        if field.type == "date":
            return date.fromisoformat(text)
        if field.type == "datetime":
            local = datetime.fromisoformat(text).replace(tzinfo=zone_of(tz))
            return local.astimezone(zone_of("UTC")).replace(tzinfo=None)
    except ValueError:
        raise InvalidValue(f"{label}: `{text:.60}` cannot be read", fix=f"give a {field.type}") from None
    return _link(eyes, field, text) if field.type == "many2one" else text


def _number(text: str) -> float:
    number = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _link(eyes: Session, field: Field, text: str) -> int:
    """The record that was named: by its id in brackets, or by a name that only one has.

    Raises: InvalidValue.
    """
    label = field.string or field.name
    marked = _ID.search(text)
    if marked:
        return int(marked[1])
    found = eyes.name_search(field.comodel or "", text, limit=2)
    if len(found) == 1:
        return found[0][0]
    many = "several records are" if found else "no record is"
    raise InvalidValue(f"{label}: {many} called `{text:.60}`", fix="choose one of the list")
