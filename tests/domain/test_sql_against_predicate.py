"""One domain, three readers: SQL run by PostgreSQL, the predicate, and a plain evaluator.

Schemas, rows and domains are random but the same in every run. What two of them disagree
on is a fault in one of them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.domain.reference import Reference
from tests.domain.worlds import COMPANY, LANG, MODELS, World, domains, schema_of, worlds
from tests.domain.worlds import Facts as SchemaFacts
from vallum.domain import Env, Facts, Filter, lowering_for, odoo_named, parse, root
from vallum.domain.predicate import MemoryStore, filter_ids
from vallum.domain.sql import select_ids
from vallum.enforce.statement import compiled
from vallum.kernel import UnsupportedDomain
from vallum.postgres import connect
from vallum.schema import Model

EXAMPLES = 400
NOW = datetime.fromisoformat("2024-01-01 12:00:00")

TABLES = """
CREATE TABLE node (id int4, name jsonb, color int4, parent_id int4, parent_path varchar, boss_id int4,
    active bool);
CREATE TABLE tag (id int4, name varchar, level int4, active bool);
CREATE TABLE leaf (id int4, name varchar, note text, title jsonb, count int4, rate float8, amount numeric,
    flag bool, day date, at timestamp, state varchar, price jsonb, label jsonb, ready jsonb, due jsonb,
    owner_id jsonb, node_id int4, active bool);
CREATE TABLE twig (id int4, nick varchar, leaf_id int4);
CREATE TABLE node_tag_rel (node_id int4, tag_id int4);
CREATE TABLE leaf_tag_rel (leaf_id int4, tag_id int4);
"""


@st.composite
def questions(draw: st.DrawFn) -> tuple[World, list[tuple[int, str, list[Any], bool]]]:
    """A world, and what is asked of it: version, model, domain, whether inactive records are left out."""
    world = draw(worlds())
    asked = []
    for _ in range(draw(st.sampled_from((1, 12, 12, 12)))):
        version, name = draw(st.sampled_from((18, 19))), draw(st.sampled_from(MODELS))
        asked.append(
            (version, name, draw(domains(schema_of(world.facts, version), name)), draw(st.booleans()))
        )
    return world, asked


def filled(connection: psycopg.Connection[Any], world: World) -> None:
    """Put the world's rows into the tables."""
    rows = {name: list(found.values()) for name, found in world.tables.items()} | dict(world.links)
    connection.execute(f"TRUNCATE {', '.join(rows)}")
    for name, found in rows.items():
        connection.execute(
            f"INSERT INTO {name} SELECT * FROM jsonb_populate_recordset(NULL::{name}, %s::jsonb)",
            (json.dumps(found, default=str),),
        )


def lowered(
    world: World, version: int, name: str, domain: list[Any], active_test: bool
) -> tuple[Model, Filter]:
    """The filter of a search as superuser."""
    found = schema_of(world.facts, version)
    fallbacks = {("leaf", name): value for name, value in world.fallbacks.items()}
    env = Env(
        schema=found,
        named=odoo_named(),
        now=NOW,
        facts=Facts(fallbacks=lambda _: fallbacks),
        company=COMPANY,
        companies=(COMPANY,),
        lang=LANG,
        active_test=active_test,
    )
    return found.model(name), lowering_for(version).search(found.model(name), parse(domain), env)


@pytest.mark.pg
@seed(2024)
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],  # shrinking takes minutes: add Phase.shrink when something is found
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(question=questions())
def test_three_readers_find_the_same_records(tables: psycopg.Connection[Any], question: Any) -> None:
    """SQL, predicate and plain evaluator agree on every search."""
    world, asked = question
    filled(tables, world)
    store = MemoryStore(world.tables, world.links)
    for version, name, domain, active_test in asked:
        found = schema_of(world.facts, version)
        reference = Reference(found, world.tables, world.links, COMPANY, world.fallbacks, LANG)
        expected = sorted(reference.search(found.model(name), domain, active_test))
        try:
            model, where = lowered(world, version, name, domain, active_test)
        except UnsupportedDomain:
            continue
        text, values = compiled(select_ids(root(model), where))
        by_sql = sorted(row[0] for row in tables.execute(text, values).fetchall())
        shown = f"Odoo {version}: {name} {domain} active_test={active_test}"
        assert by_sql == expected, f"SQL {by_sql}, plain evaluator {expected}: {shown}\n{text}\n{values}"
        by_predicate = _predicted(model, where, store)
        assert by_predicate in (None, by_sql), f"predicate {by_predicate}, SQL {by_sql}: {shown}"


