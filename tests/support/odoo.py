"""The databases of real Odoos and what Odoo itself answers about them.

They lie beside the repository, in `../shared/odoo18` and `../shared/odoo19`, or below the folder
that VALLUM_ODOO_FIXTURES names. Where they are missing, tests that need them are skipped.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import alone
from vallum.postgres import EmbeddedServer, connect

__all__ = ["OdooReference", "odoo_reference"]


@dataclass(frozen=True, slots=True)
class OdooReference:
    """An Odoo database that is there to be read, and the answers to hold ours against.

    `template` is a database nobody connects to: the source of copies that may be written to.
    """

    version: int
    dsn: str
    template: str
    folder: Path

    @property
    def registry(self) -> Path:
        """The registry file of this Odoo."""
        return self.folder / "registry.json.gz"

    def answers(self, name: str) -> Any:
        """The content of `<name>.json.gz`: access, search, search_as_user, rpc or registry."""
        return _answers(self.folder / f"{name}.json.gz")


@cache
def _answers(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def odoo_reference(server: EmbeddedServer, locks: Path, fixtures: Path, version: int) -> OdooReference:
    """The reference of that version, its dump restored by the first worker who asks."""
    folder = fixtures / f"odoo{version}"
    dump = folder / f"odoo{version}.dump"
    if not dump.exists():
        pytest.skip(f"no dump of an Odoo {version} database: {dump} is missing (see VALLUM_ODOO_FIXTURES)")
    name, template = f"odoo{version}", f"odoo{version}_template"
    with alone(locks / f"{name}.lock"):
        databases = server.databases()
        if template not in databases:
            server.restore(dump, template)
        if name not in databases:
            server.create_database(name, template=template)
            with connect(server.dsn(), readonly=False) as connection:
                connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    return OdooReference(version, server.dsn(name), template, folder)
