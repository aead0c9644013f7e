"""The sequence of records: Odoo's `name desc, partner_id, id` as SQL.

Identifiers come from the schema only. A many2one is ordered by its comodel's own order,
through outer joins, never twice through the same field. Records behind it that the actor
may not read count as unset, so that their sequence says nothing about them; where no
access right opens the comodel, or the key that was shown is not for it, its bare id decides.
Odoo orders by their names.
Ties are broken by id: the sequence is the same every time.

An order that is given must be possible. Of a model's own order, fields that are computed
in code or shut to the actor are left out.
Source: Odoo's ordering; it differs only as said above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.elements import UnaryExpression

from vallum.domain import Env
from vallum.domain.filter import Row
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes, own_id
from vallum.kernel import AccessDenied, MalformedDomain, Operation, UnknownField, UnsupportedDomain
from vallum.schema import Field, Model

__all__ = ["Key", "Term", "given_order", "order_keys", "parse_order", "sorted_by", "term_keys"]

_TERM: Final = re.compile(
    r'(?P<quote>"?)(?P<field>[a-z_][a-z0-9_]*)(?P=quote)(?::(?P<part>[a-z_]+))?(?:\.(?P<rest>[a-z0-9_]+))?'
    r"(?:\s+(?P<way>asc|desc))?(?:\s+nulls\s+(?P<nulls>first|last))?",
    re.IGNORECASE,
)
_NO_ORDER: Final = frozenset({"binary", "json", "properties", "properties_definition"})


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an order. `nulls_first` None: PostgreSQL's default, last unless descending."""

    field: str
    part: str | None = None
    by_id: bool = False
    descending: bool = False
    nulls_first: bool | None = None

    def reversed(self) -> Term:
        """The term that sorts the other way round."""
        first = self.nulls_first
        return replace(self, descending=not self.descending, nulls_first=None if first is None else not first)


@dataclass(frozen=True, slots=True)
class Key:
    """A value that records are sorted by. `nullable` is false only where NULL cannot be."""

    value: ColumnElement[Any]
    descending: bool = False
    nulls_first: bool | None = None
    nullable: bool = True

    @property
    def clause(self) -> UnaryExpression[Any]:
        """The key as a term of ORDER BY."""
        way = self.value.desc() if self.descending else self.value.asc()
        if self.nulls_first is None or self.nulls_first == self.descending:
            return way
        return way.nulls_first() if self.nulls_first else way.nulls_last()

    @property
    def starts_with_null(self) -> bool:
        """Whether NULL comes before all values."""
        return self.descending if self.nulls_first is None else self.nulls_first


def parse_order(text: str) -> tuple[Term, ...]:
    """The terms of an order.

    >>> parse_order("name desc nulls last, partner_id.id")[1]
    Term(field='partner_id', part=None, by_id=True, descending=False, nulls_first=None)

    Raises: MalformedDomain.
    """
    return tuple(_parsed(piece.strip()) for piece in text.split(",")) if text.strip() else ()


def _parsed(piece: str) -> Term:
    match = _TERM.fullmatch(piece)
    if match is None or (match["rest"] or "id").lower() != "id":
        raise MalformedDomain(
            f"`{piece:.60}` is no term of an order",
            fix="write `field`, `field desc`, `field nulls first` or `many2one.id`, separated by commas",
        )
    nulls = match["nulls"]
    return Term(
        match["field"],
        match["part"],
        match["rest"] is not None,
        (match["way"] or "").lower() == "desc",
        None if nulls is None else nulls.lower() == "first",
    )


def given_order(order: Any) -> str | None:
    """An order as given, checked to be text.

    Raises: MalformedDomain.
    """
    if order is None or isinstance(order, str):
        return order
    raise MalformedDomain(f"an order is text, not {order!r:.60}", fix="write it as `name desc, id`")


def sorted_by(keys: Sequence[Key]) -> list[UnaryExpression[Any]]:
    """The terms of ORDER BY."""
    return [key.clause for key in keys]


def order_keys(eyes: Eyes, scope: Scope, model: Model, order: str | None, env: Env) -> list[Key]:
    """What the rows of a scope over the model are sorted by, the id last.

    Raises: UnknownField, AccessDenied, UnsupportedDomain, MalformedDomain.
    """
    ordering = _Ordering(eyes, scope, env)
    keys = ordering.keys(model, order or model.order, scope.root, given=order is not None)
    if not any(key.value is ordering.own_id for key in keys):
        keys.append(Key(ordering.own_id, nullable=False))
    return keys


