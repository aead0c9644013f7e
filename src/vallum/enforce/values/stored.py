"""From a field's parsed value to what its column holds: per language, per company, or as it is.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from vallum.enforce.values.call import Call
from vallum.enforce.values.rows import Expression, Set
from vallum.kernel import InvalidValue, MissingValue
from vallum.schema import MAGIC_FIELDS, Column, Default, Field, Model

__all__ = ["changed", "defaulted", "held", "new"]

_OBJECT: Final = "CASE jsonb_typeof({column}) WHEN 'object' THEN {column} ELSE '{{}}'::jsonb END"
_TEXTS: Final = "({value} -> 'first') || " + _OBJECT + " || ({value} -> 'last')"
_LATER: Final = "GREATEST({value}, {column} + interval '1 microsecond')"


def new(
    call: Call,
    model: Model,
    records: Iterable[Mapping[str, Any]],
    raw: Mapping[str, Any] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """The columns of new records: what is given, `raw` as it is, defaults for the rest, who and when.

    Raises: MissingValue, InvalidValue.
    """
    columns, ours = call.storage.of(model.name), call.ours(model)
    counted = call.storage.versions.get(model.name)
    stamps = {**call.stamp(model, MAGIC_FIELDS), **({} if counted is None else {counted: 1})}
    lacking = [(n, c) for n, c in columns.items() if n not in ours and n not in raw and _matters(model, n, c)]
    rows = []
    for values in records:
        row = {**raw, **{name: held(call, model.fields[name], value) for name, value in values.items()}}
        known = dict(values)  # as in SQLAlchemy, a default sees what is given and the defaults before its own
        for name, column in lacking:
            if name in row:
                continue
            if column.default is None:
                raise MissingValue(f"`{model.fields[name]}` needs a value", fix="give one")
            row[name] = known[name] = defaulted(column.default, known)
        row.update(stamps)
        rows.append({name: _normal(columns[name], value) for name, value in row.items()})
    return rows


def _matters(model: Model, name: str, column: Column) -> bool:
    """Whether something is to be done where the field is not given."""
    return column.default is not None or (model.fields[name].required and not column.server_default)


def changed(call: Call, model: Model, values: Mapping[str, Any]) -> list[Set]:
    """The parts of an UPDATE: what is given, what the application sets at every update, who and when."""
    columns, ours = call.storage.of(model.name), call.ours(model)
    parts = [_set(call, model.fields[name], columns[name], value) for name, value in values.items()]
    for name, column in columns.items():
        if column.on_update is not None and name not in values and name not in ours:
            parts.append(Set(name, column.type, _normal(column, defaulted(column.on_update, values))))
    for name, value in call.stamp(model, ("write_uid", "write_date")).items():
        # Strictly later each time: `write_date` is a version as well.
        parts.append(Set(name, columns[name].type, value, _LATER if name == "write_date" else "{value}"))
    counted = call.storage.versions.get(model.name)
    if counted is not None:
        parts.append(Set(counted, columns[counted].type, 1, "COALESCE({column}, 0) + {value}"))
    return parts


def _set(call: Call, field: Field, column: Column, value: Any) -> Set:
    stored = held(call, field, value)
    if field.translate and value is not None:
        both = {"first": {"en_US": value}, "last": {call.lang: value}}
        return Set(field.name, column.type, both, _TEXTS)
    if field.company_dependent:
        return Set(field.name, column.type, stored, _OBJECT + " || {value}")
    return Set(field.name, column.type, _normal(column, stored))


def held(call: Call, field: Field, value: Any) -> Any:
    """What the column of a new record holds for a parsed value.

    Raises: InvalidValue, where a value per company is given and there is no company.
    """
    column = call.column(field)
    if field.translate:
        return None if value is None else {"en_US": value, call.lang: value}
    if field.company_dependent:
        if call.company is None:
            raise InvalidValue(f"`{field}` has a value per company, and there is no current one")
        return {str(call.company): _plain(value)}
    if value is not None and column is not None and column.bind is not None:
        return column.bind(value)
    return value


def defaulted(default: Default, values: Mapping[str, Any]) -> Any:
    """What a default makes of the other values of the record."""
    if default.compute is None:
        return Expression(default.expression)
    return default.compute(values)


def _plain(value: Any) -> Any:
    """A value in JSON, as it is read again per company."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _normal(column: Column, value: Any) -> Any:
    """A number in the one Python type that arrays of its column are bound in."""
    if isinstance(value, bool | Expression) or not isinstance(value, int | float | Decimal):
        return value
    if column.type == "numeric":
        return value if isinstance(value, Decimal) else Decimal(repr(value))
    return float(value) if column.type in ("float4", "float8") else value
