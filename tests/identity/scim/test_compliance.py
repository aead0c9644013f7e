"""Held against the standard by others: scim2-cli and scim-sanity, every check."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.environment import environment
from tests.support.scim import Directory
from tests.support.scim_http import carried

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "tests" / "support" / "scim-testers.txt"


@pytest.fixture(scope="session")
def testers() -> Path:
    """An environment of their own: they want other releases of libraries than the product."""
    return environment("scim", REQUIREMENTS).parent


def _run(*command: str, **environ: str) -> str:
    plain = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environ}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=plain)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_scim2_cli_finds_nothing_wrong(corp: Directory, testers: Path) -> None:
    """Every attribute of every schema is written, changed, removed and asked for."""
    with carried(corp) as (url, token):
        said = _run(
            str(testers / "scim2"), "-u", url, "test", SCIM_CLI_HEADERS=f"Authorization: Bearer {token}"
        )
    assert said.count("SUCCESS") > 100
    assert "ERROR" not in said


def test_scim_sanity_finds_nothing_wrong(corp: Directory, testers: Path) -> None:
    """In its strict mode."""
    with carried(corp) as (url, token):
        said = _run(str(testers / "scim-sanity"), "probe", url, "--token", token, "--i-accept-side-effects")
    assert "All tests passed" in said
    assert "FAIL" not in said
