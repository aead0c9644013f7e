"""Environments of Python for counterparts that want other releases of libraries than the product."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.server import alone

__all__ = ["environment"]

CACHE: Final = Path(__file__).parents[2] / ".cache" / "environments"


def environment(name: str, requirements: Path) -> Path:
    """The Python of an environment with these requirements; skips the test where it cannot be had."""
    mark = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{mark}"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        if not (folder / ".done").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
            command = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
            done = subprocess.run(
                [*command, "--no-deps", "--require-hashes", "-r", str(requirements)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"{name} cannot be installed: {done.stderr[-300:]}")
            (folder / ".done").touch()
    return folder / "bin" / "python"
