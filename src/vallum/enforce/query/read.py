"""Read records: columns in one statement, one more per x2many field and per model of names.

Rights and rules are part of the statement: of given ids, all are read or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from vallum.domain import TRUE, Domain, Env, all_of, parse, root
from vallum.domain.sql import Scope
from vallum.enforce.query.check import missing
from vallum.enforce.query.columns import Wanted, field_names, wanted
from vallum.enforce.query.eyes import Eyes, Row, among, batches, natural, own_id, record_ids
from vallum.enforce.query.lines import lines_of
from vallum.enforce.query.names import Names, check_names, name_value, names_of_all
from vallum.enforce.query.order import given_order
from vallum.enforce.query.search import bounded, found
from vallum.enforce.query.values import shown_all
from vallum.kernel import InvalidValue, Operation
from vallum.schema import Model

__all__ = ["name_search", "read", "search_read"]

Records = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A read of some fields of a model."""

    eyes: Eyes
    model: Model
    names: Names
    active_test: bool
    fields: tuple[Wanted, ...]

    def values(self, scope: Scope, env: Env) -> list[ColumnElement[Any]]:
        """What a statement over the model selects beside the id."""
        return [item.value(self.eyes, scope, env) for item in self.fields]

    def records(self, rows: Sequence[Row]) -> Records:
        """The records of rows of that statement, made column by column."""
        columns = [[row[0] for row in rows]]
        columns.extend(self._column(item, [row[i] for row in rows]) for i, item in enumerate(self.fields, 1))
        keys = ("id", *(item.field.name for item in self.fields))
        return [dict(zip(keys, values, strict=True)) for values in zip(*self._named(columns), strict=True)]

    def _column(self, item: Wanted, values: list[Any]) -> list[Any]:
        if item.lines is None:
            return shown_all(item.field, values)
        holders = [value for value in values if value is not None]
        lines = lines_of(self.eyes, item.lines, holders, active_test=self.active_test)
        return [list(lines.get(value, ())) for value in values]

    def _named(self, columns: list[list[Any]]) -> list[list[Any]]:
        """The columns with each many2one as an id and its name."""
        if self.names is False:
            return columns
        pointing: dict[str, list[int]] = {}
        for i, item in enumerate(self.fields, 1):
            if item.named:
                pointing.setdefault(item.field.comodel or "", []).append(i)
        wanted = {m: {v for i in places for v in columns[i] if v} for m, places in pointing.items()}
        known = names_of_all(self.eyes, wanted, self.names)
        for comodel, places in pointing.items():
            names = known.get(comodel, {})
            for i in places:
                columns[i] = [value and (value, names.get(value)) for value in columns[i]]
        return columns


def read(
    eyes: Eyes,
    model: str,
    ids: Iterable[int],
    fields: Iterable[str] | None,
    *,
    names: Names,
    active_test: bool,
) -> Records:
    """The records of these ids, in their order.

    Raises: AccessDenied (a shut field, or a record out of scope), UnknownRecord (superuser
    only), UnknownField, UnsupportedDomain (a field whose values live in code).
    """
    reading, listed = _reading(eyes, model, fields, names, active_test)
    given = record_ids(ids)

    def build(env: Env) -> sa.Select[Any]:
        seeing = env.with_active_test(False)
        scope = Scope(root(reading.model))
        condition = scope.where(eyes.every_record(reading.model, seeing))
        values = reading.values(scope, seeing)
        start = scope.from_clause()
        return sa.select(own_id(scope), *values).select_from(start).where(condition, among(own_id(scope)))

    statement = eyes.prepared(("read", model, listed), build)
    rows = {row[0]: row for some in batches(given) for row in eyes.rows(statement, ids=some)}
    lacking = [i for i in dict.fromkeys(given) if i not in rows]
    if lacking:
        raise missing(eyes, reading.model, lacking, Operation.READ)
    return reading.records([rows[i] for i in given])


def search_read(
    eyes: Eyes,
    model: str,
    domain: Any,
    fields: Iterable[str] | None,
    *,
    limit: int | None,
    offset: int,
    order: str | None,
    active_test: bool,
    names: Names,
) -> Records:
    """The records that a search finds, read in the same statement.

    Raises: as `read`, and as a search.
    """
    reading, listed = _reading(eyes, model, fields, names, active_test)
    bounds = {**natural("limit", limit, none=True), **natural("offset", offset)}

    def build(env: Env, parsed: Domain) -> sa.Select[Any]:
        seeing = env.with_active_test(active_test)
        statement = found(
            eyes, reading.model, parsed, seeing, order, lambda scope: reading.values(scope, seeing)
        )
        return bounded(statement, limit)

    key = ("search_read", model, listed, active_test, given_order(order), limit is None)
    return reading.records(eyes.rows(eyes.searched(key, domain, build), **bounds))


def name_search(
    eyes: Eyes, model: str, name: Any, domain: Any, operator: Any, limit: int | None
) -> list[tuple[int, str | bool]]:
    """Ids and names of the records found by name, in their model's order."""
    target = eyes.model(model)
    if not isinstance(name, str) or not isinstance(operator, str):
        raise InvalidValue(f"{name!r:.60} is no name to search for", fix="give text, and an operator")
    bounds = {**natural("limit", limit, none=True), "offset": 0}
    anything = not name and operator in ("like", "ilike")
    asked: Domain = TRUE if anything else parse([("display_name", operator, name)])

    def build(env: Env, parsed: Domain) -> sa.Select[Any]:
        def named(scope: Scope) -> tuple[Any]:
            return (name_value(eyes, scope, target, env, scope.root),)

        return bounded(found(eyes, target, all_of((parsed, asked)), env, None, named), limit)

    key = ("name_search", model, operator, name, limit is None)
    rows = eyes.rows(eyes.searched(key, domain, build), **bounds)
    return [(i, called or False) for i, called in rows]


def _reading(
    eyes: Eyes, model: str, fields: Iterable[str] | None, names: Names, active_test: bool
) -> tuple[_Reading, tuple[str, ...] | None]:
    """A checked read, and the key of its fields.

    Raises: AccessDenied, where no access right opens the model or a field is shut.
    """
    target = eyes.model(model)
    eyes.check_open(target)
    listed = field_names(fields)
    items = eyes.kept(
        ("fields", model, listed, active_test),
        lambda: wanted(eyes, target, listed, eyes.env(active_test=active_test)),
    )
    return _Reading(eyes, target, check_names(names), active_test, items), listed
