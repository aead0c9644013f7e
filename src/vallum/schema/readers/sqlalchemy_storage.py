"""Read from SQLAlchemy tables what writing needs: defaults, sizes, constraints, version columns.

Pure: no connection, clock or environment. Whatever the application declares for its own inserts and
updates (`default`, `onupdate`, `server_default`, a `TypeDecorator`, `version_id_col`) holds for Vallum's.
Trust: whoever declares a default or a type runs code whenever a record is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from vallum.schema.model import Schema
from vallum.schema.storage import Column, Constraint, Default, Storage

__all__ = ["read_storage"]

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_INTEGERS: Final = frozenset({"int2", "int4", "int8"})


def read_storage(source: sa.MetaData | type[DeclarativeBase], schema: Schema) -> Storage:
    """How the fields of the schema, which was read from the same tables, are stored."""
    metadata = source if isinstance(source, sa.MetaData) else source.metadata
    columns: dict[str, Mapping[str, Column]] = {}
    constraints: dict[str, Constraint] = {}
    for model in schema.models.values():
        table = metadata.tables[model.table]
        columns[model.name] = MappingProxyType(
            {
                field.name: _column(table.columns[field.name], field.column)
                for field in model.fields.values()
                if field.stored and field.column is not None and field.name in table.columns
            }
        )
        constraints.update(_constraints(table, model.name))
    versions, unwritable = _versions(source, schema)
    return Storage(
        columns=MappingProxyType(columns),
        versions=MappingProxyType(versions),
        constraints=MappingProxyType(constraints),
        unwritable=MappingProxyType(unwritable),
    )


def _column(column: sa.Column[Any], kind: str) -> Column:
    key = next(iter(column.foreign_keys), None)
    server = column.server_default
    expression = server.arg if isinstance(server, sa.DefaultClause) else None
    if isinstance(expression, str):
        expression = sa.literal(expression, sa.Text())
    return Column(
        type=kind,
        size=getattr(_inner(column), "length", None) if not isinstance(_inner(column), sa.Enum) else None,
        precision=getattr(_inner(column), "precision", None) if kind == "numeric" else None,
        scale=getattr(_inner(column), "scale", None) if kind == "numeric" else None,
        default=_default(column.default, _bind(column)),
        on_update=_default(column.onupdate, _bind(column)),
        server_default=server is not None or column.identity is not None,
        server_expression=None if expression is None else sa.cast(expression, column.type),
        on_delete=(key.ondelete or "NO ACTION").upper() if key is not None else None,
        bind=_bind(column) if isinstance(column.type, TypeDecorator) else None,
    )


def _inner(column: sa.Column[Any]) -> Any:
    kind: Any = column.type
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(_DIALECT)
    return kind


def _bind(column: sa.Column[Any]) -> Callable[[Any], Any] | None:
    """What the column's type makes of a Python value: members of an Enum become their names."""
    kind = column.type
    if isinstance(kind, TypeDecorator):
        return lambda value: kind.process_bind_param(value, _DIALECT)
    if isinstance(kind, sa.Enum):
        found = kind.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        return found if callable(found) else None
    return None


class _Values:
    """What SQLAlchemy hands to a default that asks for the other values of the record."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.current_parameters = dict(values)

    def get_current_parameters(self, isolate_multiinsert_params: bool = True) -> dict[str, Any]:
        """The values given."""
        return dict(self.current_parameters)


def _default(default: Any, bind: Callable[[Any], Any] | None) -> Default | None:
    if default is None:
        return None
    if default.is_sequence:
        return Default(expression=default.next_value())
    if default.is_clause_element:
        return Default(expression=default.arg)

    def compute(values: Mapping[str, Any]) -> Any:
        value = default.arg(_Values(values)) if default.is_callable else default.arg
        return bind(value) if bind is not None and value is not None else value

    return Default(compute=compute)


def _constraints(table: sa.Table, model: str) -> Iterable[tuple[str, Constraint]]:
    """By the names the constraints have in PostgreSQL, those it gives itself included."""
    prepare = _DIALECT.identifier_preparer
    for constraint in table.constraints:
        names = tuple(str(c.name) for c in getattr(constraint, "columns", ()))
        kind, ending = _kind(constraint)
        given = prepare.format_constraint(constraint) if constraint.name else None
        plain = "_".join((str(table.name), *names, ending)) if kind != "key" else f"{table.name}_{ending}"
        yield (given or plain).strip('"'), Constraint(model, names, kind)
    for index in table.indexes:
        if index.unique and index.name:
            names = tuple(str(c.name) for c in index.columns)
            yield str(prepare.format_index(index)).strip('"'), Constraint(model, names, "unique")


def _kind(constraint: Any) -> tuple[str, str]:
    match constraint:
        case sa.PrimaryKeyConstraint():
            return "key", "pkey"
        case sa.UniqueConstraint():
            return "unique", "key"
        case sa.ForeignKeyConstraint():
            return "reference", "fkey"
    return "check", "check"


def _versions(source: Any, schema: Schema) -> tuple[dict[str, str], dict[str, str]]:
    """The version column of each model that has a mapper with `version_id_col`, and the models where Vallum
    cannot count with it, with the reason.
    """
    if isinstance(source, sa.MetaData):
        return {}, {}
    by_table = {model.table: model for model in schema.models.values()}
    counted: dict[str, str] = {}
    others: dict[str, str] = {}
    for mapper in source.registry.mappers:
        column, model = mapper.version_id_col, by_table.get(getattr(mapper.local_table, "name", ""))
        if column is None or model is None:
            continue
        field = model.fields.get(str(column.name))
        if mapper.version_id_generator is False or field is None or field.column not in _INTEGERS:
            others[model.name] = f"its version column `{column.name}` is no number that an application counts"
        else:
            counted[model.name] = field.name
    return counted, others
