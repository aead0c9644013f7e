"""Group records and aggregate their values, over what the actor may find.

Field groups hold for every field grouped by or aggregated. A group's record shows with
its name under the rule of names. Grouping by a many2many joins its relation with the
records the actor may read: a record linked to others only falls into the empty group.
Days, weeks (from Monday) and longer periods are those of the actor's time zone.
Source: Odoo's `_read_group`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, FromClause

from vallum.domain import Domain, Env, root
from vallum.domain.filter import Ids
from vallum.domain.sql import Scope
from vallum.enforce.query.aggregates import Aggregate, GroupBy, parse_aggregate, parse_groupby, truncated
from vallum.enforce.query.columns import field_names
from vallum.enforce.query.eyes import Eyes, Row, natural, own_id
from vallum.enforce.query.lines import relation
from vallum.enforce.query.names import Names, check_names, names_of
from vallum.enforce.query.order import Key, Term, given_order, parse_order, term_keys
from vallum.enforce.query.search import bounded
from vallum.enforce.query.values import number
from vallum.kernel import UnknownField, UnsupportedDomain
from vallum.schema import Field, Model

__all__ = ["read_group"]

Values = dict[str, ColumnElement[Any]]


def read_group(
    eyes: Eyes,
    model: str,
    domain: Any,
    groupby: Sequence[str],
    aggregates: Sequence[str],
    *,
    order: str | None,
    limit: int | None,
    offset: int,
    active_test: bool,
    names: Names,
) -> list[dict[str, Any]]:
    """One dict per group, keyed by the specifications as given.

    Raises: AccessDenied, UnknownField, MalformedDomain, UnsupportedDomain and kin.
    """
    target = eyes.model(model)
    specs = field_names(groupby) or (), field_names(aggregates) or ()
    grouping = _Grouping(
        eyes,
        target,
        tuple(parse_groupby(target, spec) for spec in specs[0]),
        tuple(parse_aggregate(target, spec) for spec in specs[1]),
    )
    bounds = {**natural("limit", limit, none=True), **natural("offset", offset)}

    def build(env: Env, parsed: Domain) -> sa.Select[Any]:
        return bounded(grouping.statement(parsed, env.with_active_test(active_test), order), limit)

    key = ("group", model, *specs, active_test, given_order(order), limit is None)
    rows = eyes.rows(eyes.searched(key, domain, build), **bounds)
    return grouping.shown(rows, check_names(names))


@dataclass(frozen=True, slots=True)
class _Grouping:
    """What to group by and to aggregate."""

    eyes: Eyes
    model: Model
    groups: tuple[GroupBy, ...]
    aggregates: tuple[Aggregate, ...]

    def statement(self, domain: Domain, env: Env, order: str | None) -> sa.Select[Any]:
        """One row per group: what is grouped by, then the aggregates."""
        scope = Scope(root(self.model))
        condition = scope.where(self.eyes.where(self.model, domain, env))
        links: list[tuple[FromClause, ColumnElement[bool]]] = []
        groups = {g.spec: self._group(g, scope, env, links) for g in self.groups}
        values = {a.spec: self._aggregate(a, scope, env) for a in self.aggregates}
        keys = self._keys(scope, env, groups, values, order)
        start = scope.from_clause()
        for link, on in links:
            start = sa.outerjoin(start, link, on)
        columns = [*groups.values(), *values.values()] or [sa.func.count()]
        statement = sa.select(*columns).select_from(start).where(condition)
        return statement.group_by(*groups.values()).order_by(*(key.clause for key in keys))

    def _group(
        self, group: GroupBy, scope: Scope, env: Env, links: list[tuple[FromClause, ColumnElement[bool]]]
    ) -> ColumnElement[Any]:
        field = group.field
        self.eyes.check_field(field)
        if field.type == "many2many":
            link, on, other = self._link(field, scope, env, f"link_{len(links)}")
            links.append((link, on))
            return other
        value = self._value(field, scope, env)
        if group.granularity:
            return truncated(field, value, group.granularity, env.tz)
        if field.type == "boolean":
            return sa.func.coalesce(value, sa.false(), type_=sa.Boolean())
        return value

    def _link(
        self, field: Field, scope: Scope, env: Env, alias: str
    ) -> tuple[FromClause, ColumnElement[bool], ColumnElement[int]]:
        """The relation of a many2many, joined with the records that the actor may read."""
        if not field.stored:
            raise UnsupportedDomain(f"records cannot be grouped by `{field}`, which is not stored")
        lowering = self.eyes.application.lowering
        comodel = lowering.comodel(field, env)
        inner = env.with_active_test(False)
        where = lowering.search(comodel, lowering.field_domain(field, env), inner)
        rows = lowering.select(comodel, where)
        link, own, other = relation(field, alias)
        among = sa.false() if isinstance(rows, Ids) else other.in_(scope.rows(rows))
        return link, sa.and_(own == own_id(scope), among), other

    def _aggregate(self, aggregate: Aggregate, scope: Scope, env: Env) -> ColumnElement[Any]:
        if aggregate.field is None:
            return sa.func.count()
        self.eyes.check_field(aggregate.field)
        return aggregate.of(self._value(aggregate.field, scope, env), own_id(scope))

    def _value(self, field: Field, scope: Scope, env: Env) -> ColumnElement[Any]:
        try:
            return scope.ref(self.eyes.application.lowering.ref(field, env, scope.root))
        except UnsupportedDomain as error:
            raise UnsupportedDomain(
                f"`{field}` has no column to group by or to aggregate", fix="use a stored field"
            ) from error

    # the sequence of the groups

    def _keys(self, scope: Scope, env: Env, groups: Values, values: Values, order: str | None) -> list[Key]:
        terms = [_own_term(g) for g in self.groups] if order is None else parse_order(order)
        keys: list[Key] = []
        for term in terms:
            keys.extend(self._term(term, scope, env, groups, values))
        return [*keys, *(Key(value) for value in groups.values())]

    def _term(self, term: Term, scope: Scope, env: Env, groups: Values, values: Values) -> list[Key]:
        spec = f"{term.field}:{term.part}" if term.part else term.field
        if spec in values:
            return [Key(values[spec], term.descending, term.nulls_first)]
        if spec not in groups:
            raise UnknownField(
                f"groups cannot be ordered by `{spec}`",
                fix="use " + (", ".join(f"`{s}`" for s in (*groups, *values)) or "no order"),
            )
        if next(g.field.type for g in self.groups if g.spec == spec) != "many2one" or term.by_id:
            return [Key(groups[spec], term.descending, term.nulls_first)]
        keys = term_keys(self.eyes, scope, self.model, term, env)
        # All records of a group have the same one.
        return [replace(key, value=_any_of(key.value)) for key in keys]

    # the answer

    def shown(self, rows: Sequence[Row], names: Names) -> list[dict[str, Any]]:
        """The groups of rows of the statement."""
        found: list[dict[str, Any]] = [{} for _ in rows]
        for i, group in enumerate(self.groups):
            shown = self._shown_group(group.field, [row[i] for row in rows], names)
            for record, value in zip(found, shown, strict=True):
                record[group.spec] = value
        for i, aggregate in enumerate(self.aggregates, len(self.groups)):
            for record, row in zip(found, rows, strict=True):
                record[aggregate.spec] = _shown(aggregate, row[i])
        return found

    def _shown_group(self, field: Field, values: list[Any], names: Names) -> list[Any]:
        plain = [False if value is None else number(value) for value in values]
        if not field.relational or names is False:
            return plain
        called = names_of(self.eyes, field.comodel or "", [v for v in plain if v], names)
        return [value and (value, called.get(value)) for value in plain]


def _own_term(group: GroupBy) -> Term:
    """The groups in the order of what they are grouped by."""
    name, _, part = group.spec.partition(":")
    return Term(name, part or None)


def _any_of(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return sa.func.bool_and(value) if isinstance(value.type, sa.Boolean) else sa.func.min(value)


def _shown(aggregate: Aggregate, value: Any) -> Any:
    if value is None:
        return aggregate.empty
    if isinstance(value, list):
        return [False if item is None else number(item) for item in value]
    return number(value)
