"""Compile a SCIM filter, or what to sort by, into a condition over the tables of provisioning.

Pure. The filter is parsed and resolved by scim2-models; here each node of its tree becomes an expression of
SQLAlchemy's. It means what `ScimFilter.match` says of the resource, which the tests hold it to.
Invariant: values appear only as bound parameters; names of attributes come from the resolved schema, never
from what a client wrote; what cannot be compiled is refused.
Invariant: every condition is true or false, never null, so that `not` means its opposite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from scim2_models import InvalidFilterException
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

from vallum.identity.scim.filter_values import (
    Bool,
    Json,
    compare_column,
    compare_json,
    entries,
    head,
    in_bytes,
    is_present,
    sub,
    sub_name,
    text,
)
from vallum.identity.scim.models import Group, Kind
from vallum.identity.scim.tables import GROUP, MEMBER, USER

__all__ = ["condition", "sort_key"]

_LONGEST: Final = 4096


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
        return column if binding.case_exact or not isinstance(column.type, sa.Text) else in_bytes(column)
    if _virtual(binding, kind):
        raise InvalidFilterException(detail=f"cannot sort by {binding.urn}")
    value = head(Json(table.c.data, table.c.folded), binding)
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
        return in_bytes(text(primary[sub_name(binding)] if binding.sub_field_name else primary))
    node = value[sub_name(binding)] if binding.sub_field_name else value
    return in_bytes(text(node.spelled(binding)))


class _Compiler(FilterVisitor[Bool]):
    """Over a resource or, within a value path, over one entry of an attribute."""

    def __init__(
        self,
        bound: ScimFilter[Any],
        kind: Kind,
        head: AttrPath | None = None,
        entry: Json | None = None,
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

        def inner(entry: Json) -> Bool:
            return _Compiler(self._bound, self._kind, node.attr_path, entry, strict=self._strict).visit(
                node.val_filter
            )

        return self._any(binding, inner)

    def visit_present(self, node: Present) -> Bool:
        binding = self._resolved(node.attr_path)
        if binding is None:
            return sa.false()
        if self._entry is not None:
            return is_present(self._entry[sub_name(binding)].exact)
        column = _column(binding, self._kind)
        if column is not None:
            return column.is_not(None)
        if binding.is_multivalued:
            return self._any(binding, lambda entry: is_present(sub(entry, binding).exact))
        return is_present(sub(head(self._json(), binding), binding).exact)

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
            return compare_json(self._entry[sub_name(binding)], binding, op, value)
        column = _column(binding, self._kind)
        if column is not None:
            return compare_column(column, binding, op, value)
        if not binding.is_multivalued:
            return compare_json(sub(head(self._json(), binding), binding), binding, op, value)
        found = self._any(binding, lambda entry: compare_json(sub(entry, binding), binding, op, value))
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

    def _json(self) -> Json:
        table = _table(self._kind)
        return Json(table.c.data, table.c.folded)

    def _any(self, binding: AttributeBinding, holds: Callable[[Json], Bool]) -> Bool:
        """Whether one of the entries of an attribute fulfils something."""
        if not binding.is_multivalued:
            raise InvalidFilterException(detail=f"{binding.urn} has one value only")
        table = _table(self._kind)
        virtual = _virtual(binding, self._kind)
        if virtual is not None:
            rows: Any = virtual.subquery()
            holding = sa.and_(rows.c.owner == table.c.id, holds(Json(rows.c.exact, rows.c.folded)))
        else:
            value = head(self._json(), binding)
            elements = sa.func.jsonb_array_elements(entries(value.exact), type_=JSONB)
            rows = elements.table_valued(sa.column("exact", JSONB), with_ordinality="n").render_derived()
            holding = holds(Json(rows.c.exact, value.folded[rows.c.n.cast(sa.Integer) - 1]))
        return sa.exists(sa.select(sa.literal(1)).select_from(rows).where(holding).correlate(table))


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
