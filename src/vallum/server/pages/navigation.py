"""The rail: what there is to look at, in groups, for each viewer only what is theirs.

Pure. An area of the console adds its entries with its routes, so nothing leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vallum.server.pages.viewer import Viewer

__all__ = ["Entry", "Navigation", "Section"]

Who = Literal["everyone", "oversees", "reviews", "administrator"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the rail. `key`: pressed behind `g`, it goes there."""

    label: str
    path: str
    icon: str
    section: str = ""
    key: str = ""
    who: Who = "everyone"

    def open_to(self, viewer: Viewer) -> bool:
        """Whether the viewer has this page."""
        if self.who == "administrator":
            return viewer.administrator
        if self.who == "reviews":
            return viewer.oversees or viewer.approver
        return self.who == "everyone" or viewer.oversees

    def current(self, path: str) -> bool:
        """Whether a page of that path belongs to this entry."""
        return path == self.path or (self.path != "/" and path.startswith(self.path + "/"))


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the rail with a heading; without one at the top."""

    label: str
    entries: tuple[Entry, ...]


class Navigation:
    """All entries, in the order in which they were given."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)

    def sections(self, viewer: Viewer) -> tuple[Section, ...]:
        """The rail of a viewer."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.open_to(viewer):
                found.setdefault(entry.section, []).append(entry)
        return tuple(Section(label, tuple(entries)) for label, entries in found.items())

    def current(self, path: str) -> Entry | None:
        """The entry a path belongs to: the most particular one."""
        among = [entry for entry in self.entries if entry.current(path)]
        return max(among, key=lambda entry: len(entry.path), default=None)
