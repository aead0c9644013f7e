"""Evaluate a filter over plain values: the second back end, with the logic of SQL.

Pure: rows come from a `Store`. Truth is three-valued: None stands for unknown.
Invariant: the answer is PostgreSQL's; what cannot be answered exactly raises
UnsupportedDomain, so that whoever asks denies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

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
from vallum.domain.scalars import (
    ORDER,
    as_text,
    date_part,
    equal,
    first_text,
    folded,
    from_json,
    is_like,
    order,
    tokens,
)
from vallum.kernel import UnsupportedDomain
from vallum.schema import Model

__all__ = ["MemoryStore", "Predicate", "Store", "Truth", "filter_ids", "matches"]

Truth: TypeAlias = "bool | None"
Values: TypeAlias = Mapping[str, Any]


class Store(Protocol):
    """Tables and relations as plain values: a jsonb is what `json` makes of it."""

    def rows(self, table: str) -> Mapping[int, Values]:
        """The rows of a table by id, with values by column (`id` among them)."""

    def links(self, relation: str, column1: str, column2: str) -> Iterable[tuple[int, int]]:
        """The pairs of two columns of a relation table."""


@dataclass(frozen=True, slots=True)
class MemoryStore:
    """A store in memory. A table may serve as a relation; a table that is not there is an error."""

    tables: Mapping[str, Mapping[int, Values]]
    relations: Mapping[str, Iterable[Mapping[str, int]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Iterable[Values]],
        relations: Mapping[str, Iterable[Mapping[str, int]]] | None = None,
    ) -> MemoryStore:
        """A store of rows that name their own id."""
        by_id = {name: {row["id"]: row for row in rows} for name, rows in tables.items()}
        return cls(by_id, {name: tuple(rows) for name, rows in (relations or {}).items()})

    def rows(self, table: str) -> Mapping[int, Values]:
        """The rows of a table by id.

        Raises: UnsupportedDomain.
        """
        if table not in self.tables:
            raise UnsupportedDomain(f"the store has no table `{table}`")
        return self.tables[table]

    def links(self, relation: str, column1: str, column2: str) -> Iterator[tuple[int, int]]:
        """The pairs of two columns of a relation table.

        Raises: UnsupportedDomain.
        """
        rows = self.relations[relation] if relation in self.relations else self.rows(relation).values()
        return ((row[column1], row[column2]) for row in rows)


@dataclass(frozen=True, slots=True)
class _Found:
    """A set of rows: its values, and whether NULL is among them."""

    values: frozenset[Any]
    null: bool = False

    @property
    def empty(self) -> bool:
        return not (self.values or self.null)


class Predicate:
    """A filter over the rows of a store. Sets of rows are evaluated once and kept."""

    _handlers: ClassVar[Mapping[type[Any], Callable[[Predicate, Any, Values], Truth]]]
    _row_handlers: ClassVar[Mapping[type[Any], Callable[[Predicate, Any], _Found]]]

    def __init__(self, condition: Filter, store: Store) -> None:
        self._condition = condition
        self._store = store
        self._found: dict[int, _Found] = {}
        self._linked_to: dict[tuple[str, str, str], Mapping[int, frozenset[int]]] = {}

    def truth(self, row: Values) -> Truth:
        """Whether the filter is true, false or unknown for a row.

        Raises: UnsupportedDomain.
        """
        return self._truth(self._condition, row)

    def ids(self, table: str) -> list[int]:
        """The ids of the table's rows that pass.

        Raises: UnsupportedDomain.
        """
        rows = self._store.rows(table)
        return sorted(i for i, row in rows.items() if self.truth(row) is True)

    def _truth(self, condition: Filter, here: Values) -> Truth:
        return self._handlers[type(condition)](self, condition, here)

    # values

    def _row(self, row: Row, here: Values) -> Values | None:
        """The values of a row; None where an outer join finds nothing."""
        if isinstance(row, Root):
            return here
        target = self._value(row.via, here)
        return None if target is None else self._store.rows(row.table).get(target)

    def _value(self, ref: Ref, here: Values) -> Any:
        row = self._row(ref.row, here)
        if row is None:
            return self._per_company(None, ref.form) if isinstance(ref.form, PerCompany) else None
        if ref.column not in row:
            raise UnsupportedDomain(f"the store has no column `{ref.column}` of `{_table_of(ref.row)}`")
        raw = row[ref.column]
        match ref.form:
            case Plain():
                return raw
            case Translated(languages):
                return first_text(raw, languages)
            case PerCompany():
                return self._per_company(raw, ref.form)
            case Property(part, tz):
                return None if raw is None else date_part(raw, part, tz)
        raise UnsupportedDomain(f"no value for {ref.form!r}")

    def _per_company(self, raw: Any, form: PerCompany) -> Any:
        if raw is not None and not isinstance(raw, Mapping):
            raise UnsupportedDomain(f"{raw!r:.60} does not hold values by company")
        key = str(form.company or 0)
        value = raw[key] if raw and key in raw else form.fallback
        value = None if value is None else from_json(value, form.type)
        if form.comodel_table is not None and value not in self._store.rows(form.comodel_table):
            return None
        return value

    # one handler for each form of the algebra

    def _always(self, condition: Always, _: Values) -> Truth:
        return condition.value

    def _all(self, condition: All, here: Values) -> Truth:
        found = [self._truth(p, here) for p in condition.parts]
        return False if False in found else None if None in found else True

    def _some(self, condition: Some, here: Values) -> Truth:
        found = [self._truth(p, here) for p in condition.parts]
        return True if True in found else None if None in found else False

    def _no(self, condition: No, here: Values) -> Truth:
        found = self._truth(condition.part, here)
        return None if found is None else not found

    def _holds(self, condition: Holds, here: Values) -> Truth:
        return (self._truth(condition.part, here) is True) == condition.expected

    def _is_null(self, condition: IsNull, here: Values) -> Truth:
        return self._value(condition.ref, here) is None

    def _compare(self, condition: Compare, here: Values) -> Truth:
        value = self._value(condition.ref, here)
        if value is None or condition.value is None:
            return None
        if condition.operator in ("=", "!="):
            return equal(value, condition.value) == (condition.operator == "=")
        return ORDER[condition.operator](order(value, condition.value))

    def _one_of(self, condition: OneOf, here: Values) -> Truth:
        value = self._value(condition.ref, here)
        if not condition.values:
            return False
        return None if value is None else any(equal(value, v) for v in condition.values)

    def _like(self, condition: Like, here: Values) -> Truth:
        value = self._value(condition.ref, here)
        if value is None:
            return None
        if condition.cast:
            value = as_text(value)
        if not isinstance(value, str):
            raise UnsupportedDomain(f"{value!r:.60} is not a text")
        if condition.unaccent and not (value.isascii() and condition.pattern.isascii()):
            raise UnsupportedDomain("what `unaccent` makes of a letter depends on the database's rules")
        fold = folded if condition.fold else str
        return is_like(fold(value), tokens(fold(condition.pattern)))

    def _within(self, condition: Within, here: Values) -> Truth:
        found = self._rows(condition.rows)
        value = self._value(condition.ref, here)
        if found.empty:
            return False
        if value is None:
            return None
        return True if value in found.values else None if found.null else False

    def _linked(self, condition: Linked, here: Values) -> Truth:
        row = self._row(condition.row, here)
        if row is None:
            return False
        name = (condition.relation, condition.column1, condition.column2)
        if name not in self._linked_to:
            self._linked_to[name] = _gathered(self._store.links(*name))
        others = self._linked_to[name].get(row["id"], frozenset())
        if condition.rows is None:
            return bool(others)
        return not others.isdisjoint(self._rows(condition.rows).values)

    def _admits(self, condition: Admits, row: Values) -> Truth:
        raise UnsupportedDomain(f"nothing is bound to `{condition.place.expression}`")

    def _not_empty(self, condition: NotEmpty, _: Values) -> Truth:
        return not self._rows(condition.rows).empty

    # sets of rows

    def _rows(self, rows: RowSet) -> _Found:
        # Kept by identity: the condition holds every set of rows for as long as we live.
        found = self._found.get(id(rows))
        if found is None:
            found = self._row_handlers[type(rows)](self, rows)
            self._found[id(rows)] = found
        return found

    def _ids(self, rows: Ids) -> _Found:
        return _Found(frozenset(rows.ids))

    def _select(self, rows: Select) -> _Found:
        table = self._store.rows(_root_of(rows.column.row).table)
        passed = (row for row in table.values() if self._truth(rows.where, row) is True)
        values = frozenset(self._value(rows.column, row) for row in passed)
        return _Found(values - {None}, None in values)

    def _bound(self, rows: Bound) -> _Found:
        raise UnsupportedDomain(f"nothing is bound to `{rows.place.expression}`")

    def _union(self, rows: Union) -> _Found:
        found = [self._rows(part) for part in rows.parts]
        return _Found(frozenset().union(*(f.values for f in found)))

    def _implying(self, rows: Implying) -> _Found:
        above = _gathered(self._store.links("res_groups_implied_rel", "hid", "gid"))
        return _Found(frozenset(_closure(rows.groups, lambda group: above.get(group, ()))))

    def _hierarchy(self, rows: Hierarchy) -> _Found:
        seeds = self._rows(rows.seeds).values
        if rows.path is not None:
            return _Found(self._by_path(rows, rows.path, seeds))
        parents = dict(self._parents(rows))
        started = [i for i in parents if i in seeds]
        if rows.up:
            top = {i: row[rows.parent] for i, row in self._store.rows(_top(rows)).items()}
            first = [parents[i] for i in started if parents[i] in top]
            found = set(started) | _closure(first, lambda i: [top[i]] if top[i] in top else [])
        else:
            below = _gathered((parent, i) for i, parent in parents.items())
            found = _closure(started, lambda i: below.get(i, ()))
        return _Found(frozenset(found | set(seeds) if isinstance(rows.seeds, Ids) else found))

    def _parents(self, rows: Hierarchy) -> Iterator[tuple[int, Any]]:
        """The records of a hierarchy and their parents."""
        own = self._store.rows(rows.table)
        if rows.delegate is None:
            yield from ((i, row[rows.parent]) for i, row in own.items())
            return
        column, table = rows.delegate
        holders = self._store.rows(table)
        for i, row in own.items():
            if row[column] in holders:
                yield i, holders[row[column]][rows.parent]

    def _by_path(self, rows: Hierarchy, path: str, seeds: frozenset[Any]) -> frozenset[int]:
        """A hierarchy read from materialised paths."""
        paths = {i: row[path] for i, row in self._store.rows(rows.table).items() if row[path] is not None}
        wanted = [paths[i] for i in seeds if i in paths]
        if rows.up:
            return frozenset(int(i) for text in wanted for i in text.rstrip("/").split("/") if text)
        patterns = [tokens(text + "%") for text in wanted]
        return frozenset(i for i, text in paths.items() if any(is_like(text, p) for p in patterns))


Predicate._handlers = {
    Always: Predicate._always,
    All: Predicate._all,
    Some: Predicate._some,
    No: Predicate._no,
    Holds: Predicate._holds,
    IsNull: Predicate._is_null,
    Compare: Predicate._compare,
    OneOf: Predicate._one_of,
    Like: Predicate._like,
    Within: Predicate._within,
    Linked: Predicate._linked,
    NotEmpty: Predicate._not_empty,
    Admits: Predicate._admits,
}
Predicate._row_handlers = {
    Ids: Predicate._ids,
    Select: Predicate._select,
    Hierarchy: Predicate._hierarchy,
    Implying: Predicate._implying,
    Bound: Predicate._bound,
    Union: Predicate._union,
}
for _known, _wanted in ((Predicate._handlers, FILTERS), (Predicate._row_handlers, ROW_SETS)):
    if set(_known) != set(_wanted):
        raise TypeError(f"no predicate for {set(_known) ^ set(_wanted)}")


def matches(condition: Filter, row: Values, store: Store) -> bool:
    """Whether a row passes a filter: unknown does not.

    Raises: UnsupportedDomain.
    """
    return Predicate(condition, store).truth(row) is True


def filter_ids(model: Model, condition: Filter, store: Store) -> list[int]:
    """The ids of the model's records that pass a filter over its root, in their order.

    Raises: UnsupportedDomain.
    """
    return Predicate(condition, store).ids(model.table)


def _root_of(row: Row) -> Root:
    while isinstance(row, Joined):
        row = row.via.row
    return row


def _table_of(row: Row) -> str:
    return row.table


def _top(rows: Hierarchy) -> str:
    return rows.delegate[1] if rows.delegate else rows.table


def _gathered(pairs: Iterable[tuple[Any, int]]) -> dict[Any, frozenset[int]]:
    found: dict[Any, set[int]] = {}
    for key, value in pairs:
        found.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in found.items()}


def _closure(start: Iterable[Any], following: Callable[[Any], Iterable[Any]]) -> set[Any]:
    """All that can be reached, circles included."""
    todo = list(start)
    found = set(todo)
    while todo:
        new = [i for i in following(todo.pop()) if i not in found]
        found.update(new)
        todo.extend(new)
    return found
