"""The values of a resource as expressions of SQL: found in JSON or in a column, present, compared.

Pure. Values appear only as bound parameters; names come from the resolved schema.
Invariant: every condition is true or false, never null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from scim2_models import Extension, InvalidFilterException
from scim2_models.path import AttributeBinding, CompareOperator

__all__ = [
    "Bool",
    "Json",
    "compare_column",
    "compare_json",
    "entries",
    "head",
    "in_bytes",
    "is_present",
    "sub",
    "sub_name",
    "text",
]

Bool: TypeAlias = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value in its two spellings: as it is, and as it is compared."""

    exact: sa.ColumnElement[Any]
    folded: sa.ColumnElement[Any]

    def __getitem__(self, name: str) -> Json:
        return Json(self.exact[name], self.folded[name])

    def spelled(self, binding: AttributeBinding) -> sa.ColumnElement[Any]:
        """The spelling in which this attribute is compared."""
        return self.exact if binding.case_exact else self.folded


def names_of(binding: AttributeBinding) -> tuple[str, str | None]:
    """What an attribute and its part are called in JSON: the end of the name that the schema gives them."""
    name, _, sub = binding.urn.rpartition(":")[2].partition(".")
    return name, sub or None


def head(json: Json, binding: AttributeBinding) -> Json:
    """The attribute of a resource, or of one of its extensions."""
    name, _ = names_of(binding)
    schema = str(getattr(binding.model, "__schema__", ""))
    return json[schema][name] if issubclass(binding.model, Extension) else json[name]


def sub_name(binding: AttributeBinding) -> str:
    _, sub = names_of(binding)
    if sub is None:
        raise InvalidFilterException(detail=f"{binding.urn} has no attributes")
    return sub


def sub(json: Json, binding: AttributeBinding) -> Json:
    return json[sub_name(binding)] if binding.sub_field_name is not None else json


def text(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    return value.op("#>>", return_type=sa.Text())(sa.literal_column("'{}'"))


def in_bytes(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Ordered by code points, whatever the database's collation."""
    return sa.collate(value, "C")


def entries(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    kind = sa.func.jsonb_typeof(value)
    return sa.case((kind == "array", value), else_=sa.literal_column("'[]'::jsonb"))


def is_present(value: sa.ColumnElement[Any]) -> Bool:
    nothing: sa.ColumnElement[Any] = sa.literal_column("""ARRAY['null', '""', '[]', '{}']::jsonb[]""")
    return sa.func.coalesce(value != sa.func.all(nothing), False, type_=sa.Boolean())


def compare_json(json: Json, binding: AttributeBinding, op: CompareOperator, value: Any) -> Bool:
    node = json.spelled(binding)
    if value is None:
        return sa.not_(is_present(json.exact)) if op == CompareOperator.eq else sa.false()
    if isinstance(value, bool):
        equal = node == sa.literal_column("'true'::jsonb" if value else "'false'::jsonb")
        return sa.func.coalesce(equal, False, type_=sa.Boolean())
    if not isinstance(value, str):
        raise InvalidFilterException(detail=f"cannot compare {binding.urn}")
    return _compare_text(text(node), op, binding.comparable(str(value)))


def compare_column(
    column: sa.ColumnElement[Any], binding: AttributeBinding, op: CompareOperator, value: Any
) -> Bool:
    if value is None:
        return column.is_(None) if op == CompareOperator.eq else sa.false()
    if isinstance(value, str):
        return _compare_text(column, op, binding.comparable(str(value)))
    if not isinstance(value, bool | datetime) or op not in _ORDER:
        raise InvalidFilterException(detail=f"cannot compare {binding.urn}")
    return sa.func.coalesce(_ORDER[op](column, sa.literal(value)), False, type_=sa.Boolean())


_ORDER: Final[dict[CompareOperator, Callable[[Any, Any], Any]]] = {
    CompareOperator.eq: lambda a, b: a == b,
    CompareOperator.gt: lambda a, b: a > b,
    CompareOperator.ge: lambda a, b: a >= b,
    CompareOperator.lt: lambda a, b: a < b,
    CompareOperator.le: lambda a, b: a <= b,
}


def _compare_text(text: sa.ColumnElement[Any], op: CompareOperator, value: str) -> Bool:
    if "\0" in value:
        return sa.false()
    operand = sa.literal(value, sa.Text())
    match op:
        case CompareOperator.co:
            found: Any = sa.func.strpos(text, operand) > 0
        case CompareOperator.sw:
            found = sa.func.starts_with(text, operand)
        case CompareOperator.ew:
            found = sa.func.right(text, sa.func.char_length(operand)) == operand
        case CompareOperator.eq:
            found = text == operand
        case _:
            found = _ORDER[op](in_bytes(text), operand)
    return sa.func.coalesce(found, False, type_=sa.Boolean())
