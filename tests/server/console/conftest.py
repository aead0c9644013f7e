"""The console of the example company, served for the run of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import httpx
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
        settle(served)
        yield served


def settle(console: Console) -> None:
    """Wait until home has looked up all it looks up beside the page: from then on it says the same."""
    with httpx.Client(base_url=console.address, cookies={"who": "admin"}, trust_env=False) as client:
        while "being looked up" in client.get("/").raise_for_status().text:
            sleep(0.1)
