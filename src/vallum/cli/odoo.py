"""`vallum odoo`: what is done once, on the side of an Odoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.schema.export import write_script

__all__ = ["app"]

app = typer.Typer(name="odoo", help="Prepare an Odoo for Vallum.", no_args_is_help=True)


@app.command(
    "export-registry",
    epilog=examples(
        "vallum odoo export-registry",
        "odoo-bin shell -c /etc/odoo/odoo.conf -d DATABASE --no-http < export_registry.py",
        note="More, for Docker and Odoo.sh: docs/how-to/export-registry.md",
    ),
)
@command
def export_registry(
    shell: Shell,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The file to write, or the folder to put it in.")
    ] = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write the script that, run once inside Odoo, exports what only Odoo's code knows."""
    path = write_script(target, force=force)
    if shell.json:
        shell.write({"script": str(path)})
        return
    shell.show(
        Text.assemble(("✔ ", "green"), f"{path}: read it, then run it where Odoo runs:"),
        Text(
            f"  odoo-bin shell -c /etc/odoo/odoo.conf -d DATABASE --no-http < {path}",
            style="cyan",
            no_wrap=True,
        ),
        Text("It writes registry.json.gz, for --registry. Docker, Odoo.sh: docs/how-to/export-registry.md"),
    )
