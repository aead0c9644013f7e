"""Servers over the reference databases and the example company, and a browser, for the tests of a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from examples.trading import generate
from tests.support.accounts import People, odoo_key, people
from tests.support.browser import axe_source, chromium, launched
from tests.support.company import METADATA, POLICY
from tests.support.installation import Installation, installed
from tests.support.odoo import OdooReference
from tests.support.server import alone, run_folder
from tests.support.serving import Server, serving
from tests.support.sign_on import federation as federation
from tests.support.sign_on import visitor as visitor
from tests.support.temporary import temporary_folder
from vallum.postgres import EmbeddedServer


@pytest.fixture(scope="session")
def store(pg_server: EmbeddedServer) -> str:
    """The DSN of a database for Vallum's own tables."""
    return pg_server.create_database(f"store_{os.getpid()}")


@dataclass(frozen=True, slots=True)
class Odoo:
    """A server over an Odoo database, and an API key of its user `demo`."""

    server: Server
    key: str


# All tests come from one address, and many of them with wrong secrets.
_LOCKOUT = (
    "lockout = {account = {failures = 10000}, address = {failures = 10000}, network = {failures = 10000}}"
)


def _odoo(server: EmbeddedServer, reference: OdooReference, store: str) -> Iterator[Odoo]:
    """Over a copy, so that it can hold a key."""
    dsn = server.create_database(f"serve{reference.version}_{os.getpid()}", template=reference.template)
    key = odoo_key(dsn, "demo")
    with (
        temporary_folder() as folder,
        serving(
            folder, dsn=dsn, store=store, settings={"registry": reference.registry, "identity": _LOCKOUT}
        ) as running,
    ):
        yield Odoo(running, key)


@pytest.fixture(scope="session")
def serve18(pg_server: EmbeddedServer, odoo18: OdooReference, store: str) -> Iterator[Odoo]:
    """The Odoo 18 database over HTTPS."""
    yield from _odoo(pg_server, odoo18, store)


@pytest.fixture(scope="session")
def serve19(pg_server: EmbeddedServer, odoo19: OdooReference, store: str) -> Iterator[Odoo]:
    """The Odoo 19 database over HTTPS."""
    yield from _odoo(pg_server, odoo19, store)


@dataclass(frozen=True, slots=True)
class Company:
    """A server over the example company, over plain HTTP on loopback, and who can sign in."""

    server: Server
    people: People


@pytest.fixture(scope="session")
def serve_company(pg_server: EmbeddedServer) -> Iterator[Company]:
    """The example company, to be read and written to."""
    dsn = pg_server.create_database(f"serve_company_{os.getpid()}")
    generate(dsn, rows=2_000)
    with temporary_folder() as folder:
        known = people(folder, dsn, ("marie", "sofia", "bruno", "olga", "admin"))
        settings = {"metadata": METADATA, "policy": POLICY}
        with serving(folder, dsn=dsn, store=None, settings=settings, secure=False) as running:
            yield Company(running, known)


@pytest.fixture(scope="session")
def installation(pg_server: EmbeddedServer, company: str) -> Iterator[Installation]:
    """The example company with accounts, shared by the tests of a worker; each has people of its own."""
    with installed(pg_server, company) as found:
        yield found


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """A real browser."""
    with alone(run_folder(pytestconfig) / "chromium.lock"):
        chromium()
    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The text of axe-core."""
    with alone(run_folder(pytestconfig) / "axe.lock"):
        return axe_source()
