"""Servers of the older versions in the place of the run's own: what is tested here is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import run_folder
from tests.support.versions import VERSIONS, server_programs
from vallum.postgres import EmbeddedServer


@pytest.fixture(scope="session", params=sorted(VERSIONS))
def pg_server(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """A server of that version, shared by all workers."""
    folder = run_folder(pytestconfig)
    programs = server_programs(request.param, folder)
    name, options = f"server-{request.param}", {"max_connections": "100"}
    with EmbeddedServer(folder / name, durable=False, options=options, programs=programs) as server:
        yield server
