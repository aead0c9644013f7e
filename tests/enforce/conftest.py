"""The example company, opened as an application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vallum
from examples.trading import SECURITY, Base


@pytest.fixture(scope="session")
def app(company: str) -> Iterator[vallum.Vallum]:
    """The company, to be read only."""
    with vallum.open(company, metadata=Base, policy=SECURITY) as opened:
        yield opened
