"""Copy a record as an actor: what the actor may read of it, into a new one.

As in Odoo: links of many2many fields are copied, the lines of one2many fields are not; a delegated parent is
copied along; of values per company only the current one's. Fields that are shut to the actor get their
defaults. Values go over as they are stored, texts in all languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from vallum.enforce.query.check import check
from vallum.enforce.query.lines import lines_of
from vallum.enforce.values import writer
from vallum.enforce.values.call import Call
from vallum.enforce.values.draft import draft
from vallum.kernel import AccessDenied, Operation
from vallum.schema import Field, Model

__all__ = ["copy"]


def copy(call: Call, name: str, record: int, default: Mapping[str, Any]) -> int:
    """The id of the copy. `default`: values it shall have instead.

    Raises: AccessDenied, UnknownRecord (superuser only), UnknownField, ReadonlyField, InvalidValue,
    MissingValue, psycopg.Error.
    """
    model = call.eyes.model(name)
    call.check_right(model, Operation.CREATE)
    check(call.eyes, name, [record], Operation.READ)
    wanted = draft(call, model, default)  # so that what is wrong with it is said before anything is done
    values = {n: v for n, v in default.items() if not model.fields[n].inherited}
    columns = [f for f in model.fields.values() if _copied(call, model, f) and f.name not in default]
    raw = _stored(call, model, record, [f for f in columns if not f.x2many])
    for parent, via in model.inherits.items():
        if via not in default:
            raw[via] = copy(call.deeper(), parent, raw[via], wanted.parents.get(via, {}))
        elif via in wanted.parents:
            values.update({n: v for n, v in default.items() if model.fields[n].inherited})
    for field in columns:
        if field.x2many:
            values[field.name] = [(6, 0, lines_of(call.eyes, field, [record], active_test=False)[record])]
    return writer.create(call, name, [values], raw=raw)[0]


def _copied(call: Call, model: Model, field: Field) -> bool:
    """Whether a copy of a record has the value of the field."""
    if field.name in call.ours(model) or field.inherited or field.readonly or field.type == "one2many":
        return False
    if field.name in model.inherits.values():
        return True
    try:
        call.eyes.check_field(field)
    except AccessDenied:
        return False
    return field.type == "many2many" or call.column(field) is not None


def _stored(call: Call, model: Model, record: int, fields: list[Field]) -> dict[str, Any]:
    """The columns of the record as they are stored."""
    if not fields:
        return {}
    statement = sql.SQL("SELECT {} FROM {} WHERE id = %(id)s").format(
        sql.SQL(", ").join(sql.Identifier(f.name) for f in fields), sql.Identifier(model.table)
    )
    row = call.eyes.application.database.rows(statement, {"id": record})[0]
    company = str(call.company)
    return {
        f.name: {k: v for k, v in value.items() if k == company}
        if f.company_dependent and isinstance(value, dict)
        else value
        for f, value in zip(fields, row, strict=True)
    }
