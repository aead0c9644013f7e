"""A PostgreSQL of its own for a benchmark, gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vallum.postgres import EmbeddedServer

__all__ = ["scratch_server"]


@contextmanager
def scratch_server() -> Iterator[EmbeddedServer]:
    """A server in a temporary folder that its system user may pass."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with EmbeddedServer(Path(folder, "pg"), durable=False) as server:
            yield server
