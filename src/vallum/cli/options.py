"""The options all commands share, and how a function becomes a command.

A command takes a `Shell` and its own parameters, and returns an exit code or nothing. `command` adds the
shared options to what typer sees, and turns errors into exit codes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from vallum.cli.failure import failed
from vallum.cli.shell import Shell

__all__ = ["command", "examples"]

P = ParamSpec("P")

_PANEL: Final = "Shared options"
_SHARED: Final[dict[str, Any]] = {
    "dsn": Annotated[
        str | None,
        typer.Option(
            "--dsn", metavar="DSN", help="The database: postgresql://… or dbname=…", rich_help_panel=_PANEL
        ),
    ],
    "registry": Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="FILE",
            help="What only Odoo's code knows, exported once.",
            rich_help_panel=_PANEL,
        ),
    ],
    "metadata": Annotated[
        str | None,
        typer.Option(
            "--metadata", metavar="MODULE:BASE", help="SQLAlchemy models of your own.", rich_help_panel=_PANEL
        ),
    ],
    "policy": Annotated[
        list[str] | None,
        typer.Option(
            "--policy", metavar="FOLDER", help="Their policy, in Odoo's format.", rich_help_panel=_PANEL
        ),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Settings, instead of ./vallum.toml.", rich_help_panel=_PANEL
        ),
    ],
    "as_json": Annotated[
        bool, typer.Option("--json", help="Answer in JSON, errors too.", rich_help_panel=_PANEL)
    ],
}


def command(function: Callable[Concatenate[Shell, P], int | None]) -> Callable[..., None]:
    """The function as typer wants it: with the shared options, ending in an exit code."""
    own = list(signature(function, eval_str=True).parameters.values())[1:]
    context = Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=False if name == "as_json" else None)
        for name, kind in _SHARED.items()
    ]

    def run(**given: Any) -> None:
        ctx: typer.Context = given.pop("ctx")
        outer = ctx.obj if isinstance(ctx.obj, Shell) else Shell()
        ctx.obj = shell = outer.with_options({name: given.pop(name) for name in _SHARED})
        try:
            code = function(shell, **given)  # type: ignore[call-arg]  # typer has checked them
        except (typer.Exit, typer.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            code = failed(error, as_json=shell.json, debug=shell.debug)
        if code:
            raise typer.Exit(code)

    update_wrapper(run, function)
    keyword = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = Signature([context, *keyword, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (context, *keyword, *shared)}
    del run.__wrapped__  # type: ignore[attr-defined]  # its signature is not this one's
    return run


def examples(*lines: str, note: str = "") -> str:
    """The end of a help text: commands to try, and a note."""
    from rich.markup import escape

    shown = [f"[dim]$[/] [cyan]{escape(line)}[/]" for line in lines]
    return "\n\n".join(["[bold]Examples[/]", *shown, *([escape(note)] if note else [])])
