"""Sort the values for one record: own columns, records behind x2many fields, the parents' fields.

Pure but for what the actor's eyes know. Every name is checked before any value is read: an unknown
field, a shut one and one that nobody sets are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vallum.enforce.values.call import Call
from vallum.enforce.values.commands import Step, parse_commands
from vallum.enforce.values.parse import parsed
from vallum.kernel import InvalidValue, MissingValue, ReadonlyField, shown
from vallum.schema import Field, Model

__all__ = ["Draft", "draft"]

_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Draft:
    """Parsed values of one record: `own` by field, `lines` by x2many field, `parents` by delegating field."""

    own: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    parents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.own or self.lines or self.parents)


def draft(call: Call, model: Model, values: Any, trusted: frozenset[str] = _NOBODY) -> Draft:
    """The values for a record of the model. `trusted`: fields that Vallum itself set.

    Raises: UnknownField, AccessDenied (a shut field), ReadonlyField, InvalidValue, MissingValue.
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise InvalidValue(f"{shown(values)} are no values", fix="give a dict of values by field")
    found = Draft()
    for item in _fields(call, model, tuple(values), trusted):
        value = values[item.name]
        if item.inherited:
            found.parents.setdefault(item.related[0], {})[item.related[1]] = value
        elif item.x2many:
            found.lines[item.name] = parse_commands(item, value)
        else:
            found.own[item.name] = _own(call, item, value)
    return found


def _fields(call: Call, model: Model, names: tuple[str, ...], trusted: frozenset[str]) -> tuple[Field, ...]:
    """The fields of these names, checked once for all records of a call that have the same."""
    key = (model.name, names, trusted)
    found = call.checked.get(key)
    if found is None:
        found = tuple(model.field(name) for name in names)
        for item in found:
            if item.name not in trusted:
                call.eyes.check_field(item)
            _check_settable(call, model, item)
        call.checked[key] = found
    return found


def _own(call: Call, item: Field, value: Any) -> Any:
    read = parsed(item, call.column(item), value)
    if read is None and item.required:
        raise MissingValue(f"`{item}` needs a value", fix="give one, or leave the field out")
    return read


def _check_settable(call: Call, model: Model, item: Field) -> None:
    if item.name == "parent_path" and model.parent_store:
        raise ReadonlyField(f"`{item}` follows from `{model.parent_name}`", fix=f"set `{model.parent_name}`")
    if item.name in call.ours(model):
        raise ReadonlyField(f"`{item}` is set by Vallum alone", fix="leave it out")
    stored = item.inherited or item.x2many or call.column(item) is not None
    if item.readonly or not stored:
        raise ReadonlyField(f"`{item}` is computed", fix="set the fields it follows from")
