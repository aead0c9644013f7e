"""The example company in a database of its own, the same for everyone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from examples.trading import generate
from vallum.postgres import EmbeddedServer

__all__ = ["METADATA", "POLICY", "ROWS", "company_dsn"]

ROWS: Final = 10_000
METADATA: Final = "examples.trading:Base"
POLICY: Final = str(Path(__file__).parents[2] / "examples" / "trading" / "security")


def company_dsn(server: EmbeddedServer) -> str:
    """The DSN of this worker's company, made by whoever asks first."""
    name = f"company_{os.getpid()}"
    if name in server.databases():
        return server.dsn(name)
    dsn = server.create_database(name)
    generate(dsn, rows=ROWS)
    return dsn
