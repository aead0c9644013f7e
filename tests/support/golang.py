"""Counterparts in Go, on its own checksum database; compiler and library are Debian's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.debian import install

__all__ = ["SOURCES", "go_program"]

SOURCES = Path(__file__).parent / "go"


def go_program(source: Path, folder: Path) -> Path:
    """The program of a file, built in that folder; skips the test where Go cannot be had."""
    if not Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").exists() or shutil.which("go") is None:
        install("golang-go", "golang-golang-x-mod-dev")
    environ = {
        "PATH": "/usr/bin:/bin",
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(folder / "cache"),
        "CGO_ENABLED": "0",
    }
    made = folder / source.stem
    build = ["go", "build", "-o", str(made), str(source)]
    subprocess.run(build, cwd=folder, env=environ, check=True, capture_output=True)
    return made
