"""`vallum audit search`, `show` and `export`: read the trail."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from vallum.audit.errors import AuditRefused
from vallum.audit.export import FORMATS, lines, sign_export
from vallum.audit.files import new_file
from vallum.audit.keys import signing_key
from vallum.audit.notes import Signer
from vallum.audit.search import Event, Wanted, find
from vallum.cli.arguments import companies_of, user_of
from vallum.cli.audit.common import Folder, actor, events_shown, moment, opened
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.cli.tables import plain, titled
from vallum.facade.audit import Audit

__all__ = ["register"]

Record = Annotated[
    str | None,
    typer.Option("--record", metavar="TABLE,KEY", help="One record: res.partner,10.", show_default=False),
]
Table = Annotated[
    list[str] | None, typer.Option("--table", metavar="TABLE", help="Of a table.", show_default=False)
]
Actor = Annotated[
    str | None,
    typer.Option("--actor", metavar="ID", help="By a user's id, or role:NAME.", show_default=False),
]
Field = Annotated[
    str | None, typer.Option("--field", metavar="COLUMN", help="That changed it.", show_default=False)
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From then on.", show_default=False)
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Before then.", show_default=False)
]
Operation = Annotated[
    str | None,
    typer.Option("--operation", metavar="NAME", help="create, write, unlink, truncate.", show_default=False),
]
Kind = Annotated[
    str | None, typer.Option("--kind", metavar="NAME", help="sign-in, export, …", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "vallum audit search --record res.partner,10",
            "vallum audit search --actor 7 --field amount --since 2026-03-01",
            "vallum audit search --as marie --table crm.lead",
            note="--as: what that user may see of it; needs the application's settings as well.",
        )
    )(search)
    app.command(epilog=examples("vallum audit show res.partner,10"))(show)
    app.command(
        epilog=examples(
            "vallum audit export --format csv --output march.csv --since 2026-03-01 --until 2026-04-01",
            note="Beside the file lies its signature, FILE.sig.",
        )
    )(export)


@command
def search(
    shell: Shell,
    record: Record = None,
    table: Table = None,
    actor: Actor = None,
    field: Field = None,
    since: Since = None,
    until: Until = None,
    operation: Operation = None,
    kind: Kind = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="USER", help="With this user's eyes.", show_default=False)
    ] = None,
    companies: Annotated[
        str | None,
        typer.Option("--companies", metavar="IDS", help="The companies switched on.", show_default=False),
    ] = None,
    folder: Folder = None,
) -> None:
    """Find events, the newest first."""
    audit = opened(shell, folder)
    wanted = _wanted(audit, record, table, actor, field, since, until, operation, kind)
    if as_ is None:
        events_shown(shell, audit.search(wanted, limit=limit))
        return
    with shell.open() as vallum:
        who = user_of(vallum, as_)
        session = vallum.as_user(who, companies_of(vallum, who, companies))
        events_shown(shell, audit.search_as(session, wanted, limit=limit))


def _wanted(
    audit: Audit,
    record: str | None,
    table: list[str] | None,
    actor: str | None,
    field: str | None,
    since: str | None,
    until: str | None,
    operation: str | None,
    kind: str | None,
) -> Wanted:
    relations = [audit.relation(name) for name in table or ()] or None
    key = None
    if record is not None:
        relation, key = record_of(audit, record)
        relations = [relation]
    return Wanted(relations, key, actor, field, moment(since), moment(until), operation, kind)


def record_of(audit: Audit, text: str) -> tuple[str, str]:
    """A record as it is written: table and key. Raises: AuditRefused."""
    name, comma, key = text.partition(",")
    if not comma or not key:
        raise AuditRefused(f"`{text}` names no record", fix="write it as res.partner,10")
    return audit.relation(name), key


@command
def show(
    shell: Shell,
    record: Annotated[str, typer.Argument(metavar="TABLE,KEY", show_default=False)],
    folder: Folder = None,
) -> None:
    """Show a record's whole history, field by field: who, when, from what to what."""
    audit = opened(shell, folder)
    relation, key = record_of(audit, record)
    events = audit.search(Wanted([relation], key), limit=None, newest_first=False)
    if shell.json:
        shell.write([event.as_dict() for event in events])
        return
    fields: dict[str, list[tuple[Event, object, object]]] = {}
    for event in events:
        old, new = event.content["old"] or {}, event.content["new"] or {}
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) is not None or new.get(name) is not None:
                fields.setdefault(name, []).append((event, old.get(name), new.get(name)))
    shell.show(Text(f"{relation} {key}: {len(events)} events", style="bold"))
    for name, changes in fields.items():
        table = plain("when (UTC)", "who", "", "before", "after", "event", right=("event",))
        for event, before, after in changes:
            table.add_row(
                event.content["at"][:19].replace("T", " "),
                Text(actor(event)),
                event.operation,
                Text("–" if before is None else str(before)),
                Text("–" if after is None else str(after)),
                f"{event.index:,}",
            )
        shell.show(titled(name, table))


@command
def export(
    shell: Shell,
    form: Annotated[str, typer.Option("--format", help="csv, jsonl, cef or ocsf.")] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; else standard output.", show_default=False),
    ] = None,
    record: Record = None,
    table: Table = None,
    actor: Actor = None,
    field: Field = None,
    since: Since = None,
    until: Until = None,
    operation: Operation = None,
    kind: Kind = None,
    folder: Folder = None,
) -> None:
    """Write events to a file, signed by the log's key."""
    if form not in FORMATS:
        raise AuditRefused(f"no format is called `{form}`", fix="use " + ", ".join(FORMATS))
    audit = opened(shell, folder)
    wanted = _wanted(audit, record, table, actor, field, since, until, operation, kind)
    count, digest = 0, hashlib.sha256()

    with audit.connection() as connection:
        row = connection.execute("SELECT origin FROM vallum.audit_state").fetchone()
        origin = row[0] if row else ""

        def counted() -> object:
            nonlocal count
            for event in find(connection, wanted, limit=None, newest_first=False):
                count += 1
                shell.progress.advance()
                yield event

        shell.progress.start(None, "exporting")
        made = lines(counted(), form)  # type: ignore[arg-type]
        if output is None:
            for line in made:
                sys.stdout.write(line)
            shell.progress.done()
            return
        signer = Signer(origin, signing_key(audit.home.signing_key))
        signature = output.with_name(output.name + ".sig")
        # The signature is whole first: no file is there without one.
        with new_file(output) as file, new_file(signature) as beside:
            for line in made:
                data = line.encode()
                file.write(data)
                digest.update(data)
            beside.write(str(sign_export(signer, digest.hexdigest(), count)).encode())
        shell.progress.done()
    if shell.json:
        shell.write(
            {"events": count, "file": str(output), "sha256": digest.hexdigest(), "signature": str(signature)}
        )
    else:
        shell.show(Text(f"✔ {count:,} events in {output}, signed in {signature.name}", style="green"))
