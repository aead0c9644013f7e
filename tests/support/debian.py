"""Programs and libraries of Debian that tests need: used where they are, installed where that is possible.

Without them, and without root and apt, the test is skipped and says what it needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.server import alone

__all__ = ["install", "program"]

CACHE: Final = Path(__file__).parents[2] / ".cache" / "debian"
_APT: Final = ("-qq", "-o", "DPkg::Lock::Timeout=600")


def program(name: str, *packages: str) -> str:
    """Where a program is; `packages`: what it comes with, its own name where none is given."""
    found = _where(name)
    if found is None:
        install(*(packages or (name,)))
        found = _where(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def install(*packages: str) -> None:
    """Install packages; skips the test where that cannot be done."""
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        pytest.skip(f"needs the Debian packages {', '.join(packages)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    # No package starts a service: the tests start what they need, and end it.
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    log = CACHE / "apt.log"
    with alone(CACHE / ".lock"), log.open("ab") as output:
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(
                [apt, *_APT, *command], env=environ, stdout=output, stderr=output, timeout=900, check=False
            )
            if done.returncode:
                pytest.skip(f"the Debian packages {', '.join(packages)} cannot be installed: see {log}")


def _where(name: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return shutil.which(name, path=path)
