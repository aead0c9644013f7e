"""The console of the example company, served for the run of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vallum
from tests.support.company import METADATA, POLICY
from tests.support.console import Console, serving

ADMINISTRATORS = ("admin", "olga")
AUDITORS = ("lars",)


@pytest.fixture(scope="session")
def console(company: str) -> Iterator[Console]:
    """The console over the company, read-only."""
    with (
        vallum.open(company, metadata=METADATA, policy=POLICY) as opened,
        serving(opened, administrators=ADMINISTRATORS, auditors=AUDITORS) as served,
    ):
        yield served
