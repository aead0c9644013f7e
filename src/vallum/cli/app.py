"""The program: its groups of commands, its own options, and what becomes of an error."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from vallum.cli import (
    access,
    audit,
    check,
    demo,
    group,
    key,
    odoo,
    policy,
    records,
    roles,
    scim,
    serve,
    sso,
    user,
)
from vallum.cli.failure import ERROR, usage_error
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell

__all__ = ["app", "main"]

app = typer.Typer(
    name="vallum",
    help="The security layer for business data in PostgreSQL: who may see and do what, and why.",
    epilog=examples(
        "vallum demo",
        "vallum access explain marie read crm.lead 42 --dsn postgresql:///odoo --registry registry.json.gz",
        note="Options may also stand in vallum.toml or in the environment: VALLUM_DSN, VALLUM_REGISTRY, … "
        "Exit codes: 0 done, allowed or equal; 1 refused, different or found; 2 wrong use or an error.",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(access.app)
app.add_typer(audit.app)
app.add_typer(odoo.app)
app.add_typer(policy.app)
app.add_typer(roles.app)
app.add_typer(user.app)
app.add_typer(group.app)
app.add_typer(key.app)
app.add_typer(sso.app)
app.add_typer(scim.app)
records.register(app)
check.register(app)
demo.register(app)
serve.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        import vallum

        typer.echo(f"vallum {vallum.__version__}")
        raise typer.Exit


@app.callback()
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
        code = app(args=arguments, prog_name="vallum", standalone_mode=False)
    except typer.Abort:
        code = ERROR
    except Exception as error:
        code = usage_error(error, as_json="--json" in arguments)
    sys.exit(code if isinstance(code, int) else 0)
