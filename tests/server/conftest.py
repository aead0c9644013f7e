"""Fixtures of pages: a browser for the run of a worker, and axe-core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import axe_source, chromium, launched
from tests.support.server import alone, run_folder


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """A real browser."""
    with alone(run_folder(pytestconfig) / "chromium.lock"):
        chromium()
    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The text of axe-core."""
    with alone(run_folder(pytestconfig) / "axe.lock"):
        return axe_source()
