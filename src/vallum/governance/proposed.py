"""A proposed change and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vallum.policy.change import Change

__all__ = ["STATES", "Person", "Proposed"]

STATES: Final = ("waiting", "approved", "refused", "withdrawn", "retired")


@dataclass(frozen=True, slots=True)
class Person:
    """Who proposes or decides. `user`: 0 where the account is no user of the application's."""

    user: int
    login: str

    def is_same(self, other: Person) -> bool:
        """Whether both are the same person, as far as can be told."""
        return self.login.casefold() == other.login.casefold() or (self.user != 0 and self.user == other.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A change, why and by whom it was proposed, and who decided what."""

    id: int
    change: Change
    reason: str
    state: str
    author: Person
    asked: datetime
    decider: Person | None = None
    decided: datetime | None = None
    comment: str = ""

    @property
    def title(self) -> str:
        """What people call the item."""
        item = self.change.after or self.change.before or {}
        return str(item.get("name") or self.change.xml_id)

    @property
    def model(self) -> str:
        """The model it is on; empty for a group."""
        return str((self.change.after or self.change.before or {}).get("model", ""))

    def differences(self) -> Iterator[tuple[str, str, str]]:
        """Part by part: its name, as it was, as it shall be; equal parts are left out."""
        before, after = self.change.before or {}, self.change.after or {}
        for name in dict.fromkeys((*before, *after)):
            old, new = _said(before.get(name)), _said(after.get(name))
            if old != new:
                yield name, old, new

    def as_dict(self) -> dict[str, Any]:
        """The change for a program."""
        return {
            "id": self.id,
            "kind": self.change.kind,
            "xml_id": self.change.xml_id,
            "before": _plain(self.change.before),
            "after": _plain(self.change.after),
            "reason": self.reason,
            "state": self.state,
            "author": self.author.login,
            "asked": self.asked.isoformat(),
            "decided_by": self.decider.login if self.decider else None,
            "decided": self.decided.isoformat() if self.decided else None,
            "comment": self.comment,
        }


def _plain(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if item is None else dict(item)


def _said(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, list) else str(value)
