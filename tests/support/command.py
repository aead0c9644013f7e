"""Run the command line: in this process, or as the program it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from vallum.cli import assembled

__all__ = ["Outcome", "program", "run"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said on standard output, parsed."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error it said on standard error in JSON."""
        return json.loads(self.err)["error"]


def run(*arguments: str) -> Outcome:
    """A command in this process, with the environment it has, on a terminal 100 columns wide."""
    result = CliRunner().invoke(
        assembled(arguments[0] if arguments else ""), list(arguments), env={"COLUMNS": "100", "NO_COLOR": "1"}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def program(
    *arguments: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    timeout: float = 60,
    stdin: str = "",
) -> Outcome:
    """A command as a process of its own, in that folder and with no settings but those given."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "vallum.cli", *arguments],
        cwd=folder,
        env={
            **plain,
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **(environ or {}),
        },
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        input=stdin,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
