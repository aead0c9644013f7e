"""The example company, opened as an application: to be read only, or a copy of one's own to write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest

import vallum
from examples.trading import SECURITY, Base, generate
from tests.support.undone import undone
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
