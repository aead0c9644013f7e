"""Fixtures: `vallum` runs the command line on the example company."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.command import Outcome, run
from tests.support.company import METADATA, POLICY


@pytest.fixture
def vallum(company: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command on the example company, in this process."""
    monkeypatch.setenv("VALLUM_DSN", company)
    monkeypatch.setenv("VALLUM_METADATA", METADATA)
    monkeypatch.setenv("VALLUM_POLICY", POLICY)
    return run
