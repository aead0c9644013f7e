"""`vallum serve`: the policy behind HTTPS."""

from __future__ import annotations

from typing import Annotated

import typer

from vallum.cli.options import command, examples
from vallum.cli.shell import Shell

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "serve",
        epilog=examples(
            "vallum serve --dsn postgresql:///odoo --registry registry.json.gz",
            "vallum serve --listen 0.0.0.0:8443 --host erp.example.com --workers 4",
            "vallum serve --plain-http --listen 127.0.0.1:8069",
            note="The first start makes a CA and a certificate, and says where the CA is, to be trusted. "
            "All settings of the server, limits and address lists among them: docs/how-to/serve.md.",
        ),
    )(serve)


@command
def serve(
    shell: Shell,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to listen.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes that serve.")] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="A name the server is reached by; may be repeated."),
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="HTTP without TLS; on loopback only.")
    ] = False,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="ADDRESS:PORT", help="Where Prometheus may ask.")
    ] = None,
) -> None:
    """Serve the API over HTTPS: JSON-2, JSON-RPC and XML-RPC, as Odoo's clients speak them."""
    from vallum.server import prepared, run

    given = {
        "listen": listen,
        "workers": workers,
        "allowed_hosts": host or None,
        "plain_http": plain_http or None,
        "metrics": metrics,
    }
    shell = shell.with_settings(given)
    with prepared(shell.settings) as ready:
        ca = ready.certificate.ca if ready.certificate else None
        if shell.json:
            shell.write(
                {
                    "url": ready.url,
                    "ca": str(ca) if ca else None,
                    "version": ready.version,
                    "first_link": ready.first_link,
                }
            )
        else:
            shell.note(f"Serving Odoo {ready.version}'s API for {ready.users} users at {ready.url}")
            if ca is not None:
                shell.note(f"Clients must trust the CA in {ca}")
            if ready.first_link is not None:
                shell.note(f"Become the first administrator, within a day and once: {ready.first_link}")
        run(ready)
