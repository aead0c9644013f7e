"""The screen of `vallum demo`: the tour as people read it, a hundred columns wide."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vallum.cli.tables import plain, reasons, titled, verdict
from vallum.cli.tour import CAST, Question, Row, Tour, Why

__all__ = ["Where", "screen"]

# What the first table takes with a word about each person.
_WIDE: Final = 98


@dataclass(frozen=True, slots=True)
class Where:
    """Where the company is to be found: for the commands to try."""

    dsn: str
    checkout: Path
    folder: Path
    running: bool
    serving: bool = False


def screen(seen: Tour, where: Where, width: int = 100) -> Iterable[RenderableType]:
    """The parts of the screen, one after the other; `width`: columns of the terminal."""
    size = " · ".join(f"{count:,} {what}" for what, count in seen.size.items())
    yield Text.assemble(("Limes Trading", "bold"), "  a company to try Vallum on")
    yield Text(size, style="dim")
    yield titled(
        "How many records each sees, in all their companies (shut: no access right)",
        _matrix(seen.rows, roles=width >= _WIDE),
    )
    yield titled(f"Why, in the case of {seen.closer}", _whys(seen))
    yield titled("Asked one by one", *_questions(seen.questions))
    yield Text("Try next", style="bold")
    yield from _next(where)


def _matrix(rows: Iterable[Row], *, roles: bool) -> Table:
    table = plain("model", "all", right=("all",))
    for login, who in CAST.items():
        role = f"\n{who}" if roles else ""
        table.add_column(Text.assemble(login, (role, "dim not bold")), justify="right", no_wrap=True)
    for row in rows:
        cells = [_cell(row.seen[login], row.total) for login in CAST]
        table.add_row(row.model, Text(f"{row.total:,}", style="dim"), *cells)
    return table


def _cell(count: int | None, total: int) -> Text:
    if count is None:
        return Text("shut", style="red")
    return Text(f"{count:,}", style="green" if count == total else "yellow" if count else "dim")


def _whys(seen: Tour) -> Table:
    """Who sees them for the same reasons stands in one row."""
    table = plain("who", "because")
    alike: dict[str, tuple[Text, list[str]]] = {}
    for why in seen.whys:
        because = _because(why)
        alike.setdefault(because.plain, (because, []))[1].append(why.login)
    for because, logins in alike.values():
        table.add_row(", ".join(logins), because)
    return table


def _because(why: Why) -> Text:
    if why.needs:
        return Text.assemble(("no access right", "red"), "; it takes ", _quoted(why.needs, " or "))
    if not (why.every or why.some):
        return Text("no rule restricts it")
    text = _quoted(why.every, " and ")
    if why.some:
        text.append(", and " if why.every else "")
        text.append("" if len(why.some) == 1 else "one of ")
        text.append(_quoted(why.some, ", "))
    return text


def _quoted(names: Iterable[str], joint: str) -> Text:
    return Text(joint).join(Text.assemble("“", (name, "italic"), "”") for name in names)


def _questions(asked: Iterable[Question]) -> Iterator[RenderableType]:
    for question in asked:
        answer = question.answer
        yield Group(
            Text(f"$ {question.command}", style="cyan"),
            verdict(
                answer.allowed,
                question.login,
                question.operation,
                question.model,
                question.record,
                question.field,
            ),
            Padding(reasons(answer.reasons()), (0, 0, 1, 0), expand=False),
        )


def _next(where: Where) -> Iterator[RenderableType]:
    if where.serving and not where.running:
        yield Text("  Look around in the console, below. PostgreSQL is stopped with it.")
        yield Text("  An Odoo of your own: docs/tutorial/first-steps.md")
        return
    if not where.running:
        yield Text("  PostgreSQL has been stopped again. To ask questions of your own, leave it running:")
        yield _command("vallum demo --keep-running")
        yield Text("  An Odoo of your own: docs/tutorial/first-steps.md")
        return
    yield Text("  PostgreSQL is left running; `vallum demo --stop` stops it. Say once where to look:")
    if where.checkout != where.folder:
        yield _command(f"cd {shlex.quote(str(where.checkout))}")
    yield _command(f"export VALLUM_DSN={shlex.quote(where.dsn)}")
    yield _command("export VALLUM_METADATA=examples.trading:Base VALLUM_POLICY=examples/trading/security")
    yield Text("  and ask:")
    for command in (
        "vallum access who-can read hr.employee --field salary",
        "vallum search olaf sale.order --fields name,state,partner_id --limit 5",
        "vallum access snapshot --out before.json.gz",
        "vallum check",
    ):
        yield _command(command)


def _command(text: str) -> Text:
    """A command to be copied: never folded, however long."""
    return Text(f"  $ {text}", style="cyan", no_wrap=True)
