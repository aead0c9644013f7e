"""Fixtures: `pg_server`, `pg_dsn`, `company`, `odoo18`, `odoo19`, `odoo18_copy`, `odoo19_copy`, `golden`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.asvs import ASVS
from tests.support.attacks import ATTACKS
from tests.support.company import company_dsn
from tests.support.golden import Golden
from tests.support.odoo import OdooReference, odoo_reference
from tests.support.proofs import Results
from tests.support.server import KEY, RunFolder, run_folder
from tests.support.tampering import TAMPERING
from vallum.postgres import EmbeddedServer

ROOT = Path(__file__).parent.parent
FIXTURES = Path(os.environ.get("VALLUM_ODOO_FIXTURES") or ROOT.parent / "shared").resolve()
NEEDS_POSTGRES = frozenset({"pg_server", "pg_dsn", "company", "odoo18", "odoo19"})
NEEDS_ODOO = frozenset({"odoo18", "odoo19"})

# Programs that are run in environments of their own.
collect_ignore = ["support/moto_store.py", "support/pysaml.py"]

_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden`, for `make golden`."""
    parser.addoption("--write-golden", action="store_true", help="write golden files instead of comparing")
    for catalogue in (ASVS, ATTACKS, TAMPERING):
        page = f"write docs/reference/{catalogue.page.name}"
        parser.addoption(f"--write-{catalogue.mark}", action="store_true", help=page)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its folder; workers are told theirs."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunFolder(), KEY)
        for catalogue in (ASVS, ATTACKS, TAMPERING):
            if config.getoption(f"--write-{catalogue.mark}"):
                config.pluginmanager.register(Results(catalogue))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they need, so that nobody has to."""
    for item in items:
        needs = set(getattr(item, "fixturenames", ()))
        if needs & NEEDS_POSTGRES:
            item.add_marker(pytest.mark.pg)
        if needs & NEEDS_ODOO:
            item.add_marker(pytest.mark.odoo)
        if "golden" in needs:
            item.add_marker(pytest.mark.golden)


@pytest.fixture(autouse=True)
def _settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in [name for name in os.environ if name.startswith(("VALLUM_", "PG"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def pg_server(pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """The run's PostgreSQL server, shared by all workers."""
    options = {"max_connections": "800", "shared_buffers": "256MB"}
    with EmbeddedServer(run_folder(pytestconfig) / "server", durable=False, options=options) as server:
        yield server


@pytest.fixture
def pg_dsn(pg_server: EmbeddedServer) -> Iterator[str]:
    """A new, empty database, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    yield pg_server.create_database(name)
    pg_server.drop_database(name)


@pytest.fixture(scope="session")
def company(pg_server: EmbeddedServer) -> str:
    """The DSN of the example company, to be read only."""
    return company_dsn(pg_server)


@pytest.fixture(scope="session")
def odoo18(pg_server: EmbeddedServer, pytestconfig: pytest.Config) -> OdooReference:
    """A real Odoo 18 database, to be read only, and Odoo's own answers."""
    return odoo_reference(pg_server, run_folder(pytestconfig), FIXTURES, 18)


@pytest.fixture(scope="session")
def odoo19(pg_server: EmbeddedServer, pytestconfig: pytest.Config) -> OdooReference:
    """A real Odoo 19 database, to be read only, and Odoo's own answers."""
    return odoo_reference(pg_server, run_folder(pytestconfig), FIXTURES, 19)


@pytest.fixture
def odoo18_copy(pg_server: EmbeddedServer, odoo18: OdooReference) -> Iterator[str]:
    """The DSN of a copy of the Odoo 18 database, to write to, dropped after the test."""
    yield from _copy(pg_server, odoo18)


@pytest.fixture
def odoo19_copy(pg_server: EmbeddedServer, odoo19: OdooReference) -> Iterator[str]:
    """The DSN of a copy of the Odoo 19 database, to write to, dropped after the test."""
    yield from _copy(pg_server, odoo19)


def _copy(server: EmbeddedServer, odoo: OdooReference) -> Iterator[str]:
    name = f"odoo{odoo.version}_{os.getpid()}_{next(_numbers)}"
    yield server.create_database(name, template=odoo.template)
    server.drop_database(name)


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """The golden files."""
    return Golden(ROOT / "tests" / "golden", write=pytestconfig.getoption("--write-golden"))
