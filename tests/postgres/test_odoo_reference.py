"""The restored databases of real Odoos: read-only, complete, and copied for whoever must write."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.odoo import OdooReference
from vallum.postgres import Database


@pytest.fixture(params=[18, 19])
def odoo(request: pytest.FixtureRequest) -> OdooReference:
    reference: OdooReference = request.getfixturevalue(f"odoo{request.param}")
    return reference


@pytest.mark.odoo
def test_reference_database_holds_the_users_of_the_answers(odoo: OdooReference) -> None:
    """Dump and answers are of one Odoo."""
    expected = sorted(user["login"] for user in odoo.answers("access")["users"])
    with Database(odoo.dsn) as database:
        found = {login for (login,) in database.rows("SELECT login FROM res_users")}
    assert expected
    assert found.issuperset(expected)


@pytest.mark.odoo
def test_reference_database_is_read_only(odoo: OdooReference) -> None:
    """No test changes what another one reads."""
    with Database(odoo.dsn) as database, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        database.rows("DELETE FROM res_users")


def test_copy_may_be_written(odoo18_copy: str) -> None:
    """Who must write gets a database of its own."""
    with Database(odoo18_copy, readonly=False) as database:
        database.rows("UPDATE res_users SET active = false")
        assert database.rows("SELECT count(*) FROM res_users WHERE active") == [(0,)]
