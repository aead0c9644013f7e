"""What differs between two snapshots, as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rich.console import RenderableType
from rich.text import Text

from vallum.cli.tables import plain
from vallum.kernel import Operation

if TYPE_CHECKING:
    from vallum.analysis import RecordChange, SnapshotDiff, UserChange

__all__ = ["difference"]

# User, what it is about, what was gained, what was lost.
Line: TypeAlias = tuple[str, str, str, str]

_MOST_LINES: Final = 200
_MOST_NAMES: Final = 12


def difference(found: SnapshotDiff) -> Iterable[RenderableType]:
    """Who gained and lost what, a line each; a very long list is cut."""
    if found.is_empty:
        yield Text.assemble(("✔", "green"), " the same access for everyone")
        return
    lines = list(_lines(found))
    table = plain("user", "what", "gained", "lost")
    for login, what, gained, lost in lines[:_MOST_LINES]:
        table.add_row(Text(login), Text(what), Text(gained, style="green"), Text(lost, style="red"))
    yield table
    more = f"; {len(lines) - _MOST_LINES:,} more with --json" if len(lines) > _MOST_LINES else ""
    yield Text.assemble((f"{len(lines):,}", "bold"), f" difference{'s' * (len(lines) != 1)}{more}")


def _lines(found: SnapshotDiff) -> Iterator[Line]:
    yield from ((login, "user", "new", "") for login in found.users_added)
    yield from ((login, "user", "", "gone") for login in found.users_removed)
    for user in found.users:
        yield from _user(user)
    for access in found.access:
        yield access.login, access.model, _operations(access.gained), _operations(access.lost)
    for field in found.fields:
        yield field.login, f"{field.model}: fields", _names(field.opened), _names(field.shut)
    for menu in found.menus:
        yield menu.login, "menus", _names(menu.appeared), _names(menu.disappeared)
    for record in found.records:
        yield _records(record)


def _user(change: UserChange) -> Iterator[Line]:
    if change.activated is not None:
        yield change.login, "user", "activated" * change.activated, "deactivated" * (not change.activated)
    if change.groups_gained or change.groups_lost:
        yield change.login, "groups", _names(change.groups_gained), _names(change.groups_lost)
    if change.companies_gained or change.companies_lost:
        yield change.login, "companies", _names(change.companies_gained), _names(change.companies_lost)


def _records(change: RecordChange) -> Line:
    companies = ", ".join(map(str, change.companies))
    what = f"{change.model}: {change.operation}, companies {companies}"
    return change.login, what, _ids(change.gained, change.gained_ids), _ids(change.lost, change.lost_ids)


def _ids(count: int, ids: Sequence[int]) -> str:
    return f"{count:,} records: {_names(ids, count)}" if count else ""


def _names(items: Sequence[Any], count: int | None = None) -> str:
    shown = ", ".join(map(str, items[:_MOST_NAMES]))
    return shown + (", …" if (count or len(items)) > _MOST_NAMES else "")


def _operations(letters: str) -> str:
    return ", ".join(operation.value for operation in Operation if operation.letter in letters)
