"""A database with an audit trail of two tables, and a log's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.audit import Trail, trail


@pytest.fixture
def log(pg_dsn: str, tmp_path: Path) -> Iterator[Trail]:
    """Two audited tables, nothing in them."""
    with trail(pg_dsn, tmp_path / "log") as made:
        yield made
