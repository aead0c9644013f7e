"""What the commands of `vallum audit` share: the log's folder, times, and how problems are told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.text import Text

from vallum.audit.errors import AuditRefused
from vallum.audit.problem import Problem
from vallum.audit.search import Event
from vallum.cli.failure import OK, REFUSED
from vallum.cli.shell import Shell
from vallum.cli.tables import plain
from vallum.facade.audit import Audit, parse_moment
from vallum.kernel import SettingsError
from vallum.kernel.clock import SystemClock

__all__ = [
    "Folder",
    "Yes",
    "app",
    "ask",
    "clock",
    "events_shown",
    "moment",
    "opened",
    "tell_problems",
    "turn",
]

app = typer.Typer(
    name="audit",
    help="The audit trail: every change with old and new values, which nobody can alter unseen.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="The log's own folder: keys, tiles, checkpoint.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
clock: Final = SystemClock()
_LONG: Final = 60


def opened(shell: Shell, folder: Path | None = None) -> Audit:
    """The trail of the settings' database. Raises: SettingsError."""
    settings = shell.settings
    if settings.dsn is None:
        raise SettingsError("no database is given", fix="give --dsn postgresql://… or set VALLUM_DSN")
    chosen = folder or settings.audit_dir
    if chosen is None:
        try:
            name = str(conninfo_to_dict(settings.dsn).get("dbname") or "default")
        except Exception:
            name = "default"
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        chosen = settings.data_dir / "audit" / safe
    return Audit(settings.dsn, chosen.absolute())


def turn(audit: Audit) -> None:
    """One turn of a sequencer, where none is at work. Raises: SequencedElsewhere, LogForked, KeyRefused."""
    from vallum.audit import Sequencer
    from vallum.audit.anchors import read_anchors

    anchors = read_anchors(audit.home)
    with Sequencer(audit.dsn, audit.home, anchors=anchors, clock=clock).running() as worker:
        worker.step()


def ask(shell: Shell, question: str, *, yes: bool) -> None:
    """Ask before something is changed. Raises: SettingsError (a program cannot be asked), typer.Abort."""
    if yes:
        return
    if shell.json:
        raise SettingsError("a program cannot be asked", where="--json", fix="add --yes")
    typer.confirm(question, abort=True, err=True)


def moment(text: str | None) -> datetime | None:
    """An instant of the command line. Raises: AuditRefused."""
    return None if text is None else parse_moment(text)


def tell_problems(shell: Shell, problems: Iterable[Problem], good: str, data: dict[str, object]) -> int:
    """Say what is wrong, or that nothing is; exit code 1 where something is."""
    found = list(problems)
    if shell.json:
        shell.write({**data, "problems": [problem.as_dict() for problem in found]})
    elif found:
        table = plain("event", "what", "code", right=("event",))
        for problem in found:
            index = "–" if problem.index is None else f"{problem.index:,}"
            table.add_row(index, Text(problem.what), problem.code)
        shell.show(Text(f"✘ {len(found):,} problems", style="bold red"), table)
    else:
        shell.show(Text(f"✔ {good}", style="green"))
    return REFUSED if found else OK


def events_shown(shell: Shell, events: Iterable[Event]) -> None:
    """Events as a table or as JSON."""
    found = list(events)
    if shell.json:
        shell.write([event.as_dict() for event in found])
        return
    table = plain("event", "when (UTC)", "who", "what", "changed", right=("event",))
    for event in found:
        table.add_row(
            f"{event.index:,}",
            event.content["at"][:19].replace("T", " "),
            Text(actor(event)),
            Text(subject(event)),
            Text(changes(event)),
        )
    shell.show(table if found else Text("no events", style="dim"))


def actor(event: Event) -> str:
    """Who acted: a user where that is verified, else the database role."""
    who = event.content["actor"]
    if who.get("sequencer"):
        return "sequencer"
    if "id" not in who:
        return f"{who.get('role', '?')} (role{', forged stamp' if who.get('forged') else ''})"
    return f"{who.get('login', 'user')} ({who['id']})"


def subject(event: Event) -> str:
    """What was done to what."""
    key = event.content.get("key")
    named = "" if key is None else " " + ", ".join(str(value) for value in key.values())
    return f"{event.operation} {(event.relation or '').removeprefix('public.')}{named}".strip()


def changes(event: Event) -> str:
    """The values before and after, shortened."""
    content = event.content
    if content["kind"] != "row":
        return _short(content.get("detail"))
    old, new = content.get("old") or {}, content.get("new") or {}
    parts = []
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            parts.append(f"{name}: {_short(old[name])} → {_short(new[name])}")
        elif (value := new.get(name, old.get(name))) is not None:
            parts.append(f"{name}: {_short(value)}")
    text = "; ".join(parts)
    return ("⚠ altered: " + ", ".join(event.altered) + "; " + text) if event.altered else text


def _short(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def one_of(names: list[str] | None, known: Iterable[str], what: str) -> None:
    """Raises: AuditRefused where a name is none of those known."""
    for name in names or ():
        if name not in known:
            raise AuditRefused(f"no {what} is called `{name}`", fix="use " + ", ".join(known))
