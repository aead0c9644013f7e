"""`vallum audit succeed`: go on after a standby that lagged has taken over."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from vallum.audit.errors import SequencedElsewhere
from vallum.audit.proofs import log_key
from vallum.audit.succession import plan_succession
from vallum.audit.succession import succeed as begin_successor
from vallum.cli.audit.common import Folder, Yes, ask, clock, opened, turn
from vallum.cli.options import command, examples
from vallum.cli.recording import whoever
from vallum.cli.shell import Shell

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "vallum audit succeed --reason 'failover of 3 March, standby lagged'",
            note="Where `sequence` and `verify` say that the log has fewer events than were signed. The "
            "successor has a name, and so a key line, of its own: publish it, and give it to the witnesses.",
        )
    )(succeed)


@command
def succeed(
    shell: Shell,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.", show_default=False)],
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="NAME", help="The successor's name: host/path.", show_default=False),
    ] = None,
    yes: Yes = False,
    folder: Folder = None,
) -> None:
    """Begin a successor of a log whose database lost what was signed, and declare the loss."""
    audit = opened(shell, folder)
    with audit.connection(readonly=False) as connection:
        plan = plan_succession(connection, audit.home, origin)
        if not shell.json:
            shell.show(
                Text(f"log          {plan.signed.origin}, {plan.signed.size:,} events signed"),
                Text(f"database     the first {plan.kept:,} of them, and {plan.waiting:,} events that wait"),
                Text(f"lost         places {plan.kept:,} to {plan.signed.size - 1:,}", style="red"),
                Text(f"successor    {plan.origin}"),
            )
        ask(shell, "Declare the loss, and begin the successor?", yes=yes)
        begin_successor(connection, audit.home, plan, clock, by=whoever(), reason=reason)
    try:
        turn(audit)
    except SequencedElsewhere:
        shell.note("another sequencer goes on with it")
    key = log_key(audit.home, plan.origin).text
    if shell.json:
        shell.write({**plan.as_dict(), "key": key})
        return
    shell.show(Text(f"✔ {plan.origin} goes on; its first entry is event {plan.signed.size:,}", style="green"))
    shell.show(Text(f"log's key    {key}", no_wrap=True))
    shell.show(Text("Tell the witnesses, and whoever checks proofs, of the new key. Now run:", style="dim"))
    shell.show(Text("vallum audit verify", style="cyan"))
