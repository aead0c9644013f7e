"""Held against the standard by others: scim2-cli and scim-sanity, every check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scim import Directory
from tests.support.scim_http import carried
from tests.support.server import alone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "tests" / "support" / "scim-testers.txt"


@pytest.fixture(scope="session")
def testers() -> Path:
    """An environment of their own: they want other releases of libraries than the product."""
    folder = ROOT / ".cache" / "scim" / f"{sys.version_info.major}.{sys.version_info.minor}"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        if not (folder / ".done").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
            command = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
            done = subprocess.run(
                [*command, "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"the testers cannot be installed: {done.stderr[-300:]}")
            (folder / ".done").touch()
    return folder / "bin"


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
