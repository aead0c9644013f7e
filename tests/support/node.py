"""Counterparts that run on Node.js: installed as pinned, started for a test, ended by their process id."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian import program
from tests.support.server import alone

__all__ = ["NodeProgram", "node_modules", "node_program"]

HOME = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[2] / ".cache" / "node"


def node_modules() -> Path:
    """The folder with the programs and what they need; skips the test where that cannot be had."""
    lock = (HOME / "package-lock.json").read_bytes()
    wanted = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    wanted.mkdir(parents=True, exist_ok=True)
    with alone(wanted / ".lock"):
        npm = program("npm", "nodejs", "npm")
        if not (wanted / ".done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HOME / name, wanted / name)
            # The lock's hashes are checked; no script of a package runs.
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=wanted,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"the npm packages cannot be installed: {done.stderr[-300:]}")
            (wanted / ".done").touch()
        for script in HOME.glob("*.mjs"):
            shutil.copy(script, wanted / script.name)
    return wanted


class NodeProgram:
    """A program that speaks JSON by the line on standard output, and takes words on standard input."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said = self._line()

    def tell(self, word: str) -> None:
        """Say a word and wait until it is done."""
        if self._process.stdin is None:
            raise TypeError("the program takes no words")
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        self._line()

    def _line(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise TypeError("the program says nothing")
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError(f"the program has ended with {self._process.wait()}")


@contextmanager
def node_program(script: str, given: dict[str, Any], log: Path) -> Iterator[NodeProgram]:
    """A program, running until the end of the block."""
    folder = node_modules()
    with log.open("w") as errors:
        process = subprocess.Popen(
            [program("node", "nodejs"), script, json.dumps(given)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield NodeProgram(process)
        finally:
            process.terminate()
            process.wait(timeout=10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
