"""What users see of an Odoo database and of the example company, on PostgreSQL 15, 16 and 17."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.roles.test_equality import (
    test_every_user_of_the_example_company_sees_what_a_search_finds,
    test_every_user_sees_exactly_the_read_scope,
    test_the_setting_narrows_the_companies,
)
from tests.support.odoo import OdooReference
from tests.support.roles import Guarded, guarded, open_odoo
from vallum.postgres import EmbeddedServer, programs

pytestmark = pytest.mark.slow

__all__ = [
    "test_every_user_of_the_example_company_sees_what_a_search_finds",
    "test_every_user_sees_exactly_the_read_scope",
    "test_the_setting_narrows_the_companies",
]


@pytest.fixture(scope="module")
def odoo(
    pg_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OdooReference, Guarded]]:
    """An Odoo 18 database by its record rules alone, and Odoo's own answers."""
    folder = FIXTURES / "odoo18"
    if not (folder / "odoo18.dump").exists():
        pytest.skip(f"no dump of an Odoo 18 database in {folder} (see VALLUM_ODOO_FIXTURES)")
    name = f"roles_odoo_{os.getpid()}"
    dsn = pg_server.create_database(name)
    _restore(folder / "odoo18.dump", dsn, tmp_path_factory.mktemp("dump") / "script.sql")
    reference = OdooReference(18, dsn, name, folder)
    application = open_odoo(dsn, reference.registry)
    with guarded(dsn, application, code_models=True) as found:
        yield reference, found
    application.database.close()
    pg_server.drop_database(name)


def _restore(dump: Path, dsn: str, script: Path) -> None:
    """As a script without the one setting that older servers do not know."""
    owner = programs.Owner.of_servers()
    programs.run("pg_restore", "--no-owner", "--no-privileges", "--file", str(script), str(dump), owner=owner)
    lines = script.read_bytes().splitlines(keepends=True)
    script.write_bytes(b"".join(line for line in lines if not line.startswith(b"SET transaction_timeout")))
    into = ("--quiet", "--set=ON_ERROR_STOP=1", "--output", os.devnull, "--dbname", dsn)
    programs.run("psql", *into, "--file", str(script), owner=owner)