def term_keys(eyes: Eyes, scope: Scope, model: Model, term: Term, env: Env) -> list[Key]:
    """What the rows of a scope over the model are sorted by for one term."""
    return _Ordering(eyes, scope, env).term(model, replace(term, part=None), scope.root, frozenset())


class _Ordering:
    """Builds the keys of one scope."""

    def __init__(self, eyes: Eyes, scope: Scope, env: Env) -> None:
        self.eyes = eyes
        self.scope = scope
        self.env = env
        self.lowering = eyes.application.lowering
        self.own_id = own_id(scope)

    def keys(
        self,
        model: Model,
        order: str,
        row: Row,
        *,
        given: bool,
        reverse: bool = False,
        seen: frozenset[str] = frozenset(),
    ) -> list[Key]:
        """The keys of an order of the model's rows."""
        found: list[Key] = []
        for term in parse_order(order):
            try:
                found.extend(self.term(model, term.reversed() if reverse else term, row, seen))
            except (AccessDenied, UnknownField, UnsupportedDomain):
                if given:
                    raise
        return found

    def term(self, model: Model, term: Term, row: Row, seen: frozenset[str]) -> list[Key]:
        """The keys of one term."""
        field = model.field(term.field)
        if field.x2many or field.type in _NO_ORDER or term.part:
            raise _unsortable(field)
        if term.by_id and field.type != "many2one":
            raise UnknownField(f"`{field}` leads to no other model: it has no `.id`")
        self.eyes.check_field(field)
        if field.name == "id" and row == self.scope.root:
            return [Key(self.own_id, term.descending, term.nulls_first, nullable=False)]
        value = self._value(field, row)
        if field.type == "many2one" and not term.by_id:
            return self._many2one(field, value, term, row, seen)
        if field.type == "boolean":
            value = sa.func.coalesce(value, sa.false(), type_=sa.Boolean())
            return [Key(value, term.descending, term.nulls_first, nullable=False)]
        nullable = not field.not_null or row != self.scope.root
        return [Key(value, term.descending, term.nulls_first, nullable)]

    def _value(self, field: Field, row: Row) -> ColumnElement[Any]:
        try:
            return self.scope.ref(self.lowering.ref(field, self.env, row))
        except UnsupportedDomain as error:
            raise _unsortable(field) from error

    def _many2one(
        self, field: Field, value: ColumnElement[Any], term: Term, row: Row, seen: frozenset[str]
    ) -> list[Key]:
        """The comodel's own order; none where the path led through this field before."""
        if str(field) in seen:
            return []
        comodel = self.lowering.comodel(field, self.env)
        plain = Key(value, term.descending, term.nulls_first)
        if comodel.order == "id" or comodel.abstract or not comodel.relation:
            return [plain]
        _, joined = self.lowering.joined(field, self.env, row)
        shown = self._shown(comodel, joined)
        if shown is None:
            return [plain]
        keys = self.keys(
            comodel,
            comodel.order,
            joined,
            given=False,
            reverse=term.descending,
            seen=seen | {str(field)},
        )
        keys = [_behind(key, shown) for key in keys]
        if term.nulls_first is None:
            return keys
        return [Key(value.is_not(None) if term.nulls_first else value.is_(None), nullable=False), *keys]

    def _shown(self, comodel: Model, row: Row) -> Callable[[ColumnElement[Any]], ColumnElement[Any]] | None:
        """How values of a record behind a many2one show; None where they do not."""
        access = self.eyes.access
        if not self.eyes.covers(comodel.name):
            return None
        if access is None:
            return _as_is
        if comodel.name in self.env.named.searches or not access.readable(comodel):
            return None
        scope = access.scope(comodel.name, Operation.READ)
        if not scope.restricted:
            return _as_is
        inner = self.env.sudo().with_active_test(False)
        visible = self.scope.where(self.lowering.lower(comodel, scope.domain, inner, row))
        return lambda value: sa.case((visible, value))


def _as_is(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return value


def _behind(key: Key, shown: Callable[[ColumnElement[Any]], ColumnElement[Any]]) -> Key:
    value = shown(key.value)
    return replace(key, value=value, nullable=key.nullable or value is not key.value)


def _unsortable(field: Field) -> UnsupportedDomain:
    return UnsupportedDomain(
        f"records cannot be ordered by `{field}`, a {field.type} without a column",
        fix="order by a stored field",
    )
