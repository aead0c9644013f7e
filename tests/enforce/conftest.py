"""The example company, opened as an application: to be read only, or a copy of one's own to write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import vallum
from examples.trading import SECURITY, Base, generate
from tests.support.undone import undone
from vallum.enforce.session import Guard
from vallum.postgres import EmbeddedServer

_numbers = count(1)


@pytest.fixture(scope="session")
def app(company: str) -> Iterator[vallum.Vallum]:
    """The company, to be read only."""
    with vallum.open(company, metadata=Base, policy=SECURITY) as opened:
        yield opened


@pytest.fixture(scope="session")
def writable_template(pg_server: EmbeddedServer) -> str:
    """A database with the company, to be copied; nobody connects to it."""
    name = f"writable_{os.getpid()}"
    generate(pg_server.create_database(name), rows=2_000)
    return name


@pytest.fixture
def own_shop(pg_server: EmbeddedServer, writable_template: str) -> Iterator[vallum.Vallum]:
    """A company that may be written to, dropped after the test."""
    name = f"shop_{os.getpid()}_{next(_numbers)}"
    dsn = pg_server.create_database(name, template=writable_template)
    with vallum.open(dsn, metadata=Base, policy=SECURITY, writable=True) as opened:
        yield opened
    pg_server.drop_database(name)


@pytest.fixture(scope="session")
def shared_shop(pg_server: EmbeddedServer, writable_template: str) -> str:
    """The database of `shop`."""
    return pg_server.create_database(f"shop_{os.getpid()}", template=writable_template)


@pytest.fixture
def shop(shared_shop: str) -> Iterator[vallum.Vallum]:
    """A company that may be written to, within a transaction that is rolled back after the test."""
    with (
        vallum.open(shared_shop, metadata=Base, policy=SECURITY, writable=True) as opened,
        undone(opened),
    ):
        yield opened


# Guarded sessions of a team's own


@pytest.fixture(scope="module")
def own(pg_server: EmbeddedServer) -> Iterator[vallum.Vallum]:
    """A company that sessions may change; each test rolls back."""
    name = f"session_{os.getpid()}_{next(_numbers)}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in ("crm_lead", "crm_tag", "res_partner", "sale_order", "hr_employee"):
            top = f"(SELECT max(id) + 1000000 FROM {table})"
            connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {top})".encode())
    with vallum.open(dsn, metadata=Base, policy=SECURITY) as opened:
        yield opened
    pg_server.drop_database(name)


@pytest.fixture(scope="module")
def engine(own: vallum.Vallum) -> Iterator[sa.Engine]:
    """The team's own engine."""
    dsn = own.application.database.dsn
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def guard(own: vallum.Vallum, engine: sa.Engine) -> Guard:
    """Sessions of the company's users."""
    return own.guard(orm.sessionmaker(engine))


@pytest.fixture
def marie(guard: Guard) -> Iterator[orm.Session]:
    """A salesperson's session, rolled back at the end."""
    with guard("marie") as session:
        yield session
        session.rollback()


@pytest.fixture
def hidden(own: vallum.Vallum) -> int:
    """A lead that marie may not see."""
    seen = set(own.as_user("marie").search("crm.lead", active_test=False))
    return next(i for i in own.sudo().search("crm.lead", order="id") if i not in seen)
