"""Compile a filter to SQLAlchemy Core: a WHERE clause with bound values.

Pure: no connection. Invariant: user values appear only as bound parameters,
identifiers only as the schema gives them (and always quoted by SQLAlchemy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.sql.selectable import Select as SqlSelect

from vallum.domain.ast import Open
from vallum.domain.filter import (
    FILTERS,
    ROW_SETS,
    Admits,
    All,
    Always,
    Bound,
    Compare,
    Filter,
    Hierarchy,
    Holds,
    Ids,
    Implying,
    IsNull,
    Joined,
    Like,
    Linked,
    No,
    NotEmpty,
    OneOf,
    PerCompany,
    Plain,
    Property,
    Ref,
    Root,
    Row,
    RowSet,
    Select,
    Some,
    Translated,
    Union,
    Within,
)
from vallum.kernel import UnsupportedDomain

__all__ = ["Places", "Scope", "select_ids"]

_TYPES: Final[Mapping[str, Any]] = {
    "int4": sa.Integer(),
    "int8": sa.BigInteger(),
    "bool": sa.Boolean(),
    "varchar": sa.String(),
    "text": sa.Text(),
    "numeric": sa.Numeric(),
    "float8": postgresql.DOUBLE_PRECISION(),
    "double precision": postgresql.DOUBLE_PRECISION(),
    "timestamp": sa.DateTime(),
    "date": sa.Date(),
    "jsonb": postgresql.JSONB(),
    "uuid": postgresql.UUID(),
    "bytea": sa.LargeBinary(),
}
_INT_ARRAY: Final = postgresql.ARRAY(sa.Integer())
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def sql_type(name: str) -> Any:
    """The SQLAlchemy type of a PostgreSQL type's name; text for what is not listed."""
    base = name.lower().split("(")[0]
    return _TYPES.get(base, sa.Text())


class Places(Protocol):
    """What is bound to the open places of a filter."""

    def array(self, place: Open, kind: Any) -> ColumnElement[Any]:
        """The values bound to a place as an array of `kind`, empty where there is none."""


