"""Whatever is asked, the answer is that of a database in which nothing else exists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import async_sessionmaker

import vallum
from examples.trading import SECURITY, Base, generate
from tests.enforce.statements import ENTITIES, Statements
from tests.support.asynchronous import async_engine
from tests.support.loops import ran
from vallum.kernel import AccessDenied
from vallum.postgres import EmbeddedServer

LOGINS: Final = ("marie", "lucia", "bruno", "nina", "carmen", "leo", "victor", "admin")
ROUNDS: Final = 90

pytestmark = pytest.mark.slow


@contextmanager
def engine_of(dsn: str) -> Iterator[sa.Engine]:
    """An engine over a DSN."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    try:
        yield engine
    finally:
        engine.dispose()


def delete_hidden(own: vallum.Vallum, login: str, dsn: str) -> dict[str, set[str]]:
    """Delete what the user may not see from a copy; the fields that are open, by model."""
    user, opened = own.as_user(login), {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for model, entity in ENTITIES.items():
            table = entity.__tablename__
            try:
                seen = user.search(model, active_test=False)
            except AccessDenied:
                seen = []
            else:
                opened[model] = set(user.fields(model))
            connection.execute(f"DELETE FROM {table} WHERE id <> ALL(%s)".encode(), (seen,))
        companies = [str(c) for c in user.actor.companies] if user.actor else []
        connection.execute(
            "UPDATE product_product SET standard_price = (SELECT jsonb_object_agg(key, value)"
            " FROM jsonb_each(standard_price) WHERE key = ANY(%s))",
            (companies,),
        )
        for table in Base.metadata.tables.values():
            if "model" not in table.info:
                for column in table.columns:
                    (key,) = column.foreign_keys
                    gone = f"{column.name} NOT IN (SELECT id FROM {key.column.table.name})"
                    connection.execute(f"DELETE FROM {table.name} WHERE {gone}".encode())
    return opened


@pytest.fixture(scope="module")
def worlds(pg_server: EmbeddedServer) -> Iterator[dict[str, Any]]:
    """Per user: guarded sessions of the whole database, sessions of what is left of a copy, open fields."""
    name = f"oracle_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    copies = {login: pg_server.create_database(f"{name}_{login}", template=name) for login in LOGINS}
    with ExitStack() as stack:
        own = stack.enter_context(vallum.open(dsn, metadata=Base, policy=SECURITY))
        guard = own.guard(orm.sessionmaker(stack.enter_context(engine_of(dsn))))
        found: dict[str, Any] = {}
        for login, copy in copies.items():
            opened = delete_hidden(own, login, copy)
            found[login] = (own, guard, orm.sessionmaker(stack.enter_context(engine_of(copy))), opened)
        yield found
    for copy in (*(f"{name}_{login}" for login in LOGINS), name):
        pg_server.drop_database(copy)


@pytest.mark.parametrize("login", LOGINS)
def test_random_statements_answer_as_if_nothing_else_existed(worlds: dict[str, Any], login: str) -> None:
    """Joins, loads, subqueries, CTEs, unions, locks: no row out of scope changes any answer.

    The seed is drawn anew each time and is named where an answer differs.
    """
    _, guard, plain, opened = worlds[login]
    seed = Random().randrange(10**9)  # noqa: S311 - no secret
    statements = Statements(Random(seed), opened)  # noqa: S311
    asked = 0
    for number in range(ROUNDS):
        name, ask = statements.one()
        with guard(login) as guarded, plain() as oracle:
            expected = ask(oracle)
            assert ask(guarded) == expected, (seed, number, name)
            asked += bool(expected)
    assert asked > ROUNDS // 4


@pytest.mark.parametrize("login", LOGINS)
def test_random_statements_that_are_awaited_answer_the_same(worlds: dict[str, Any], login: str) -> None:
    """In an asynchronous session, by psycopg's asynchronous connections."""
    own, _, plain, opened = worlds[login]
    seed = Random().randrange(10**9)  # noqa: S311 - no secret
    statements = Statements(Random(seed), opened)  # noqa: S311

    async def run() -> int:
        asked = 0
        async with async_engine(own.application.database.dsn) as engine:
            guard = own.guard(async_sessionmaker(engine))
            for number in range(ROUNDS):
                name, ask = statements.one()
                with plain() as oracle:
                    expected = ask(oracle)
                async with guard(login) as guarded:
                    assert await guarded.run_sync(ask) == expected, (seed, number, name)
                asked += bool(expected)
        return asked

    assert ran(run()) > ROUNDS // 4
