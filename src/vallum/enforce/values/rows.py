"""Write rows: INSERT, UPDATE, DELETE, and the ids of rows to come.

Values are bound, as one array per column of an INSERT, so that a batch is one statement whatever its size.
Identifiers are those of the schema, always quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Json, Jsonb

from vallum.enforce.query.eyes import batches
from vallum.enforce.statement import compiled
from vallum.kernel import NotWritable
from vallum.postgres import Database
from vallum.schema import Column, Model

__all__ = ["Expression", "Rows", "Set"]

_JSON: Final = {"json": Json, "jsonb": Jsonb}


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that PostgreSQL works out: a SQLAlchemy clause."""

    clause: Any


@dataclass(frozen=True, slots=True)
class Set:
    """One part of an UPDATE: `template` says what becomes of `{column}` and the value `{value}`."""

    column: str
    type: str
    value: Any
    template: str = "{value}"


class Rows:
    """The rows of the models' tables, written as the connection's own user: nothing is checked here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def new_ids(self, model: Model, count: int) -> list[int]:
        """Ids for records to come, from the sequence of the table.

        Raises: NotWritable.
        """
        statement = sql.SQL(
            "SELECT CASE WHEN s IS NOT NULL THEN nextval(s::regclass) END"
            " FROM (SELECT pg_get_serial_sequence(quote_ident({}), 'id') s OFFSET 0) q,"
            " generate_series(1, %(count)s)"
        ).format(sql.Literal(model.table))
        found = [row[0] for row in self._database.rows(statement, {"count": count})]
        if None in found:
            raise NotWritable(
                f"the ids of `{model.name}` come from no sequence",
                fix=f"make `{model.table}.id` serial or identity",
            )
        return found

    def insert(self, model: Model, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that hold their id; a column that a row lacks gets the table's own default."""
        groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(tuple(sorted(row)), []).append(row)
        for names, some in groups.items():
            self._insert(model, columns, names, some)

    def _insert(
        self,
        model: Model,
        columns: Mapping[str, Column],
        names: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        # An expression comes from a default, so it is that of every row that lacks the value.
        made: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            key = ",".join(n for n in names if isinstance(row[n], Expression))
            made.setdefault(key, []).append(row)
        for key, some in made.items():
            expressions = {n: some[0][n].clause for n in key.split(",") if n}
            plain = [n for n in names if n not in expressions]
            self._insert_plain(model, columns, plain, expressions, some)

    def _insert_plain(
        self,
        model: Model,
        columns: Mapping[str, Column],
        names: Sequence[str],
        expressions: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        values: dict[str, Any] = {}
        arrays, aliases = [], []
        for i, name in enumerate(names):
            kind = columns[name].type
            arrays.append(_array(f"c{i}", kind))
            aliases.append(sql.Identifier(f"c{i}"))
            values[f"c{i}"] = [adapted(kind, row[name]) for row in rows]
        selected: list[sql.Composable] = list(aliases)
        for clause in expressions.values():
            text, bound = _embedded(clause, len(values))
            selected.append(sql.SQL(text))
            values.update(bound)
        statement = sql.SQL(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM unnest({}) AS given({})"
        ).format(
            sql.Identifier(model.table),
            sql.SQL(", ").join(map(sql.Identifier, [*names, *expressions])),
            sql.SQL(", ").join(selected),
            sql.SQL(", ").join(arrays),
            sql.SQL(", ").join(aliases),
        )
        self._database.rows(statement, values)

    def update(self, model: Model, ids: Iterable[int], parts: Sequence[Set]) -> None:
        """Update the rows with these ids, all in the same way."""
        if not parts:
            return
        values: dict[str, Any] = {}
        assignments = []
        for i, part in enumerate(parts):
            value: sql.Composable
            if isinstance(part.value, Expression):
                text, bound = _embedded(part.value.clause, i * 1000)
                value = sql.SQL(text)
                values.update(bound)
            else:
                value = sql.SQL("%({})s::{}").format(sql.SQL(f"c{i}"), sql.Identifier(part.type))
                values[f"c{i}"] = adapted(part.type, part.value)
            column = sql.Identifier(part.column)
            assignments.append(
                sql.SQL("{} = {}").format(column, sql.SQL(part.template).format(column=column, value=value))
            )
        statement = sql.SQL("UPDATE {} SET {} WHERE id = ANY(%(ids)s)").format(
            sql.Identifier(model.table), sql.SQL(", ").join(assignments)
        )
        for some in batches(list(ids)):
            self._database.rows(statement, {**values, "ids": some})

    def delete(self, model: Model, ids: Iterable[int]) -> None:
        """Delete the rows with these ids."""
        statement = sql.SQL("DELETE FROM {} WHERE id = ANY(%(ids)s)").format(sql.Identifier(model.table))
        for some in batches(list(ids)):
            self._database.rows(statement, {"ids": some})

    def link(self, relation: tuple[str, str, str], pairs: Sequence[tuple[int, int]]) -> None:
        """Add pairs to a relation table, those it has already left alone."""
        table, first, second = map(sql.Identifier, relation)
        statement = sql.SQL(
            "INSERT INTO {table} ({first}, {second}) SELECT DISTINCT a, b"
            " FROM unnest(%(a)s::int8[], %(b)s::int8[]) AS given(a, b)"
            " WHERE NOT EXISTS (SELECT FROM {table} t WHERE t.{first} = a AND t.{second} = b)"
            " ON CONFLICT DO NOTHING"
        ).format(table=table, first=first, second=second)
        self._pairs(statement, pairs)

    def unlink(self, relation: tuple[str, str, str], pairs: Sequence[tuple[int, int]]) -> None:
        """Take pairs out of a relation table."""
        table, first, second = map(sql.Identifier, relation)
        statement = sql.SQL(
            "DELETE FROM {table} t USING unnest(%(a)s::int8[], %(b)s::int8[]) AS given(a, b)"
            " WHERE t.{first} = a AND t.{second} = b"
        ).format(table=table, first=first, second=second)
        self._pairs(statement, pairs)

    def _pairs(self, statement: sql.Composed, pairs: Sequence[tuple[int, int]]) -> None:
        if pairs:
            self._database.rows(statement, {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})


def adapted(kind: str, value: Any) -> Any:
    """A value as psycopg takes it for a column of that type."""
    wrap = _JSON.get(kind)
    return value if wrap is None or value is None else wrap(value)


def _array(name: str, kind: str) -> sql.Composed:
    return sql.SQL("%({})s::{}[]").format(sql.SQL(name), sql.Identifier(kind))


def _embedded(clause: Any, number: int) -> tuple[str, dict[str, Any]]:
    """The text of a clause and its values, under names that no other part of the statement uses."""
    text, bound = compiled(clause)
    values: dict[str, Any] = {}
    for i, (name, value) in enumerate(bound.items()):
        text = text.replace(f"%({name})s", f"%(e{number}_{i})s")
        values[f"e{number}_{i}"] = value
    return f"({text})", values
