"""What `vallum roles` says to people and to programs. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType
from rich.text import Text

from vallum.cli.tables import plain, titled
from vallum.kernel.shown import few

if TYPE_CHECKING:
    from vallum.enforce.roles.advise import Advice
    from vallum.enforce.roles.apply import Changes
    from vallum.enforce.roles.catalogue import Drift
    from vallum.enforce.roles.plan import Locked
    from vallum.enforce.roles.status import Status
    from vallum.facade import Vallum
    from vallum.facade.roles import Applied, Proposal

__all__ = [
    "advice",
    "applied",
    "applied_data",
    "dropped",
    "proposal",
    "proposal_data",
    "statements",
    "status",
    "warnings",
    "whole",
]

_YES: Final = ("✔ ", "green")
_NO: Final = ("✘ ", "bold red")
_MOST: Final = 40
_WORDS: Final = {
    "missing": "is gone",
    "changed": "was changed",
    "added": "was added",
    "foreign": "is not Vallum's, and counts",
}
_MANY: Final = {
    "policy": "policies",
    "trigger": "stamps of who has written",
    "row security": "tables with row security",
    "values": "values of users",
}


# Plans


def warnings(vallum: Vallum, found: Proposal) -> list[str]:
    """What whoever applies should know."""
    said = [f"{gap.fact}: {gap.consequence}" for gap in vallum.gaps]
    inexact = sorted(vallum.inexact())
    if inexact:
        said.append(
            f"code of their modules decides as well for {few(inexact)}: rights and rules alone hold here"
        )
    said.extend(found.plan.warnings)
    said.extend(
        f"{d.kind} {d.name} is not Vallum's, and counts" for d in found.drift if d.change == "foreign"
    )
    return said


def proposal(found: Proposal, said: Sequence[str]) -> Iterable[RenderableType]:
    """What would change, by kind; what would stay locked; what to know."""
    if found.is_empty:
        yield Text.assemble(_YES, "nothing to do: PostgreSQL holds this policy")
    else:
        yield from _counts(found.changes)
    if found.repairs:
        yield titled(
            "Changed by hand since the last apply, and so everything is made anew", _drift(found.drift)
        )
    yield from _locked(found.plan.locked)
    yield from _read_only(found.plan.read_only)
    if said:
        yield titled("To know", *(Text(f"· {line}") for line in said))


def statements(found: Proposal) -> Iterator[str]:
    """The exact SQL, a statement ending in a semicolon each."""
    if found.repairs:
        yield "-- What is there was changed by hand: `vallum roles apply` first drops all of it."
    yield "BEGIN;"
    for statement in found.changes.statements():
        yield statement.strip().rstrip(";") + ";"
    yield "COMMIT;"


def proposal_data(found: Proposal, said: Sequence[str]) -> dict[str, Any]:
    """The same for programs, statements included."""
    return {
        "empty": found.is_empty,
        "changes": _changes_data(found.changes),
        "drift": [d.as_dict() for d in found.drift],
        "writable": found.plan.writable,
        "locked": _locked_data(found.plan.locked),
        "read_only": _locked_data(found.plan.read_only),
        "warnings": list(said),
        "statements": found.changes.statements(),
    }


def applied(done: Applied) -> Iterable[RenderableType]:
    """What was done."""
    if done.repaired:
        yield Text.assemble(_YES, f"made anew, for {_things(done.repaired)} had been changed by hand")
    if done.changes.is_empty:
        yield Text.assemble(_YES, "nothing to do: PostgreSQL holds this policy")
    else:
        yield from _counts(done.changes)
        yield Text.assemble(_YES, "applied")
    if done.left:
        yield titled("Not Vallum's, so left as it is; it counts nevertheless", _drift(done.left))
    yield from _locked(done.plan.locked)
    yield from _read_only(done.plan.read_only)


def applied_data(done: Applied) -> dict[str, Any]:
    """The same for programs."""
    return {
        "changes": _changes_data(done.changes),
        "repaired": [d.as_dict() for d in done.repaired],
        "left": [d.as_dict() for d in done.left],
        "writable": done.plan.writable,
        "locked": _locked_data(done.plan.locked),
        "read_only": _locked_data(done.plan.read_only),
    }


def dropped(count: int) -> Iterable[RenderableType]:
    """What was undone."""
    yield Text.assemble(_YES, f"dropped: {count:,} things undone" if count else "nothing was applied")


def _changes_data(todo: Changes) -> dict[str, dict[str, int]]:
    from vallum.enforce.roles.status import by_kind

    return {c.kind: {"new": c.new, "changed": c.changed, "gone": c.gone} for c in by_kind(todo)}


def _counts(todo: Changes) -> Iterable[RenderableType]:
    from vallum.enforce.roles.status import by_kind

    table = plain("", "new", "changed", "gone", right=("new", "changed", "gone"))
    for count in by_kind(todo):
        numbers = (f"{n:,}" if n else "–" for n in (count.new, count.changed, count.gone))
        table.add_row(_MANY.get(count.kind, f"{count.kind.removesuffix('s')}s"), *numbers)
    yield table


def _locked(
    locked: Sequence[Locked], title: str = "Locked: no role of Vallum's may read these"
) -> Iterable[RenderableType]:
    if locked:
        because: dict[str, list[str]] = {}
        for at in locked:
            because.setdefault(at.reason, []).append(at.model)
        table = plain("because", "models and tables")
        for reason, models in because.items():
            table.add_row(Text(reason), Text(few(models)))
        yield titled(title, table)


def _read_only(found: Sequence[Locked]) -> Iterable[RenderableType]:
    return _locked(found, "Read only: no role of Vallum's may do this to them")


def _locked_data(locked: Sequence[Locked]) -> list[dict[str, str]]:
    return [{"model": at.model, "reason": at.reason} for at in locked]


# Status


def status(found: Status) -> Iterable[RenderableType]:
    """How the policy in the database stands."""
    if not found.applied:
        yield Text.assemble(_NO, "nothing applied: no role of Vallum's is in this database")
        return
    if found.is_clean:
        may = "who may write" if found.writable else "who may only read"
        yield Text.assemble(_YES, f"PostgreSQL holds today's policy, for {found.users:,} users, {may}")
    if found.drift:
        yield Text.assemble(_NO, f"{_things(found.drift)} not as Vallum left it")
        yield _drift(found.drift)
    if found.pending is not None and not found.pending.is_empty:
        yield Text.assemble(_NO, "not today's policy: `vallum roles apply` would change this")
        yield from _counts(found.pending)
    for what, names in (
        ("users without a role", found.without_role),
        ("roles without a user", found.without_user),
    ):
        if names:
            yield Text.assemble(_NO, f"{what}: {few(names)}")
    if found.passing:
        yield Text(f"· groups given for a time do not count here: {few(found.passing)}")
    if found.logins:
        yield titled("May sign in", _logins(found))
    yield from _locked(found.locked)
    yield from _read_only(found.read_only)


def _logins(found: Status) -> RenderableType:
    table = plain("user", "role", "until")
    for at in found.logins:
        until = "no end" if at.valid_until is None else at.valid_until.date().isoformat()
        table.add_row(Text(at.login or "–"), at.role, until)
    return table


def _drift(found: Sequence[Drift]) -> RenderableType:
    table = plain("kind", "name", "what")
    for d in found[:_MOST]:
        table.add_row(d.kind, Text(d.name), Text(_WORDS[d.change] + _difference(d)))
    if len(found) > _MOST:
        table.add_row("", Text(f"{len(found) - _MOST:,} more with --json"), "")
    return table


def _things(found: Sequence[Drift]) -> str:
    return "1 thing" if len(found) == 1 else f"{len(found):,} things"


def _difference(d: Drift) -> str:
    """What came and went, where a definition is a list."""
    if d.kind not in ("grant", "membership", "role", "schema") or d.was is None or d.found is None:
        return ""
    was, now = set(d.was.split(", ")), set(d.found.split(", "))
    signs = [*(f"+{item}" for item in sorted(now - was)), *(f"-{item}" for item in sorted(was - now))]
    return ": " + ", ".join(signs[:6]) + (", …" if len(signs) > 6 else "")


def whole(line: str) -> Text:
    """A line to be copied: never folded."""
    return Text(line, no_wrap=True, overflow="ignore")


# Advice


def advice(found: Advice, rows: int) -> Iterable[RenderableType]:
    """Indexes to make, and indexes lost."""
    if not found.wanted:
        yield Text.assemble(_YES, f"no rule lacks an index on a table of {rows:,} rows or more")
    else:
        timed = any(at.before is not None for at in found.wanted)
        numbers = ["before ms", "after ms"] if timed else []
        table = plain("table", "column", "rows", *numbers, "for", right=("rows", *numbers))
        for at in found.wanted:
            times = [f"{t:,.1f}" if t is not None else "–" for t in (at.before, at.after)] if timed else []
            table.add_row(at.table, at.column, f"{at.rows:,}", *times, Text(few(at.rules)))
        yield titled("Indexes that rules want", table)
        worth = [at for at in found.wanted if at.is_worth_it]
        if worth:
            yield titled("To make them", *(whole(f"{at.statement};") for at in worth))
        if timed and len(worth) < len(found.wanted):
            yield Text("Without a statement: measured, and no gain worth an index.", style="dim")
    if found.lost:
        table = plain("table", "index", "on", "unused operators", "ask by one of these as well")
        for lost in found.lost:
            on = Text(f"{lost.column} ({lost.type})")
            instead = Text(few(lost.instead) or "none is indexed")
            table.add_row(lost.table, Text(lost.index), on, Text(lost.operators), instead)
        yield titled(
            "Not used for users: PostgreSQL keeps these operators from rows a policy has not let pass", table
        )
