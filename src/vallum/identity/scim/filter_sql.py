"""Compile a SCIM filter, or what to sort by, into a condition over the tables of provisioning.

Pure. The filter is parsed and resolved by scim2-models; here each node of its tree becomes an expression of
SQLAlchemy's. It means what `ScimFilter.match` says of the resource, which the tests hold it to.
Invariant: values appear only as bound parameters; names of attributes come from the resolved schema, never
from what a client wrote; what cannot be compiled is refused.
Invariant: every condition is true or false, never null, so that `not` means its opposite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from scim2_models import Extension, InvalidFilterException
from scim2_models.path import (
    AttributeBinding,
    AttrPath,
    CompareOperator,
    Comparison,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ScimFilter,
    ValuePath,
    coerce_value,
)
from sqlalchemy.dialects.postgresql import JSONB

from vallum.identity.scim.models import Group, Kind
from vallum.identity.scim.tables import GROUP, MEMBER, USER

__all__ = ["condition", "sort_key"]

Bool = sa.ColumnElement[bool]
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class _Json:
    """A JSON value in its two spellings: as it is, and as it is compared."""

    exact: sa.ColumnElement[Any]
    folded: sa.ColumnElement[Any]

    def __getitem__(self, name: str) -> _Json:
        return _Json(self.exact[name], self.folded[name])

    def spelled(self, binding: AttributeBinding) -> sa.ColumnElement[Any]:
        """The spelling in which this attribute is compared."""
        return self.exact if binding.case_exact else self.folded


def condition(wanted: ScimFilter[Any], kind: Kind, *, among_others: bool = False) -> Bool:
    """The filter over the table of that kind.

    `among_others`: other kinds are searched as well, so that what this one does not have is false.

    Raises: SCIMException.
    """
    if len(wanted) > _LONGEST:
        raise InvalidFilterException(detail=f"the filter has more than {_LONGEST} characters")
    bound = ScimFilter[kind](str(wanted))  # type: ignore[valid-type]
    return _Compiler(bound, kind, strict=not among_others).visit(bound.ast)


def sort_key(binding: AttributeBinding, kind: Kind) -> sa.ColumnElement[Any]:
    """What to order by. Raises: SCIMException."""
    table = _table(kind)
    column = _column(binding, kind)
    if column is not None:
        return column if binding.case_exact or not isinstance(column.type, sa.Text) else _bytes(column)
    if _virtual(binding, kind):
        raise InvalidFilterException(detail=f"cannot sort by {binding.urn}")
    value = _head(_Json(table.c.data, table.c.folded), binding)
    if binding.is_multivalued:
        first = sa.func.jsonb_path_query_first
        primary = sa.func.coalesce(
            first(
                value.spelled(binding),
                sa.literal_column("'$[*] ? (@.primary == true)'::jsonpath"),
                type_=JSONB,
            ),
            value.spelled(binding)[0],
            type_=JSONB,
        )
        return _bytes(_text(primary[_sub_name(binding)] if binding.sub_field_name else primary))
    node = value[_sub_name(binding)] if binding.sub_field_name else value
    return _bytes(_text(node.spelled(binding)))


class _Compiler(FilterVisitor[Bool]):
    """Over a resource or, within a value path, over one entry of an attribute."""

    def __init__(
        self,
        bound: ScimFilter[Any],
        kind: Kind,
        head: AttrPath | None = None,
        entry: _Json | None = None,
        *,
        strict: bool = True,
    ) -> None:
        self._bound = bound
        self._kind = kind
        self._head = head
        self._entry = entry
        self._strict = strict

    def visit_not(self, node: Not) -> Bool:
        return sa.not_(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Bool:
        join = sa.and_ if node.op == LogicalOperator.and_ else sa.or_
        return join(*(self.visit(term) for term in node.terms))

    def visit_value_path(self, node: ValuePath) -> Bool:
        if self._entry is not None:
            raise InvalidFilterException(detail="a value path within another one")
        binding = self._resolved(node.attr_path)
        if binding is None:
            return sa.false()

        def inner(entry: _Json) -> Bool:
            return _Compiler(self._bound, self._kind, node.attr_path, entry, strict=self._strict).visit(
                node.val_filter
            )

        return self._any(binding, inner)

    def visit_present(self, node: Present) -> Bool:
        binding = self._resolved(node.attr_path)
        if binding is None:
            return sa.false()
        if self._entry is not None:
            return _present(self._entry[_sub_name(binding)].exact)
        column = _column(binding, self._kind)
        if column is not None:
            return column.is_not(None)
        if binding.is_multivalued:
            return self._any(binding, lambda entry: _present(_sub(entry, binding).exact))
        return _present(_sub(_head(self._json(), binding), binding).exact)

    def visit_comparison(self, node: Comparison) -> Bool:
        binding = self._resolved(node.attr_path, compared=True)
        if binding is None:
            return sa.false()
        value = coerce_value(binding, node.value, node.op)
        if node.op == CompareOperator.ne:
            return sa.not_(self._compare(binding, CompareOperator.eq, value))
        return self._compare(binding, node.op, value)

    def _compare(self, binding: AttributeBinding, op: CompareOperator, value: Any) -> Bool:
        if self._entry is not None:
            return _compare_json(self._entry[_sub_name(binding)], binding, op, value)
        column = _column(binding, self._kind)
        if column is not None:
            return _compare_column(column, binding, op, value)
        if not binding.is_multivalued:
            return _compare_json(_sub(_head(self._json(), binding), binding), binding, op, value)
        found = self._any(binding, lambda entry: _compare_json(_sub(entry, binding), binding, op, value))
        if value is None and op == CompareOperator.eq:
            return sa.or_(found, sa.not_(self._any(binding, lambda _: sa.true())))
        return found

    def _resolved(self, path: AttrPath, *, compared: bool = False) -> AttributeBinding | None:
        if self._head is not None:
            if path.sub_attr:
                raise InvalidFilterException(detail="attributes of entries have no attributes of their own")
            path = AttrPath(uri=self._head.uri, attr=self._head.attr, sub_attr=path.attr)
        resolve = self._bound.resolve_comparison if compared else self._bound.resolve
        binding = resolve(path, strict=self._strict)
        if binding is not None and binding.field_name == "password":
            raise InvalidFilterException(detail=f"no attribute is called {path}")
        return binding

    def _json(self) -> _Json:
        table = _table(self._kind)
        return _Json(table.c.data, table.c.folded)

    def _any(self, binding: AttributeBinding, holds: Callable[[_Json], Bool]) -> Bool:
        """Whether one of the entries of an attribute fulfils something."""
        if not binding.is_multivalued:
            raise InvalidFilterException(detail=f"{binding.urn} has one value only")
        table = _table(self._kind)
        virtual = _virtual(binding, self._kind)
        if virtual is not None:
            rows: Any = virtual.subquery()
            holding = sa.and_(rows.c.owner == table.c.id, holds(_Json(rows.c.exact, rows.c.folded)))
        else:
            value = _head(self._json(), binding)
            elements = sa.func.jsonb_array_elements(_list(value.exact), type_=JSONB)
            rows = elements.table_valued(sa.column("exact", JSONB), with_ordinality="n").render_derived()
            holding = holds(_Json(rows.c.exact, value.folded[rows.c.n.cast(sa.Integer) - 1]))
        return sa.exists(sa.select(sa.literal(1)).select_from(rows).where(holding).correlate(table))


def _list(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    kind = sa.func.jsonb_typeof(value)
    return sa.case((kind == "array", value), else_=sa.literal_column("'[]'::jsonb"))


def _table(kind: Kind) -> sa.Table:
    return GROUP if kind is Group else USER


def _column(binding: AttributeBinding, kind: Kind) -> sa.ColumnElement[Any] | None:
    """The column that holds an attribute by itself."""
    table = _table(kind)
    if not issubclass(binding.model, kind) and binding.model is not kind:
        return None
    if binding.field_name == "meta":
        name = {"created": "created", "last_modified": "modified"}.get(binding.sub_field_name or "")
        if name is None:
            raise InvalidFilterException(detail=f"cannot compare {binding.urn}")
        return table.c[name]
    if binding.field_name == "id":
        return table.c.id.cast(sa.Text)
    if binding.field_name == ("display_name" if kind is Group else "user_name"):
        return table.c.name_key
    if binding.field_name == "external_id":
        return table.c.external_id
    return table.c.active if binding.field_name == "active" and kind is not Group else None


def _virtual(binding: AttributeBinding, kind: Kind) -> sa.Select[Any] | None:
    """Groups of people and members of groups, as entries; they are in a table of their own."""
    if kind is Group and binding.field_name == "members":
        exact = sa.func.jsonb_build_object("value", MEMBER.c.user_id, "type", "User", type_=JSONB)
        folded = sa.func.jsonb_build_object("value", MEMBER.c.user_id, "type", "user", type_=JSONB)
        return (
            sa.select(MEMBER.c.group_id.label("owner"), exact.label("exact"), folded.label("folded"))
            .select_from(MEMBER)
            .correlate(None)
        )
    if kind is not Group and binding.field_name == "groups":
        exact, folded = (
            sa.func.jsonb_build_object(
                "value", MEMBER.c.group_id, "type", "direct", "display", data["displayName"], type_=JSONB
            )
            for data in (GROUP.c.data, GROUP.c.folded)
        )
        return (
            sa.select(MEMBER.c.user_id.label("owner"), exact.label("exact"), folded.label("folded"))
            .select_from(MEMBER.join(GROUP, GROUP.c.id == MEMBER.c.group_id))
            .correlate(None)
        )
    return None


def _names(binding: AttributeBinding) -> tuple[str, str | None]:
    """What an attribute and its part are called in JSON: the end of the name that the schema gives them."""
    name, _, sub = binding.urn.rpartition(":")[2].partition(".")
    return name, sub or None


def _head(json: _Json, binding: AttributeBinding) -> _Json:
    """The attribute of a resource, or of one of its extensions."""
    name, _ = _names(binding)
    schema = str(getattr(binding.model, "__schema__", ""))
    return json[schema][name] if issubclass(binding.model, Extension) else json[name]


def _sub_name(binding: AttributeBinding) -> str:
    _, sub = _names(binding)
    if sub is None:
        raise InvalidFilterException(detail=f"{binding.urn} has no attributes")
    return sub


def _sub(json: _Json, binding: AttributeBinding) -> _Json:
    return json[_sub_name(binding)] if binding.sub_field_name is not None else json


def _text(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    return value.op("#>>", return_type=sa.Text())(sa.literal_column("'{}'"))


def _bytes(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Ordered by code points, whatever the database's collation."""
    return sa.collate(value, "C")


def _present(value: sa.ColumnElement[Any]) -> Bool:
    nothing: sa.ColumnElement[Any] = sa.literal_column("""ARRAY['null', '""', '[]', '{}']::jsonb[]""")
    return sa.func.coalesce(value != sa.func.all(nothing), False, type_=sa.Boolean())


def _compare_json(json: _Json, binding: AttributeBinding, op: CompareOperator, value: Any) -> Bool:
    node = json.spelled(binding)
    if value is None:
        return sa.not_(_present(json.exact)) if op == CompareOperator.eq else sa.false()
    if isinstance(value, bool):
        equal = node == sa.literal_column("'true'::jsonb" if value else "'false'::jsonb")
        return sa.func.coalesce(equal, False, type_=sa.Boolean())
    if not isinstance(value, str):
        raise InvalidFilterException(detail=f"cannot compare {binding.urn}")
    return _compare_text(_text(node), op, binding.comparable(str(value)))


def _compare_column(
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
            found = _ORDER[op](_bytes(text), operand)
    return sa.func.coalesce(found, False, type_=sa.Boolean())
