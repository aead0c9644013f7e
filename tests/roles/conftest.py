"""Copies of the reference databases and of the example company, with the policy applied."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import vallum
from examples.trading import SECURITY, Base, generate
from tests.support.odoo import OdooReference
from tests.support.roles import Guarded, guarded, open_odoo
from vallum.postgres import EmbeddedServer


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
    name = f"written_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=3_000)
    with (
        vallum.open(dsn, metadata=Base, policy=SECURITY) as opened,
        guarded(dsn, opened.application, writable=True) as found,
    ):
        yield found
    pg_server.drop_database(name)


@pytest.fixture(scope="module")
def trading(pg_server: EmbeddedServer) -> Iterator[Guarded]:
    """The example company."""
    name = f"trading_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=3_000)
    with (
        vallum.open(dsn, metadata=Base, policy=SECURITY) as opened,
        guarded(dsn, opened.application) as found,
    ):
        yield found
    pg_server.drop_database(name)
