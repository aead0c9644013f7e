"""The predicate: SQL's logic over plain values, held against PostgreSQL and against Odoo."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.application import opened
from tests.support.odoo import OdooReference
from vallum.domain.filter import (
    ALWAYS,
    All,
    Always,
    Compare,
    Filter,
    Hierarchy,
    Holds,
    Ids,
    IsNull,
    Joined,
    Like,
    Linked,
    No,
    OneOf,
    PerCompany,
    Plain,
    Property,
    Ref,
    Root,
    Select,
    Some,
    Translated,
    Within,
)
from vallum.domain.predicate import MemoryStore, Predicate, matches
from vallum.domain.scalars import as_text, folded, is_like, tokens
from vallum.enforce import Query
from vallum.kernel import UnsupportedDomain, VallumError
from vallum.postgres import connect

T = Root("t")
A = Ref(T, "a", Plain("int4"))
UNKNOWN = Compare(A, "=", 1)  # in a row whose `a` is NULL
STORE = MemoryStore.of({"t": [{"id": 1, "a": None}, {"id": 2, "a": 5}], "empty": []})


def _truth(condition: Filter, **row: Any) -> bool | None:
    return Predicate(condition, STORE).truth({"id": 1, "a": None, **row})


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (UNKNOWN, None),
        (No(UNKNOWN), None),
        (Holds(UNKNOWN, True), False),
        (Holds(UNKNOWN, False), True),
        (All((UNKNOWN, Always(True))), None),
        (All((UNKNOWN, Always(False))), False),
        (Some((UNKNOWN, Always(True))), True),
        (Some((UNKNOWN, Always(False))), None),
        (IsNull(A), True),
        (OneOf(A, (1, 2)), None),
        (OneOf(A, ()), False),
        (Within(A, Ids((1,))), None),
        (Within(A, Ids(())), False),
        (Within(A, Select(A, Always(False))), False),
        (Within(A, Select(A, ALWAYS)), None),
        (Within(Ref(T, "id", Plain("int4")), Select(A, ALWAYS)), None),
        (Linked(Joined(A, "t"), "rel", "x", "y", None), False),
    ],
)
def test_unknown_spreads_as_in_sql(condition: Filter, truth: bool | None) -> None:
    """NULL is neither equal nor different; only what is true passes."""
    assert _truth(condition) is truth
    assert matches(condition, {"id": 1, "a": None}, STORE) is (truth is True)


@pytest.mark.parametrize(
    ("left", "operator", "right", "truth"),
    [
        (1, "=", 1.0, True),
        (Decimal("0.1"), "=", 0.1, True),
        (Decimal("0.1"), "=", Decimal("0.10"), True),
        (float("nan"), "=", float("nan"), True),
        (float("nan"), ">", float("inf"), True),
        (1.0, "<", float("nan"), True),
        (date(2024, 1, 1), "<", datetime.fromisoformat("2024-01-01 00:00:01"), True),
        ("a", "=", "A", False),
        ("a", "=", "a ", False),
        (True, "=", True, True),
    ],
)
def test_values_compare_as_in_postgresql(left: Any, operator: str, right: Any, truth: bool) -> None:
    """Numbers by their value, NaN above all, texts to the letter."""
    assert _truth(Compare(A, operator, right), a=left) is truth


@pytest.mark.parametrize(
    "condition",
    [
        Compare(A, "<", "b"),  # depends on the collation
        Compare(A, "=", 1),
        Like(A, "%a\\", fold=False),  # no pattern
        Like(A, "%é%", fold=True, unaccent=True),
        Compare(Ref(T, "gone", Plain("int4")), "=", 1),
        Compare(Ref(T, "a", Translated(("en_US",))), "=", "a"),
        Compare(Ref(T, "a", PerCompany(1, "int4")), "=", 1),
        Compare(Ref(T, "a", Property("century")), "=", 1),
        Within(A, Select(Ref(Root("nowhere"), "id", Plain("int4")), ALWAYS)),
    ],
)
def test_what_cannot_be_answered_exactly_raises(condition: Filter) -> None:
    """Nothing is guessed: whoever asked denies."""
    with pytest.raises(UnsupportedDomain):
        _truth(condition, a="a")


@pytest.mark.parametrize(("up", "found"), [(False, {1, 2, 3}), (True, {1, 2, 3})])
def test_hierarchy_in_a_circle_ends(up: bool, found: set[int]) -> None:
    """Records that are their own ancestors are all of one family."""
    rows = [{"id": i, "parent_id": p} for i, p in ((1, 3), (2, 1), (3, 2), (4, None))]
    store = MemoryStore.of({"t": rows})
    family = Within(Ref(T, "id", Plain("int4")), Hierarchy("t", Ids((1,)), up, "parent_id"))
    assert set(Predicate(family, store).ids("t")) == found


def test_hostile_pattern_is_matched_quickly() -> None:
    """No backtracking without end."""
    start = time.process_time()
    assert not is_like("a" * 5_000, tokens("%a" * 50 + "%b"))
    assert time.process_time() - start < 30  # a square would take minutes


def test_texts_are_printed_and_matched_as_postgresql_does(pg_dsn: str) -> None:
    """Tens of thousands of random numbers, texts and patterns."""
    draw = random.Random(2024)  # noqa: S311 - reproducible
    floats = [struct.unpack("d", draw.randbytes(8))[0] for _ in range(20_000)]
    floats += [draw.choice((1, -1)) * 10.0**e for e in range(-30, 30)] + [0.0, -0.0]
    floats += [round(draw.uniform(-1e6, 1e6), draw.randrange(6)) for _ in range(5_000)]
    numbers = [Decimal(draw.randrange(-(10**12), 10**12)).scaleb(-draw.randrange(12)) for _ in range(5_000)]
    numbers += [Decimal(n) for n in ("-0.00", "1E+5", "NaN", "Infinity", "-Infinity")]
    letters = "aAbB%_\\éÉßẞſΣσς"
    texts = ["".join(draw.choices(letters, k=draw.randrange(7))) for _ in range(20_000)]
    patterns = ["".join(draw.choices(letters + "%%%__", k=draw.randrange(6))) for _ in texts]
    pairs = [(t, p) for t, p in zip(texts, patterns, strict=True) if not p.replace("\\\\", "").endswith("\\")]
    with connect(pg_dsn) as connection:
        _hold_texts(connection, "float8", [f for f in floats if f == f])
        _hold_texts(connection, "numeric", numbers)
        _hold_texts(connection, "timestamp", [datetime(2024, 1, 1, 1, 1, 1, m) for m in (0, 5, 120000)])  # noqa: DTZ001
        _hold_texts(connection, "bool", [True, False])
        rows = connection.execute(
            "SELECT t LIKE p, t ILIKE p"
            " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS u(t, p, n) ORDER BY n",
            ([t for t, _ in pairs], [p for _, p in pairs]),
        ).fetchall()
    for (text, pattern), (like, ilike) in zip(pairs, rows, strict=True):
        assert is_like(text, tokens(pattern)) is like, (text, pattern)
        assert is_like(folded(text), tokens(folded(pattern))) is ilike, (text, pattern)


def _hold_texts(connection: psycopg.Connection[Any], kind: str, values: list[Any]) -> None:
    rows = connection.execute(
        f"SELECT v, v::text FROM unnest(%s::{kind}[]) WITH ORDINALITY AS u(v, n) ORDER BY n", (values,)
    ).fetchall()
    unsupported = 0
    for value, text in rows:
        try:
            assert as_text(value) == text
        except UnsupportedDomain:
            unsupported += 1
    assert unsupported < len(values) / 1000


class DatabaseStore:
    """A whole database as plain values, table by table."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._rows: dict[str, dict[int, dict[str, Any]]] = {}
        self._links: dict[tuple[str, ...], list[tuple[int, int]]] = {}

    def rows(self, table: str) -> Mapping[int, Mapping[str, Any]]:
        """The rows of a table by id."""
        if table not in self._rows:
            cursor = self._connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            names = [column.name for column in cursor.description or ()]
            found = (dict(zip(names, row, strict=True)) for row in cursor)
            self._rows[table] = {row["id"]: row for row in found}
        return self._rows[table]

    def links(self, relation: str, column1: str, column2: str) -> Iterable[tuple[int, int]]:
        """The pairs of two columns of a relation table."""
        names = (column1, column2, relation)
        if names not in self._links:
            statement = sql.SQL("SELECT {}, {} FROM {}").format(*map(sql.Identifier, names))
            self._links[names] = self._connection.execute(statement).fetchall()
        return self._links[names]


@pytest.mark.slow
@pytest.mark.odoo
@pytest.mark.parametrize("version", [18, 19])
def test_predicate_finds_what_odoo_finds(version: int, request: pytest.FixtureRequest) -> None:
    """Thousands of domains, as superuser and as users, answered without SQL."""
    reference: OdooReference = request.getfixturevalue(f"odoo{version}")
    application = opened(reference)
    cases = [*reference.answers("search")["cases"], *reference.answers("search_as_user")["cases"]]
    right = 0
    with connect(reference.dsn) as connection:
        store = DatabaseStore(connection)
        for case in cases:
            actor = application.actor(case["user"], case["companies"]) if "user" in case else None
            model = application.schema.model(case["model"])
            try:
                where = Query(application, actor).where(
                    model, case["domain"], active_test=case["active_test"]
                )
            except VallumError:
                continue
            if "ids" in case:
                assert Predicate(where, store).ids(model.table) == case["ids"], case
                right += 1
    assert right > 0.9 * len(cases)
