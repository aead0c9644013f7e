"""What can differ between two snapshots.

Pure. Every change has two sides: what gives more access, and what takes it away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from vallum.analysis.verdict import Finding
from vallum.kernel import Operation

__all__ = [
    "AccessChange",
    "FieldChange",
    "MenuChange",
    "RecordChange",
    "SnapshotDiff",
    "UserChange",
    "kept",
]


@dataclass(frozen=True, slots=True)
class UserChange:
    """A user whose groups, companies or activity changed. `activated`: None where it did not change."""

    login: str
    groups_gained: tuple[int, ...] = ()
    groups_lost: tuple[int, ...] = ()
    companies_gained: tuple[int, ...] = ()
    companies_lost: tuple[int, ...] = ()
    activated: bool | None = None

    def side(self, *, wider: bool) -> UserChange | None:
        """What of it gives more, or takes away; None where nothing does."""
        found = UserChange(
            self.login,
            self.groups_gained if wider else (),
            () if wider else self.groups_lost,
            self.companies_gained if wider else (),
            () if wider else self.companies_lost,
            self.activated if self.activated is wider else None,
        )
        return None if found == UserChange(self.login) else found


@dataclass(frozen=True, slots=True)
class AccessChange:
    """Operations on a model, as letters of `rwcu`, that access rights give or no longer give."""

    login: str
    model: str
    gained: str = ""
    lost: str = ""

    def side(self, *, wider: bool) -> AccessChange | None:
        """What of it gives more, or takes away."""
        if not (self.gained if wider else self.lost):
            return None
        return replace(self, lost="") if wider else replace(self, gained="")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """Fields that field groups opened to a user, or shut."""

    login: str
    model: str
    opened: tuple[str, ...] = ()
    shut: tuple[str, ...] = ()

    def side(self, *, wider: bool) -> FieldChange | None:
        """What of it gives more, or takes away."""
        if not (self.opened if wider else self.shut):
            return None
        return replace(self, shut=()) if wider else replace(self, opened=())


@dataclass(frozen=True, slots=True)
class MenuChange:
    """Menu entries that a user sees now, or no longer sees."""

    login: str
    appeared: tuple[int, ...] = ()
    disappeared: tuple[int, ...] = ()

    def side(self, *, wider: bool) -> MenuChange | None:
        """What of it gives more, or takes away."""
        if not (self.appeared if wider else self.disappeared):
            return None
        return replace(self, disappeared=()) if wider else replace(self, appeared=())


@dataclass(frozen=True, slots=True)
class RecordChange:
    """Records a user may touch now, or no longer may. The ids are the first few of them."""

    login: str
    companies: tuple[int, ...]
    model: str
    operation: Operation
    gained: int = 0
    lost: int = 0
    gained_ids: tuple[int, ...] = ()
    lost_ids: tuple[int, ...] = ()

    def side(self, *, wider: bool) -> RecordChange | None:
        """What of it gives more, or takes away."""
        if not (self.gained if wider else self.lost):
            return None
        if wider:
            return replace(self, lost=0, lost_ids=())
        return replace(self, gained=0, gained_ids=())


@dataclass(frozen=True, slots=True)
class SnapshotDiff(Finding):
    """What differs between two snapshots."""

    users_added: tuple[str, ...] = ()
    users_removed: tuple[str, ...] = ()
    users: tuple[UserChange, ...] = ()
    access: tuple[AccessChange, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    menus: tuple[MenuChange, ...] = ()
    records: tuple[RecordChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not any(getattr(self, name) for name in self.__slots__)

    @property
    def widened(self) -> SnapshotDiff:
        """What gives more access."""
        return self._side(wider=True)

    @property
    def narrowed(self) -> SnapshotDiff:
        """What takes access away."""
        return self._side(wider=False)

    def _side(self, *, wider: bool) -> SnapshotDiff:
        return SnapshotDiff(
            self.users_added if wider else (),
            () if wider else self.users_removed,
            kept(c.side(wider=wider) for c in self.users),
            kept(c.side(wider=wider) for c in self.access),
            kept(c.side(wider=wider) for c in self.fields),
            kept(c.side(wider=wider) for c in self.menus),
            kept(c.side(wider=wider) for c in self.records),
        )

    def as_dict(self) -> dict[str, Any]:
        """The differences, ready for JSON."""
        return {
            name: [c if isinstance(c, str) else _plain(c) for c in getattr(self, name)]
            for name in self.__slots__
        }


T = TypeVar("T")


def kept(changes: Iterable[T | None]) -> tuple[T, ...]:
    """The changes that are any."""
    return tuple(c for c in changes if c is not None)


def _plain(change: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in change.__slots__:
        value = getattr(change, name)
        found[name] = list(value) if isinstance(value, tuple) else value
    return found
