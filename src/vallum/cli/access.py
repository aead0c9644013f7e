"""`vallum access`: who may do what, why, and what has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vallum.cli import tables
from vallum.cli.arguments import companies_of, names_of, user_of
from vallum.cli.differences import difference
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell

__all__ = ["app"]

app = typer.Typer(name="access", help="Who may do what, why, and what has changed.", no_args_is_help=True)

Operation = Annotated[
    str, typer.Argument(help="read, write, create or unlink.", metavar="OPERATION", show_default=False)
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Such as sale.order.", show_default=False)]
Record = Annotated[int | None, typer.Argument(metavar="ID", help="One record.", show_default=False)]
FieldName = Annotated[str | None, typer.Option("--field", metavar="FIELD", help="One field.")]


@app.command(
    epilog=examples(
        "vallum access explain marie read crm.lead",
        "vallum access explain marie write crm.lead 42 --companies 1,2",
        "vallum access explain bruno read sale.order 7 --field margin --json",
        note="Exit code 0: allowed, 1: refused.",
    )
)
@command
def explain(
    shell: Shell,
    login: Annotated[
        str, typer.Argument(metavar="LOGIN", help="The user's login, or id.", show_default=False)
    ],
    operation: Operation,
    model: ModelName,
    record: Record = None,
    field: FieldName = None,
    companies: Annotated[
        str | None, typer.Option("--companies", metavar="1,2", help="Companies switched on: ids, or all.")
    ] = None,
) -> int:
    """Say whether a user may do something, with the whole chain of reasons."""
    with shell.open() as vallum:
        who = user_of(vallum, login)
        chosen = companies_of(vallum, who, companies)
        found = vallum.explain(who, operation, model, record, field, companies=chosen)
    if shell.json:
        shell.write(found.as_dict())
    else:
        shell.show(*tables.explanation(found, login, operation, model, record, field))
    return OK if found.allowed else REFUSED


@app.command(
    "who-can",
    epilog=examples(
        "vallum access who-can read hr.employee --field salary",
        "vallum access who-can unlink account.move 12 --all-companies",
        "vallum access who-can write crm.lead --count",
    ),
)
@command
def who_can(
    shell: Shell,
    operation: Operation,
    model: ModelName,
    record: Record = None,
    field: FieldName = None,
    all_companies: Annotated[
        bool, typer.Option("--all-companies", help="With all of a user's companies switched on.")
    ] = False,
    inactive: Annotated[bool, typer.Option("--inactive", help="Inactive users too.")] = False,
    count: Annotated[
        bool, typer.Option("--count", help="How many records each; those with none left out.")
    ] = False,
) -> None:
    """List the users who may do something, each with the reason."""
    with shell.open() as vallum:
        holders = vallum.who_can(
            operation,
            model,
            record,
            field,
            companies="all" if all_companies else None,
            active_only=not inactive,
            count=count,
            progress=shell.progress,
        )
        users = sum(1 for user in vallum.users if user.active or inactive)
    if shell.json:
        shell.write(
            {
                "operation": operation,
                "model": model,
                "record": record,
                "field": field,
                "of": users,
                "holders": [holder.as_dict() for holder in holders],
            }
        )
    else:
        shell.show(*tables.holders(holders, users, operation, model, record, field))


@app.command(
    epilog=examples(
        "vallum access snapshot --dsn postgresql:///odoo --registry registry.json.gz --out today.json.gz",
        "vallum access snapshot --users marie,paul",
    )
)
@command
def snapshot(
    shell: Shell,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")] = Path(
        "snapshot.json.gz"
    ),
    users: Annotated[str | None, typer.Option("--users", metavar="A,B", help="Only these users.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run ended.")] = False,
) -> None:
    """Write down everybody's effective access, to keep and to compare."""
    journal = out.with_name(out.name + ".journal")
    if not resume:
        journal.unlink(missing_ok=True)
    chosen = names_of(users, "--users")
    with shell.open() as vallum:
        people = None if chosen is None else [user_of(vallum, text) for text in chosen]
        try:
            taken = vallum.snapshot(
                out, users=people, progress=shell.progress, resume=journal, notify=shell.note
            )
        except KeyboardInterrupt:
            shell.note(f"what is done is kept in {journal}: go on with --resume")
            raise
    if shell.json:
        shell.write(tables.snapshot_size(taken, out))
    else:
        shell.show(*tables.snapshot(taken, out))


@app.command(
    epilog=examples(
        "vallum access diff before.json.gz after.json.gz",
        note="Needs no database. Exit code 0: the same, 1: something differs.",
    )
)
@command
def diff(
    shell: Shell,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A snapshot.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="A later one.", show_default=False)],
) -> int:
    """Compare two snapshots: what who gained and lost."""
    from vallum.analysis import diff_snapshots, read_snapshot

    found = diff_snapshots(read_snapshot(old), read_snapshot(new))
    if shell.json:
        shell.write(found.as_dict())
    else:
        shell.show(*difference(found))
    return OK if found.is_empty else REFUSED