ROW = dict.fromkeys(
    [
        "name",
        "note",
        "title",
        "count",
        "rate",
        "amount",
        "flag",
        "day",
        "at",
        "state",
        "price",
        "label",
        "ready",
        "due",
        "owner_id",
        "node_id",
    ]
)
NODES = {
    i: {"id": i, "name": None, "color": None, "parent_id": parent, "boss_id": None, "active": active}
    for i, parent, active in ((1, None, True), (2, 1, False), (3, 2, True))
}
SMALL = World(
    SchemaFacts(True, False, False, False, False, False, None),
    {
        "node": {i: {**row, "parent_path": None} for i, row in NODES.items()},
        "tag": {i: {"id": i, "name": "", "level": None, "active": True} for i in (1, 2, 3)},
        "leaf": {1: {**ROW, "id": 1, "active": True}, 2: {**ROW, "id": 2, "name": "b", "active": True}},
        "twig": {},
    },
    {"node_tag_rel": tuple({"node_id": i, "tag_id": i} for i in NODES), "leaf_tag_rel": ()},
    {},
)
FOUND = [
    # Odoo 19 compares texts, too, as if an unset one were empty.
    (19, "leaf", ["name", "<", "a"], [1]),
    (19, "leaf", ["name", ">=", ""], [1, 2]),
    (18, "leaf", ["name", "<", "a"], []),
    # In Odoo 19 every value that counts as unset makes a related field's path optional.
    (19, "leaf", ["node_name", "=", ""], [1, 2]),
    (19, "leaf", ["node_name", "!=", ""], []),
    (19, "leaf", ["node_color", "=", 0], [1, 2]),
    (18, "leaf", ["node_name", "=", ""], []),
    # Odoo 18 searches what a many2many's hierarchy leads to: archived records drop out.
    (18, "tag", ["node_ids", "child_of", 1], [1, 3]),
    (18, "tag", ["node_ids", "parent_of", 2], [1]),
    (19, "tag", ["node_ids", "child_of", 1], [1, 2, 3]),
    # In Odoo 19 a company's number is 0 where it is unset, also when read as a text.
    (19, "leaf", ["price", "ilike", "0"], [1, 2]),
]


@pytest.mark.parametrize(("version", "name", "condition", "expected"), FOUND)
def test_what_readers_once_disagreed_on_is_settled(
    version: int, name: str, condition: list[Any], expected: list[int], tables: psycopg.Connection[Any]
) -> None:
    """Each was found by the test above."""
    filled(tables, SMALL)
    found = schema_of(SMALL.facts, version)
    reference = Reference(found, SMALL.tables, SMALL.links, COMPANY, SMALL.fallbacks, LANG)
    assert sorted(reference.search(found.model(name), [condition])) == expected
    model, where = lowered(SMALL, version, name, [condition], True)
    text, values = compiled(select_ids(root(model), where))
    assert sorted(row[0] for row in tables.execute(text, values).fetchall()) == expected


def _predicted(model: Model, where: Filter, store: MemoryStore) -> list[int] | None:
    """What the predicate finds; None where the order of texts, which it does not know, matters."""
    try:
        return filter_ids(model, where, store)
    except UnsupportedDomain as error:
        if "collation" in error.what:
            return None
        raise


@pytest.fixture
def tables(pg_dsn: str) -> Any:
    """A connection to empty tables."""
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection
