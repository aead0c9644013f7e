"""`vallum audit enable`, `disable` and `status`: which tables are audited."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from vallum.audit.capture import Mode
from vallum.audit.errors import AuditRefused
from vallum.audit.install import Step
from vallum.cli.audit.common import Folder, Yes, ask, opened
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.cli.tables import plain, titled
from vallum.facade.audit import PRESETS, Audit

__all__ = ["register"]

Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="TABLE", help="A table, as schema.table.", show_default=False),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="TABLE.COLUMN", show_default=False, help="Kept as it is, for good."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "vallum audit enable --preset users --preset groups --plan",
            "vallum audit enable --table public.shop_order --hidden public.shop_order.card",
            note="Presets: "
            + ", ".join(PRESETS)
            + ". Without any, all of them. Each table is locked for a moment; "
            "who holds it for longer is waited for, three seconds at a time.",
        )
    )(enable)
    app.command(epilog=examples("vallum audit disable --table res_partner", "vallum audit disable --all"))(
        disable
    )
    app.command(epilog=examples("vallum audit status", "vallum audit status --json"))(status)


@command
def enable(
    shell: Shell,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", metavar="NAME", help="A set of tables.", show_default=False),
    ] = None,
    table: Tables = None,
    plain_: Annotated[
        list[str] | None,
        typer.Option(
            "--plain", metavar="TABLE.COLUMN", help="Never to be erased: not personal.", show_default=False
        ),
    ] = None,
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            "--hidden", metavar="TABLE.COLUMN", help="Only that it changed: a secret.", show_default=False
        ),
    ] = None,
    baseline: Annotated[
        bool,
        typer.Option("--baseline", help="An event for each row that is there: later checks see them too."),
    ] = False,
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="NAME", help="The log's name: host/path.", show_default=False),
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be done, and do nothing.")
    ] = False,
    yes: Yes = False,
    folder: Folder = None,
) -> int:
    """Audit tables: by triggers, on the live database. Planned first."""
    audit = opened(shell, folder)
    presets = preset or ([] if table else list(PRESETS))
    wanted = audit.wanted(presets, table or (), _modes(audit, plain_, hidden))
    steps = audit.plan(wanted)
    if only_plan:
        _show_plan(shell, steps)
        return OK
    if not yes:
        if not shell.json:
            _show_plan(shell, steps)
        ask(shell, "Enable?", yes=yes)
    done = audit.enable(steps, origin, baseline=baseline, progress=shell.progress)
    refused = [step for step in steps if step.action == "refuse"]
    if shell.json:
        shell.write({"enabled": [s.table.relation for s in done], "refused": [s.as_dict() for s in refused]})
    else:
        shell.show(Text(f"✔ {len(done)} tables are audited from now on", style="green"))
        shell.show(*(Text(f"✘ {s.table.relation}: {s.notes[0]}", style="red") for s in refused))
        shell.show(
            Text(f"The log's keys are in {audit.home.folder}; keep a copy elsewhere. Now run:", style="dim")
        )
        shell.show(Text("vallum audit sequence", style="cyan"))
    return REFUSED if refused else OK


def _modes(audit: Audit, plain_: list[str] | None, hidden: list[str] | None) -> dict[str, dict[str, Mode]]:
    found: dict[str, dict[str, Mode]] = {}
    pairs: list[tuple[str, Mode]] = [(name, "plain") for name in plain_ or ()]
    pairs += [(name, "hidden") for name in hidden or ()]
    for name, mode in pairs:
        relation, dot, column = name.rpartition(".")
        if not dot:
            raise AuditRefused(f"`{name}` names no column", fix="write it as table.column")
        found.setdefault(audit.relation(relation), {})[column] = mode
    return found


def _show_plan(shell: Shell, steps: list[Step]) -> None:
    if shell.json:
        shell.write([step.as_dict() for step in steps])
        return
    table = plain("table", "", "key", "erasable", "hidden", "rows", right=("rows",))
    for step in steps:
        modes = list(step.modes.values())
        table.add_row(
            Text(step.table.relation),
            Text(step.action, style="red" if step.action == "refuse" else ""),
            Text(", ".join(step.table.key) or "–"),
            f"{modes.count('committed')} of {len(modes)}",
            Text(", ".join(name for name, mode in step.modes.items() if mode == "hidden")),
            f"{step.table.rows:,}",
        )
    notes = [Text(f"{step.table.relation}: {note}") for step in steps for note in step.notes]
    shell.show(table, *([titled("To know", *notes)] if notes else []))


@command
def disable(
    shell: Shell,
    table: Tables = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="All tables, and the log in the database: nothing of Vallum's trail stays."
        ),
    ] = False,
    yes: Yes = False,
    folder: Folder = None,
) -> None:
    """End auditing: drop the triggers; the past stays in the log, but with --all."""
    audit = opened(shell, folder)
    if everything == bool(table):
        raise AuditRefused("name tables, or all", fix="give --table or --all")
    what = "Drop all triggers AND the whole log from the database?" if everything else "Drop these triggers?"
    ask(shell, what, yes=yes)
    names = audit.disable(None if everything else table or (), shell.progress)
    if shell.json:
        shell.write({"disabled": names, "dropped": everything})
        return
    shell.show(Text(f"✔ {len(names)} tables are no longer audited", style="green"))
    if everything:
        shell.show(Text(f"Keys, tiles and checkpoint are still in {audit.home.folder}", style="dim"))


@command
def status(shell: Shell, folder: Folder = None) -> int:
    """Show what is audited, how far the log is, and what is wrong."""
    audit = opened(shell, folder)
    data = _status(audit)
    if shell.json:
        shell.write(data)
        return OK
    if not data["tables"] and data["log"] is None:
        shell.show(Text("nothing is audited", style="dim"))
        return REFUSED
    table = plain("table", "since", "key", "events", right=("events",))
    for at in data["tables"]:
        table.add_row(
            Text(at["table"]), str(at["since"])[:19], Text(", ".join(at["key"])), f"{at['events']:,}"
        )
    log = data["log"]
    lines = [
        Text(f"log           {log['origin']}"),
        Text(f"events        {log['size']:,}, {log['signed']:,} of them signed, {log['waiting']:,} waiting"),
        Text(f"log's key     {log['key'] or '–'}", no_wrap=True),
        Text(f"anchors       {', '.join(log['anchors']) or 'none: nobody else knows this log'}"),
        Text(f"folder        {audit.home.folder}", no_wrap=True),
    ]
    alarms = [Text(f"{at['at'][:19]} {at['what']}", style="red") for at in data["alarms"][-5:]]
    shell.show(table, titled("The log", *lines), *([titled("Alarms", *alarms)] if alarms else []))
    return OK


def _status(audit: Audit) -> dict[str, Any]:
    from vallum.audit.anchors import read_anchors
    from vallum.audit.errors import KeyRefused
    from vallum.audit.proofs import log_key

    tables = audit.audited()
    with audit.connection() as connection:
        if connection.execute("SELECT to_regclass('vallum.audit_state')").fetchone() == (None,):
            return {"tables": [], "log": None, "alarms": []}
        counts = dict(
            connection.execute(
                "SELECT relation, count(*) FROM vallum.audit_leaf WHERE op IS NOT NULL GROUP BY 1"
            )
        )
        origin, size, waiting, owner = connection.execute(
            "SELECT origin, size, (SELECT count(*) FROM vallum.audit_inbox),"
            " (SELECT relowner::regrole::text FROM pg_class WHERE oid = 'vallum.audit_inbox'::regclass)"
            " FROM vallum.audit_state"
        ).fetchone() or ("", 0, 0, "")
    signed = audit.home.signed()
    try:
        key: str | None = log_key(audit.home, origin).text
    except KeyRefused:
        key = None
    return {
        "tables": [
            {
                "table": at.relation,
                "since": at.since,
                "key": list(at.key),
                "columns": dict(at.modes),
                "events": counts.get(at.relation, 0),
            }
            for at in tables.values()
        ],
        "log": {
            "origin": origin,
            "size": size,
            "signed": signed.size if signed else 0,
            "waiting": waiting,
            "owner": owner,
            "key": key,
            "anchors": [anchor.name for anchor in read_anchors(audit.home)],
            "folder": str(audit.home.folder),
        },
        "alarms": [alarm.as_dict() for alarm in audit.home.alarms()],
    }
