"""Copies of the reference databases and of the example company, with the policy applied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest

import vallum
from examples.trading import SECURITY, Base, generate
from tests.support.odoo import OdooReference
from tests.support.roles import Guarded, guarded, open_odoo
from vallum.facade.roles import drop_roles
from vallum.postgres import EmbeddedServer

_numbers = count(1)


@pytest.fixture(scope="module", params=[18, 19])
def odoo(
    request: pytest.FixtureRequest, pg_server: EmbeddedServer
) -> Iterator[tuple[OdooReference, Guarded]]:
    """An Odoo database by its record rules alone, and Odoo's own answers."""
    reference: OdooReference = request.getfixturevalue(f"odoo{request.param}")
    name = f"roles{request.param}_{os.getpid()}"
    dsn = pg_server.create_database(name, template=reference.template)
    application = open_odoo(dsn, reference.registry)
    with guarded(dsn, application, code_models=True) as found:
        yield reference, found
    application.database.close()
    pg_server.drop_database(name)


@pytest.fixture(scope="module")
def written(pg_server: EmbeddedServer) -> Iterator[Guarded]:
    """The example company, to be written to as well."""
    yield from _company(pg_server, writable=True)


@pytest.fixture(scope="module")
def trading(pg_server: EmbeddedServer) -> Iterator[Guarded]:
    """The example company."""
    yield from _company(pg_server, writable=False)


def _company(pg_server: EmbeddedServer, *, writable: bool) -> Iterator[Guarded]:
    name = f"roles_trading_{os.getpid()}_{next(_numbers)}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=3_000)
    with (
        vallum.open(dsn, metadata=Base, policy=SECURITY) as opened,
        guarded(dsn, opened.application, writable=writable) as found,
    ):
        yield found
    pg_server.drop_database(name)


@pytest.fixture(scope="package")
def filled(pg_server: EmbeddedServer) -> Iterator[str]:
    """The name of a company nobody connects to."""
    name = f"roles_company_{os.getpid()}"
    generate(pg_server.create_database(name), rows=3_000)
    yield name
    pg_server.drop_database(name)


@pytest.fixture
def dsn(pg_server: EmbeddedServer, filled: str) -> Iterator[str]:
    """A company without a policy, to do anything with."""
    name = f"roles_{os.getpid()}_{next(_numbers)}"
    yield pg_server.create_database(name, template=filled)
    drop_roles(pg_server.dsn(name))
    pg_server.drop_database(name)
