"""Servers over the reference databases and the example company, shared by the tests of a worker."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.odoo import OdooReference
from tests.support.serving import Server, serving
from vallum.postgres import EmbeddedServer


@pytest.fixture(scope="session")
def store(pg_server: EmbeddedServer) -> str:
    """The DSN of a database for Vallum's own tables."""
    return pg_server.create_database(f"store_{os.getpid()}")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that belongs to whoever runs the tests, and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vallum-serve-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def serve18(odoo18: OdooReference, store: str) -> Iterator[Server]:
    """The Odoo 18 database over HTTPS."""
    with (
        temporary_folder() as folder,
        serving(folder, dsn=odoo18.dsn, store=store, settings={"registry": odoo18.registry}) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def serve19(odoo19: OdooReference, store: str) -> Iterator[Server]:
    """The Odoo 19 database over HTTPS."""
    with (
        temporary_folder() as folder,
        serving(folder, dsn=odoo19.dsn, store=store, settings={"registry": odoo19.registry}) as server,
    ):
        yield server
