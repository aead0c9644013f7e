"""Answers as people read them: rich tables and lines. Knows no command and opens nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vallum.kernel.shown import few

if TYPE_CHECKING:
    from vallum.analysis import Explanation, Holder, Snapshot
    from vallum.facade import Check
    from vallum.policy import Policy
    from vallum.schema import Gap, Schema

__all__ = [
    "checked",
    "explanation",
    "holders",
    "plain",
    "reasons",
    "record",
    "records",
    "snapshot",
    "snapshot_size",
    "titled",
    "verdict",
]

_YES: Final = ("✔ allowed", "bold green")
_NO: Final = ("✘ refused", "bold red")


def plain(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table with a line below its head and nothing else; columns in `right` hold numbers."""
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False
    )
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def titled(title: str, *parts: RenderableType) -> Group:
    """A part of a screen: its title and what belongs to it, moved in."""
    return Group(
        Text(""), Text(title, style="bold"), *(Padding(part, (0, 0, 0, 2), expand=False) for part in parts)
    )


def explanation(
    found: Explanation, login: str, operation: str, model: str, record: int | None, field: str | None
) -> Iterable[RenderableType]:
    """A verdict and its reasons."""
    yield verdict(found.allowed, login, operation, model, record, field)
    yield reasons(found.reasons())


def verdict(
    allowed: bool, login: str, operation: str, model: str, record: int | None, field: str | None
) -> Text:
    """The verdict in one line."""
    return Text.assemble(
        _YES if allowed else _NO, f"  {login} · {operation} · {_target(model, record, field)}"
    )


def _target(model: str, record: int | None, field: str | None) -> str:
    what = f"{model}.{field}" if field else model
    return f"{what} {record}" if record is not None else what


def reasons(lines: Iterable[str]) -> Table:
    """Reasons below each other; what is moved in stays so when a line is folded."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        text = line.lstrip()
        table.add_row(" " * (len(line) - len(text)) + "  ·", Text(text))
    return table


def holders(
    found: Sequence[Holder], users: int, operation: str, model: str, record: int | None, field: str | None
) -> Iterable[RenderableType]:
    """Users who may do something, each with the reason."""
    target = _target(model, record, field)
    yield Text.assemble((f"{len(found)} of {users} users", "bold"), f" may {operation} {target}")
    if not found:
        return
    counted = any(holder.count is not None for holder in found)
    table = plain("user", *(["records"] if counted else []), "because", right=("records",))
    for holder in found:
        count = [f"{holder.count:,}"] if holder.count is not None else []
        table.add_row(Text(holder.login), *count, Text("\n".join(holder.reasons())))
    yield table


def records(
    model: str, login: str, fields: Sequence[str], found: Sequence[Mapping[str, Any]], count: int
) -> Iterable[RenderableType]:
    """Records as rows; where not all are shown, how many there are."""
    if found:
        table = plain("id", *fields, right=("id",))
        for values in found:
            table.add_row(str(values["id"]), *(shown(values.get(name)) for name in fields))
        yield table
    shown_too = f", {len(found)} shown" if len(found) != count else ""
    yield Text.assemble((f"{count:,}", "bold"), f" of {model} for {login}{shown_too}")


def record(model: str, values: Mapping[str, Any]) -> RenderableType:
    """One record, a field a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        if name != "id":
            table.add_row(name, shown(value))
    return Group(Text(f"{model} {values['id']}", style="bold"), Padding(table, (0, 0, 1, 2), expand=False))


def shown(value: Any) -> Text:
    """A value of a record; what is empty is dim, what is long is cut."""
    if value is None or value is False or value == [] or value == ():
        return Text("–", style="dim")
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[1], str):
            return Text(value[1])
        text = ", ".join(map(str, value[:8])) + (f", … ({len(value)})" if len(value) > 8 else "")
        return Text(text)
    if isinstance(value, datetime):
        return Text(value.isoformat(" ", "seconds"))
    if isinstance(value, date):
        return Text(value.isoformat())
    text = " ".join(str(value).split())
    return Text(text if len(text) <= 200 else text[:199] + "…")


def checked(
    schema: Schema, policy: Policy, report: Check, gaps: Sequence[Gap], inexact: Mapping[str, tuple[str, ...]]
) -> Iterable[RenderableType]:
    """What a check found."""
    yield Text(
        f"{len(schema.models):,} models (Odoo {schema.version} semantics), {len(policy.groups):,} groups, "
        f"{len(policy.rights):,} access rights, {len(policy.rules):,} record rules"
    )
    mark = ("✔", "green") if not report.broken else ("✘", "bold red")
    broken = f", {len(report.broken)} cannot be read" if report.broken else ""
    yield Text.assemble(
        mark, f" {report.rules:,} rules bound {report.bound:,} times for {report.users:,} users{broken}"
    )
    if report.broken:
        table = plain("rule", "model", "what is wrong", "for")
        for item in report.broken:
            table.add_row(
                Text(item.rule.xml_id or item.rule.name),
                item.rule.model,
                Text(str(item.error)),
                Text(few(item.users, 3) or "everyone"),
            )
        yield titled("Rules that cannot be read: whoever meets one is refused", table)
    if gaps:
        table = plain("not known", "so", "mend it")
        for gap in gaps:
            table.add_row(Text(gap.fact), Text(gap.consequence), Text(gap.fix))
        yield titled("Gaps: what the source could not tell", table)
    if report.unreachable:
        yield titled(
            "Out of reach: records that live in code, not in a table or view",
            Text(", ".join(report.unreachable)),
        )
    if inexact:
        table = plain("model", "where code decides as well")
        for model, why in inexact.items():
            table.add_row(model, Text("\n".join(why)))
        yield titled("Inexact: rights and rules are not the whole truth here", table)
    if not (report.broken or gaps or report.unreachable or inexact):
        yield Text.assemble(("✔", "green"), " nothing is missing, nothing is inexact")


def snapshot_size(taken: Snapshot, path: Path) -> dict[str, Any]:
    """How much a snapshot holds, ready for JSON."""
    return {
        "file": str(path),
        "odoo": taken.odoo,
        "users": len(taken.users),
        "models": len(taken.models),
        "scopes": sum(len(item.rules) for item in taken.visible),
        "errors": [
            {"user": e.user, "model": e.model, "operation": e.operation, "code": e.code, "error": e.error}
            for e in taken.errors
        ],
    }


def snapshot(taken: Snapshot, path: Path) -> Iterable[RenderableType]:
    """What a snapshot holds, and which scopes could not be evaluated."""
    size = snapshot_size(taken, path)
    yield Text.assemble(
        ("✔ ", "green"),
        f"{path}: {size['users']:,} users, {size['models']:,} models, "
        f"{size['scopes']:,} restricted views of them",
        no_wrap=True,
    )
    if taken.errors:
        logins = {user.id: user.login for user in taken.users}
        table = plain("user", "model", "operation", "error")
        for error in taken.errors:
            login = logins.get(error.user, str(error.user))
            table.add_row(login, error.model, error.operation, Text(error.error))
        yield titled("Could not be evaluated, and so count as nothing", table)
