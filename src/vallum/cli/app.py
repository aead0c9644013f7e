"""The program: its groups of commands, its own options, and what becomes of an error."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Final

import typer

from vallum.cli.failure import ERROR, usage_error
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell

__all__ = ["assembled", "main"]

# The modules of the commands, in the order of the help text, and the words their commands begin with.
_MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "records": ("search", "read"),
    "check": ("check",),
    "demo": ("demo",),
    "serve": ("serve",),
    "access": ("access",),
    "audit": ("audit",),
    "odoo": ("odoo",),
    "policy": ("policy",),
    "roles": ("roles",),
    "user": ("user",),
    "group": ("group",),
    "key": ("key",),
    "sso": ("sso",),
    "scim": ("scim",),
}


def assembled(word: str = "") -> typer.Typer:
    """The program: with all commands or, where a command line begins with a word of one, with that alone.

    To load them all takes half a second, and 10 MiB that a server would keep.
    """
    app = typer.Typer(
        name="vallum",
        help="The security layer for business data in PostgreSQL: who may see and do what, and why.",
        epilog=examples(
            "vallum demo",
            "vallum access explain marie read crm.lead 42 "
            "--dsn postgresql:///odoo --registry registry.json.gz",
            note="Options may also stand in vallum.toml or in the environment: VALLUM_DSN, VALLUM_REGISTRY, "
            "… Exit codes: 0 done, allowed or equal; 1 refused, different or found; 2 wrong use or an error.",
        ),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in [name for name, words in _MODULES.items() if word in words] or _MODULES:
        module = import_module(f"vallum.cli.{name}")
        if hasattr(module, "register"):
            module.register(app)
        else:
            app.add_typer(module.app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        import vallum

        typer.echo(f"vallum {vallum.__version__}")
        raise typer.Exit


@command
def _root(
    shell: Shell,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """The security layer for business data in PostgreSQL: who may see and do what, and why."""


def main() -> None:
    """Run the command line of this process and end it."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without Unicode shows `?` for what it lacks, rather than nothing.
            stream.reconfigure(errors="replace")
    try:
        app = assembled(arguments[0] if arguments else "")
        code = app(args=arguments, prog_name="vallum", standalone_mode=False)
    except typer.Abort:
        code = ERROR
    except Exception as error:
        code = usage_error(error, as_json="--json" in arguments)
    sys.exit(code if isinstance(code, int) else 0)
