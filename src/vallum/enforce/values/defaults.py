"""What a new record would hold where nothing is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from vallum.enforce.query.columns import field_names
from vallum.enforce.query.eyes import Eyes
from vallum.enforce.query.values import shown
from vallum.enforce.statement import compiled
from vallum.kernel import AccessDenied, Operation
from vallum.policy import refused
from vallum.schema import Field, Model, Storage

__all__ = ["default_get"]


def default_get(eyes: Eyes, storage: Storage, name: str, fields: Iterable[str] | None) -> dict[str, Any]:
    """Defaults by field, for those of the fields that have one, as they would be read.

    Those of a sequence are left out: asking would use one up. Without `fields`, all that are open.
    Raises: UnknownModel, UnknownField, AccessDenied (no right to create, or a shut field).
    """
    model, access = eyes.model(name), eyes.access
    if access is not None and not access.may(model, Operation.CREATE):
        raise refused(access.policy, access.actor, Operation.CREATE, name)
    listed = field_names(fields)
    wanted = [model.field(n) for n in listed] if listed is not None else _open(eyes, model)
    found: dict[str, Any] = {}
    for field in wanted:
        eyes.check_field(field)
        value = _default(eyes, storage, model, field)
        if value is not None:
            found[field.name] = shown(field, value)
    return found


def _open(eyes: Eyes, model: Model) -> list[Field]:
    found = []
    for field in model.fields.values():
        try:
            eyes.check_field(field)
        except AccessDenied:
            continue
        found.append(field)
    return found


def _default(eyes: Eyes, storage: Storage, model: Model, field: Field) -> Any:
    if field.inherited:
        parent = eyes.model(model.field(field.related[0]).comodel or "")
        return _default(eyes, storage, parent, parent.field(field.related[1]))
    column = storage.of(model.name).get(field.name)
    if column is None or field.readonly or field.name == "parent_path":
        return None
    if column.default is not None and column.default.compute is not None:
        value = column.default.compute({})
    else:
        clause = column.default.expression if column.default is not None else column.server_expression
        value = None if clause is None else _asked(eyes, clause)
    if field.translate and isinstance(value, dict):
        return next((value[code] for code in eyes.env().languages if value.get(code)), None)
    if field.company_dependent and isinstance(value, dict):
        return value.get(str(eyes.env().company))
    return value


def _asked(eyes: Eyes, clause: Any) -> Any:
    """What PostgreSQL says a clause is now."""
    statement = compiled(sa.select(clause))
    if "nextval(" in statement[0].lower():
        return None
    return eyes.rows(statement)[0][0]
