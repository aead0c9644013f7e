"""What becomes of an error: one clear line, how to mend it, and an exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, Final

import psycopg
import typer

from vallum.kernel import AccessDenied, VallumError

__all__ = ["ERROR", "OK", "REFUSED", "failed", "usage_error"]

OK: Final = 0
REFUSED: Final = 1
ERROR: Final = 2
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

# click's UsageError, wherever this release of typer keeps it.
_UsageError: Final[type[BaseException]] = typer.BadParameter.__mro__[1]


def failed(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Tell the error and return the exit code it stands for."""
    if isinstance(error, BrokenPipeError):
        # Whoever read has read enough; what is left to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    refused = isinstance(error, AccessDenied)
    _tell(_described(error), "refused" if refused else "error", as_json=as_json)
    return REFUSED if refused else ERROR


def usage_error(error: Exception, *, as_json: bool) -> int:
    """Tell what is wrong with the command line; an error that is not about it is raised again."""
    if not isinstance(error, _UsageError):
        raise error
    shown: Any = error
    path = shown.ctx.command_path if shown.ctx else "vallum"
    what = shown.format_message().rstrip(".")
    if not what:
        # No arguments: the help text has been shown.
        return ERROR
    what = what[:1].lower() + what[1:]
    _tell(
        {"code": "usage", "what": what, "where": None, "fix": f"see `{path} --help`"},
        "error",
        as_json=as_json,
    )
    return ERROR


def _described(error: BaseException) -> dict[str, str | None]:
    if isinstance(error, VallumError):
        return error.as_dict()
    if isinstance(error, psycopg.Error):
        what = str(error).partition("\n")[0] or type(error).__name__
        return {
            "code": "database",
            "what": f"PostgreSQL refuses a statement: {what}",
            "where": None,
            "fix": "check what the user of the DSN may read",
        }
    if isinstance(error, OSError) and error.filename:
        what = error.strerror or type(error).__name__
        return {
            "code": "file",
            "what": what,
            "where": str(error.filename),
            "fix": "check the path and its permissions",
        }
    return {
        "code": "internal",
        "what": f"Vallum itself is at fault: {type(error).__name__}: {error}",
        "where": None,
        "fix": "set VALLUM_DEBUG=1 to see where, and report it",
    }


def _tell(error: dict[str, str | None], label: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": error}, ensure_ascii=False), file=sys.stderr)
        return
    from rich.text import Text

    from vallum.cli.terminal import PlainConsole

    console = PlainConsole(stderr=True, soft_wrap=True, highlight=False)
    where = f" (at {error['where']})" if error["where"] else ""
    console.print(Text.assemble((f"{label}:", "bold red"), f" {error['what']}{where}"))
    if error["fix"]:
        console.print(Text.assemble(("fix:", "bold"), f" {error['fix']}"))
