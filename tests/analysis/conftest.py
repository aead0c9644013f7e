"""Fixtures: `again` opens the small application with any policy and users, `app` as it is; `statements`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.analysis.world import POLICY, Open, fill, opened
from tests.support.odoo import OdooReference
from vallum.enforce import Application
from vallum.policy import Policy
from vallum.postgres import Database


@pytest.fixture
def again(pg_dsn: str) -> Iterator[Open]:
    """Opens the small application, as often as a test wants to."""
    fill(pg_dsn)
    applications: list[Application] = []

    def open_it(policy: Policy = POLICY, **more: Any) -> Application:
        applications.append(opened(pg_dsn, policy, **more))
        return applications[-1]

    yield open_it
    for application in applications:
        application.database.close()


@pytest.fixture
def app(again: Open) -> Application:
    """The small application."""
    return again()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that were sent."""
    sent: list[str] = []
    rows = Database.rows

    def noted(self: Database, *given: Any) -> Any:
        sent.append(str(given[0]))
        return rows(self, *given)

    monkeypatch.setattr(Database, "rows", noted)
    return sent


@pytest.fixture(params=[18, 19])
def odoo(request: pytest.FixtureRequest) -> OdooReference:
    """A real Odoo's database and its answers."""
    reference: OdooReference = request.getfixturevalue(f"odoo{request.param}")
    return reference
