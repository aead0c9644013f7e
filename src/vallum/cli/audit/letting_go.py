"""`vallum audit retention`, `erase`, `check-archive` and `restore-values`: what is let go, and put back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from vallum.audit.archives import Rewritten, known_archives, rewritten, sort_out
from vallum.audit.archives import check_archive as hold_archive
from vallum.audit.erasure import Subject, erasable, plan_restoration, restore
from vallum.audit.erasure import erase as erase_values
from vallum.audit.errors import AuditRefused
from vallum.audit.proofs import newest
from vallum.audit.retention import carry_out, declare, plan_retention
from vallum.audit.tables import find_table
from vallum.audit.tiles import TileReader
from vallum.cli.audit.common import Folder, Yes, ask, clock, moment, opened, tell_problems, turn
from vallum.cli.audit.reading import record_of
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.cli.tables import plain
from vallum.facade.audit import Audit

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "vallum audit retention --before 2020-01-01 --archive 2019.jsonl.gz",
            note="The archive is written first, the act is signed next, events are deleted last. Proofs of "
            "what stays hold as before.",
        )
    )(retention)
    app.command(
        epilog=examples(
            "vallum audit erase --record res.partner,10 --reason 'request of 3 March'",
            "vallum audit erase --actor 7 --reason 'left the company' --archive /mnt/archives",
            note="Values and salts go from the log, and from the archives that are named; every proof holds "
            "as before. Exit code 1: there are archives that were not reached. Exports, backups and other "
            "systems never are.",
        )
    )(erase)
    app.command(
        "check-archive",
        epilog=examples(
            "vallum audit check-archive 2019.jsonl.gz",
            note="Exit code 0: nothing is wrong; 1: something is.",
        ),
    )(check_archive)
    app.command(
        "restore-values",
        epilog=examples("vallum audit restore-values res.partner,10 --to-before 1234 --fields name,email"),
    )(restore_values)


@command
def retention(
    shell: Shell,
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="Older than this.", show_default=False)
    ],
    archive: Annotated[
        Path, typer.Option("--archive", metavar="FILE", help="Written first.", show_default=False)
    ],
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Of this table only.", show_default=False)
    ] = None,
    yes: Yes = False,
    folder: Folder = None,
) -> None:
    """Let old events go: archived first, declared in the log, then deleted."""
    audit = opened(shell, folder)
    until = moment(before)
    relations = [audit.relation(name) for name in table] if table else None
    with audit.connection(readonly=False) as connection:
        if until is None or until > clock.now():
            raise AuditRefused("what is to come cannot go", where="--before")
        plan = plan_retention(connection, until, relations)
        if not shell.json:
            shell.show(Text(f"{plan.count:,} events go to {archive}, and out of the database"))
        if plan.count:
            ask(shell, "Go on?", yes=yes)
            declare(connection, plan, archive, audit.hand, progress=shell.progress)
            _sequence(audit)
            carry_out(connection, plan)
    if shell.json:
        shell.write({"events": plan.count, "archive": str(archive) if plan.count else None})
    else:
        shell.show(Text(f"✔ {plan.count:,} events are gone, as the log declares", style="green"))


def _sequence(audit: Audit) -> None:
    """One turn, where no sequencer is at work; else it takes its own turns, and is waited for."""
    from time import sleep

    try:
        turn(audit)
    except AuditRefused:
        with audit.connection() as connection:
            for _ in range(100):
                row = connection.execute(
                    "SELECT count(*) FROM vallum.audit_inbox WHERE kind = 'retention'"
                ).fetchone()
                if row == (0,):
                    return
                sleep(0.1)
        raise


@command
def erase(
    shell: Shell,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.", show_default=False)],
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="TABLE,KEY", help="Values of a record.", show_default=False),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="ID", help="Login and address of a user.", show_default=False),
    ] = None,
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="These only.", show_default=False)
    ] = None,
    archive: Annotated[
        list[Path] | None,
        typer.Option(
            "--archive", metavar="PATH", help="In this archive, or this folder's.", show_default=False
        ),
    ] = None,
    yes: Yes = False,
    folder: Folder = None,
) -> int:
    """Erase personal values from the log and its archives for good; entries and proofs stay."""
    audit = opened(shell, folder)
    if (record is None) == (actor is None):
        raise AuditRefused("name a record or an actor", fix="give --record or --actor")
    relation, key = record_of(audit, record) if record else (None, None)
    chosen = tuple(name.strip() for name in fields.split(",")) if fields else None
    subject = Subject(relation, key, actor, chosen)
    with audit.connection(readonly=False) as connection, ExitStack() as held:
        shell.progress.start(None, "reading archives")
        known = known_archives(connection)
        reached, missed = sort_out(known, archive or (), shell.progress)
        made = [
            held.enter_context(rewritten(path, at, digest, subject.labels_of, shell.progress))
            for path, (at, digest) in reached.items()
        ]
        shell.progress.done()
        labels = erasable(connection, subject)
        found, unreached = [at for at in made if at is not None], [at.file for at in missed]
        _show_erasure(shell, labels, found, unreached)
        count = 0
        if labels or found:
            ask(shell, "Erase them for good?", yes=yes)
            told = [at.declared() for at in found]
            count = erase_values(connection, labels, audit.hand, reason, archives=told, unreached=unreached)
            for at in found:
                at.replace()
    if shell.json:
        archives = [{"archive": str(at.path), "events": at.events, "values": at.values} for at in found]
        data = {"events": len(labels), "values": count, "archives": archives, "unreached": unreached}
        shell.write(data)
    else:
        count += sum(at.values for at in found)
        shell.show(Text(f"✔ {count:,} values are erased", style="green"))
    return REFUSED if unreached else OK


def _show_erasure(
    shell: Shell, labels: dict[int, list[str]], found: list[Rewritten], unreached: list[str]
) -> None:
    """What would go, and what would stay."""
    if shell.json:
        return
    shell.show(Text(f"{sum(map(len, labels.values())):,} values of {len(labels):,} events in the log"))
    for at in found:
        shell.show(Text(f"{at.values:,} values of {at.events:,} events in {at.path}"))
    for name in unreached:
        shell.show(
            Text(f"✘ archive {name} is not reached: name it, or its folder, with --archive", style="red")
        )


@command
def check_archive(
    shell: Shell,
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    folder: Folder = None,
) -> int:
    """Hold an archive against the tree and against what the log says of it."""
    audit = opened(shell, folder)
    _, checkpoint = newest(audit.home)
    with audit.connection() as connection:
        known = known_archives(connection)
    shell.progress.start(None, "reading the archive")
    count, problems = hold_archive(
        path, known, TileReader(audit.home.folder, checkpoint.size), shell.progress
    )
    shell.progress.done()
    good = f"{count:,} events are those that were signed, and the archive is as the log says"
    return tell_problems(shell, problems, good, {"events": count})


@command
def restore_values(
    shell: Shell,
    record: Annotated[str, typer.Argument(metavar="TABLE,KEY", show_default=False)],
    to_before: Annotated[
        int,
        typer.Option("--to-before", metavar="EVENT", min=0, help="As it was before it.", show_default=False),
    ],
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="These only.", show_default=False)
    ] = None,
    yes: Yes = False,
    folder: Folder = None,
) -> None:
    """Put a row's old values back, as they were before an event. Code of the application does not run."""
    audit = opened(shell, folder)
    relation, key = record_of(audit, record)
    chosen = [name.strip() for name in fields.split(",")] if fields else None
    with audit.connection(readonly=False) as connection:
        plan = plan_restoration(connection, find_table(connection, relation), key, to_before, chosen)
        if not shell.json:
            table = plain("column", "now", "back to")
            for name, (now, back) in plan.values.items():
                table.add_row(
                    name, Text("–" if now is None else str(now)), Text("–" if back is None else str(back))
                )
            for name, why in plan.skipped.items():
                table.add_row(name, "", Text(f"not: {why}", style="red"))
            shell.show(table)
        if not plan.values:
            raise AuditRefused("there is nothing to put back")
        ask(shell, "Insert the row again?" if plan.insert else "Put these back?", yes=yes)
        count = restore(connection, plan)
    if count != 1:
        raise AuditRefused("the row is not there any more", where=record)
    if shell.json:
        shell.write({"restored": list(plan.values), "skipped": dict(plan.skipped), "inserted": plan.insert})
    else:
        shell.show(Text(f"✔ {len(plan.values)} values are back", style="green"))