class Scope:
    """One level of a statement: a table, and the outer joins its references need.

    `where(filter)` compiles; `from_clause()` is complete once all filters and
    references of the level have been compiled.
    """

    _count: ClassVar[int] = 0
    _handlers: ClassVar[Mapping[type[Any], Callable[[Scope, Any], ColumnElement[bool]]]]

    def __init__(self, root: Root, names: _Names | None = None, places: Places | None = None) -> None:
        self.names = names or _Names()
        self.places = places
        self.root = root
        self.table = self.start()
        self._rows: dict[Row, FromClause] = {root: self.table}
        self._joins: list[tuple[FromClause, ColumnElement[bool]]] = []

    def start(self) -> FromClause:
        """The table that the scope ranges over."""
        return self.source(self.root.table, self.names.next(self.root.table))

    def source(self, name: str, alias: str) -> FromClause:
        """A table under an alias."""
        return sa.table(name).alias(alias)

    def inner(self, root: Root) -> Scope:
        """The scope of a nested statement."""
        return Scope(root, self.names, self.places)

    def where(self, condition: Filter) -> ColumnElement[bool]:
        """The condition as SQL."""
        return self._handlers[type(condition)](self, condition)

    def from_clause(self) -> FromClause:
        """The table with its outer joins."""
        clause: FromClause = self.table
        for other, on in self._joins:
            clause = sa.outerjoin(clause, other, on)
        return clause

    def row(self, row: Row) -> FromClause:
        """The table that stands for a row; joined once, however often it is asked for."""
        if isinstance(row, Root):
            return self.table
        found = self._rows.get(row)
        if found is None:
            via = self.ref(row.via)
            found = self.source(row.table, self.names.next(row.table))
            self._rows[row] = found
            self._joins.append((found, sa.column("id", sa.Integer(), _selectable=found) == via))
        return found

    def ref(self, ref: Ref) -> ColumnElement[Any]:
        """The value of a reference as SQL."""
        table = self.row(ref.row)
        match ref.form:
            case Plain(kind):
                return sa.column(ref.column, sql_type(kind), _selectable=table)
            case Translated(languages):
                raw: Any = sa.column(ref.column, postgresql.JSONB(), _selectable=table)
                texts = [raw.op("->>", return_type=sa.Text())(_literal(code)) for code in languages]
                return texts[0] if len(texts) == 1 else sa.func.coalesce(*texts)
            case PerCompany():
                return self._per_company(table, ref.column, ref.form)
            case Property(part, tz):
                value: Any = sa.column(ref.column, sa.DateTime(), _selectable=table)
                if tz:
                    value = sa.func.timezone(tz, sa.func.timezone("UTC", value))
                return sa.func.date_part(part, value, type_=postgresql.DOUBLE_PRECISION())
        raise UnsupportedDomain(f"no SQL for {ref.form!r}")

    def _per_company(self, table: FromClause, column: str, form: PerCompany) -> ColumnElement[Any]:
        kind = sql_type(form.type)
        raw: Any = sa.column(column, postgresql.JSONB(), _selectable=table)
        value: Any = raw.op("->", return_type=postgresql.JSONB())(_literal(str(form.company or 0)))
        if form.fallback is not None:
            value = sa.func.coalesce(
                value, sa.func.to_jsonb(sa.cast(sa.bindparam(None, form.fallback, kind), kind))
            )
        text = sa.type_coerce(value, postgresql.JSONB()).op("->>", return_type=sa.Text())(
            sa.literal_column("0")
        )
        result: ColumnElement[Any] = sa.cast(text, kind)
        if form.comodel_table is None:
            return result
        target = self.source(form.comodel_table, self.names.next(form.comodel_table))
        found = sa.column("id", sa.Integer(), _selectable=target)
        return sa.select(found).select_from(target).where(found == result).scalar_subquery().correlate(table)

    # one handler for each form of the algebra

    def _always(self, condition: Always) -> ColumnElement[bool]:
        return sa.true() if condition.value else sa.false()

    def _all(self, condition: All) -> ColumnElement[bool]:
        return sa.and_(*(self.where(p) for p in condition.parts))

    def _some(self, condition: Some) -> ColumnElement[bool]:
        return sa.or_(*(self.where(p) for p in condition.parts))

    def _no(self, condition: No) -> ColumnElement[bool]:
        inner = condition.part
        if isinstance(inner, IsNull):
            return self.ref(inner.ref).is_not(None)
        return sa.not_(self.where(inner))

    def _holds(self, condition: Holds) -> ColumnElement[bool]:
        inner = self.where(condition.part)
        return inner.is_(True) if condition.expected else inner.is_not(True)

    def _is_null(self, condition: IsNull) -> ColumnElement[bool]:
        return self.ref(condition.ref).is_(None)

    def _compare(self, condition: Compare) -> ColumnElement[bool]:
        left = self.ref(condition.ref)
        if isinstance(condition.value, bool) and condition.operator in ("=", "!="):
            right: Any = sa.true() if condition.value else sa.false()
            flagged: ColumnElement[bool] = left.op(condition.operator, is_comparison=True)(right)
            return flagged
        return _COMPARISONS[condition.operator](left, self._bound(left, condition.value))

    def _place(self, place: Open, kind: Any) -> ColumnElement[Any]:
        """The array of values bound to a place."""
        if self.places is None:
            raise UnsupportedDomain(f"nothing is bound to `{place.expression}`")
        return self.places.array(place, kind)

    def _bound(self, left: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
        """A value bound with the type of what it is compared with."""
        kind = left.type
        if isinstance(value, Open):
            return sa.any_(self._place(value, kind))
        if isinstance(value, int) and not isinstance(value, bool) and isinstance(kind, sa.Integer):
            kind = sa.BigInteger() if abs(value) >= 2**31 else kind
        return sa.bindparam(None, value, kind)

    def _one_of(self, condition: OneOf) -> ColumnElement[bool]:
        left = self.ref(condition.ref)
        return left == _any_value(condition.values, left.type)

    def _like(self, condition: Like) -> ColumnElement[bool]:
        left: Any = self.ref(condition.ref)
        if condition.cast:
            left = sa.cast(left, sa.Text())
        right: Any = sa.bindparam(None, condition.pattern, sa.Text())
        if condition.unaccent:
            left, right = sa.func.unaccent(left), sa.func.unaccent(right)
        found: ColumnElement[bool] = left.ilike(right) if condition.fold else left.like(right)
        return found

    def _within(self, condition: Within) -> ColumnElement[bool]:
        left = self.ref(condition.ref)
        if isinstance(condition.rows, Ids):
            return _is_one_of(left, condition.rows.ids)
        return self._among(left, condition.rows)

    def _among(self, left: ColumnElement[Any], rows: RowSet) -> ColumnElement[bool]:
        """Whether a value is among rows."""
        if isinstance(rows, Ids):
            return _is_one_of(left, rows.ids)
        if isinstance(rows, Bound):
            return left == sa.any_(self._place(rows.place, left.type))
        if isinstance(rows, Union):
            return sa.or_(*(self._among(left, part) for part in rows.parts))
        if isinstance(rows, Hierarchy):
            # An array lets an index on the column serve; few hierarchies are large.
            tree = sa.func.array(self.rows(rows).scalar_subquery(), type_=postgresql.ARRAY(sa.Integer()))
            return left == sa.any_(tree)
        return left.in_(self.rows(rows))

    def _admits(self, condition: Admits) -> ColumnElement[bool]:
        array = self._place(condition.place, sa.Integer())
        return sa.func.cardinality(array) == sa.literal_column("0")

    def _linked(self, condition: Linked) -> ColumnElement[bool]:
        link = self.source(condition.relation, self.names.next(condition.relation))
        own = sa.column(condition.column1, sa.Integer(), _selectable=link)
        other = sa.column(condition.column2, sa.Integer(), _selectable=link)
        here = sa.column("id", sa.Integer(), _selectable=self.row(condition.row))
        where: list[ColumnElement[bool]] = [own == here]
        if condition.rows is not None:
            where.append(self._among(other, condition.rows))
        found: SqlSelect[Any] = sa.select(sa.literal_column("1")).select_from(link).where(*where)
        return found.correlate(self.row(condition.row)).exists()

    def _not_empty(self, condition: NotEmpty) -> ColumnElement[bool]:
        if isinstance(condition.rows, Ids):
            return sa.true() if condition.rows.ids else sa.false()
        return self.rows(condition.rows).correlate(None).exists()

    # sets of rows

    def rows(self, rows: RowSet) -> SqlSelect[Any]:
        """A set of rows as a SELECT of one column."""
        match rows:
            case Select(column, where):
                inner = self.inner(_root_of(column.row))
                value = inner.ref(column)
                condition = inner.where(where)
                return sa.select(value).select_from(inner.from_clause()).where(condition).correlate(None)
            case Hierarchy():
                return self._hierarchy(rows)
            case Implying(groups):
                return self._implying(groups)
            case Bound(place):
                return sa.select(sa.func.unnest(self._place(place, sa.Integer())))
            case Union(parts):
                together = sa.union_all(*(self.rows(part) for part in parts)).subquery()
                return sa.select(together.columns[0])
            case Ids(ids):
                return sa.select(sa.func.unnest(sa.bindparam(None, list(ids), _INT_ARRAY)))
        raise UnsupportedDomain(f"no SQL for {rows!r}")

    def _seed_condition(self, column: ColumnElement[Any], seeds: RowSet) -> ColumnElement[bool]:
        return self._among(column, seeds)

    def _hierarchy(self, rows: Hierarchy) -> SqlSelect[Any]:
        if rows.path is not None:
            return self._by_path(rows, rows.path)
        first, parent, start_from = self._level(rows)
        seeded = self._seed_condition(first, rows.seeds)
        columns = [first.label("id"), *([parent.label("up")] if rows.up else [])]
        start = sa.select(*columns).select_from(start_from).where(seeded)
        tree = start.cte(self.names.next("tree"), recursive=True)
        if rows.up:
            top = self.source(rows.delegate[1] if rows.delegate else rows.table, self.names.next(rows.table))
            top_id = sa.column("id", sa.Integer(), _selectable=top)
            above = sa.column(rows.parent, sa.Integer(), _selectable=top)
            climbed = sa.join(tree, top, top_id == tree.c.up)
            step: Any = sa.select(top_id, above).select_from(climbed)
        else:
            below, its_parent, level = self._level(rows)
            step = sa.select(below).select_from(sa.join(tree, level, its_parent == tree.c.id))
        tree = tree.union(step)
        found: SqlSelect[Any] = sa.select(tree.c.id)
        if isinstance(rows.seeds, Ids):
            seeds = sa.select(sa.func.unnest(sa.bindparam(None, list(rows.seeds.ids), _INT_ARRAY)))
            return sa.select(sa.union(found, seeds).subquery().columns[0])
        return found

    def _level(self, rows: Hierarchy) -> tuple[ColumnElement[int], ColumnElement[int], FromClause]:
        """A record of the hierarchy: its id, its parent's id, and the tables they are in."""
        own = self.source(rows.table, self.names.next(rows.table))
        own_id = sa.column("id", sa.Integer(), _selectable=own)
        if rows.delegate is None:
            return own_id, sa.column(rows.parent, sa.Integer(), _selectable=own), own
        column, table = rows.delegate
        holder = self.source(table, self.names.next(table))
        on = sa.column(column, sa.Integer(), _selectable=own) == sa.column(
            "id", sa.Integer(), _selectable=holder
        )
        parent = sa.column(rows.parent, sa.Integer(), _selectable=holder)
        return own_id, parent, sa.join(own, holder, on)

    def _by_path(self, rows: Hierarchy, path: str) -> SqlSelect[Any]:
        """A hierarchy read from materialised paths."""
        top = self.source(rows.table, self.names.next(rows.table))
        seeded = self._seed_condition(sa.column("id", sa.Integer(), _selectable=top), rows.seeds)
        seed_path: Any = sa.column(path, sa.Text(), _selectable=top)
        if rows.up:
            texts = sa.func.string_to_array(
                sa.func.rtrim(seed_path, "/"), "/", type_=postgresql.ARRAY(sa.Text())
            )
            ids = sa.cast(texts, postgresql.ARRAY(sa.Integer()))
            return sa.select(sa.func.unnest(ids)).select_from(top).where(seeded)
        other = self.source(rows.table, self.names.next(rows.table))
        other_path: Any = sa.column(path, sa.Text(), _selectable=other)
        below = other_path.like(seed_path + sa.literal_column("'%'"))
        other_id = sa.column("id", sa.Integer(), _selectable=other)
        return sa.select(other_id).select_from(sa.join(top, other, below)).where(seeded)

    def _implying(self, groups: Iterable[int]) -> SqlSelect[Any]:
        link = self.source("res_groups_implied_rel", self.names.next("implied"))
        implied = sa.column("hid", sa.Integer(), _selectable=link)
        implying = sa.column("gid", sa.Integer(), _selectable=link)
        start = sa.select(sa.func.unnest(sa.bindparam(None, list(groups), _INT_ARRAY)).label("id"))
        tree = start.cte(self.names.next("tree"), recursive=True)
        step = sa.select(implying).select_from(sa.join(tree, link, implied == tree.c.id))
        tree = tree.union(step)
        return sa.select(tree.c.id)


class _Names:
    """Aliases, numbered in the order they are asked for: the same filter gives the same SQL."""

    def __init__(self) -> None:
        self._number = 0

    def next(self, name: str) -> str:
        self._number += 1
        return f"{name[:40]}_{self._number}"


Scope._handlers = {
    Always: Scope._always,
    All: Scope._all,
    Some: Scope._some,
    No: Scope._no,
    Holds: Scope._holds,
    IsNull: Scope._is_null,
    Compare: Scope._compare,
    OneOf: Scope._one_of,
    Like: Scope._like,
    Within: Scope._within,
    Linked: Scope._linked,
    NotEmpty: Scope._not_empty,
    Admits: Scope._admits,
}
if set(Scope._handlers) != set(FILTERS):
    raise TypeError(f"no SQL for {set(FILTERS) ^ set(Scope._handlers)}")
if set(ROW_SETS) != {Ids, Select, Hierarchy, Implying, Bound, Union}:
    raise TypeError("the SQL back end does not know every set of rows")


def select_ids(root: Root, where: Filter, places: Places | None = None) -> SqlSelect[Any]:
    """`SELECT id` of the rows that pass, without an order; `places` fills open places."""
    scope = Scope(root, places=places)
    condition = scope.where(where)
    found = sa.column("id", sa.Integer(), _selectable=scope.table)
    return sa.select(found).select_from(scope.from_clause()).where(condition)


def _root_of(row: Row) -> Root:
    while isinstance(row, Joined):
        row = row.via.row
    return row


def _literal(text: str) -> ColumnElement[str]:
    return sa.bindparam(None, text, sa.Text())


def _is_one_of(column: ColumnElement[Any], ids: tuple[int, ...]) -> ColumnElement[bool]:
    """Whether a column of ids holds one of these."""
    if len(ids) == 1 and abs(ids[0]) < 2**31:
        return column == sa.bindparam(None, ids[0], sa.Integer())
    return column == _any_value(ids, sa.Integer())


def _any_value(values: Iterable[Any], kind: Any) -> ColumnElement[Any]:
    """`ANY(array)`: one bound value however many there are."""
    listed = list(values)
    if isinstance(kind, sa.Integer) and any(abs(v) >= 2**31 for v in listed):
        kind = sa.BigInteger()
    return sa.any_(sa.bindparam(None, listed, postgresql.ARRAY(kind)))
