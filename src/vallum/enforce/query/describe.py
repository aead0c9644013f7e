"""Describe the fields of a model that are open to an actor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from vallum.enforce.query.columns import field_names
from vallum.enforce.query.eyes import Eyes
from vallum.kernel import AccessDenied, Operation
from vallum.schema import Field, Model

__all__ = ["fields_get"]

_LABELS: Final = (
    "SELECT f.name, coalesce(f.field_description ->> %(lang)s, f.field_description ->> 'en_US')"
    " FROM ir_model_fields f WHERE f.model = %(model)s"
)
_CHOICES: Final = (
    "SELECT f.name, s.value, coalesce(s.name ->> %(lang)s, s.name ->> 'en_US')"
    " FROM ir_model_fields_selection s JOIN ir_model_fields f ON f.id = s.field_id"
    " WHERE f.model = %(model)s"
)


def fields_get(eyes: Eyes, model: str, fields: Iterable[str] | None) -> dict[str, dict[str, Any]]:
    """Per open field what a client needs to know of it; unknown and shut ones are left out.

    `readonly` says whether the actor may set it; `selection` holds (value, label) pairs.
    Raises: UnknownModel, AccessDenied (no access right opens the model).
    """
    target, access = eyes.model(model), eyes.access
    eyes.check_open(target)
    listed = field_names(fields)
    names = target.fields if listed is None else [n for n in listed if n in target.fields]
    writable = access is None or any(access.may(target, o) for o in (Operation.WRITE, Operation.CREATE))
    labels, choices = _texts(eyes, target)
    return {
        name: _described(field, writable, labels.get(name), choices.get(name, {}))
        for name in names
        if _open(eyes, field := target.fields[name])
    }


def _open(eyes: Eyes, field: Field) -> bool:
    try:
        eyes.check_field(field)
    except AccessDenied:
        return False
    return True


def _described(field: Field, writable: bool, label: str | None, choices: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": field.type,
        "string": label or field.string or field.name,
        "required": field.required,
        "readonly": field.readonly or not writable,
    }
    if field.relational:
        found["relation"] = field.comodel
    if field.type == "selection":
        found["selection"] = [(value, choices.get(value, value)) for value in field.selection]
    return found


def _texts(eyes: Eyes, model: Model) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Labels of fields, and of the values of selections, in the actor's language."""
    if "ir.model.fields" not in eyes.application.schema:
        return {}, {}
    values = {"model": model.name, "lang": eyes.actor.lang if eyes.actor else "en_US"}
    choices: dict[str, dict[str, str]] = {}
    if "ir.model.fields.selection" in eyes.application.schema:
        for name, value, label in eyes.rows((_CHOICES, {}), **values):
            choices.setdefault(name, {})[value] = label
    return dict(eyes.rows((_LABELS, {}), **values)), choices
