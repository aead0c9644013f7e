"""A user who may do something, and why.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vallum.analysis.paths import Grant, GroupPath
from vallum.analysis.verdict import Finding
from vallum.policy import RecordRule, User

__all__ = ["Holder", "RulePass"]


@dataclass(frozen=True, slots=True)
class RulePass:
    """A record rule that lets a record through. `path`: how it applies, None for a global rule."""

    rule: RecordRule
    path: GroupPath | None

    def __str__(self) -> str:
        name = self.rule.xml_id or self.rule.name or f"record rule {self.rule.id}"
        return f"`{name}` ({self.path or 'global'})"

    def as_dict(self) -> dict[str, Any]:
        """The rule, ready for JSON."""
        return {
            "rule": {"id": self.rule.id, "xml_id": self.rule.xml_id, "name": self.rule.name},
            "path": self.path.as_dict() if self.path else None,
        }


@dataclass(frozen=True, slots=True)
class Holder(Finding):
    """A user who may, and why.

    `rules`: for a record those that let it through. `field_group`: what opens the field.
    `count`: how many records of the model, where that was asked for.
    """

    user: User
    companies: tuple[int, ...]
    grants: tuple[Grant, ...]
    rules: tuple[RulePass, ...] = ()
    field_group: GroupPath | None = None
    superuser: bool = False
    count: int | None = None

    @property
    def login(self) -> str:
        """The user's login."""
        return self.user.login

    def reasons(self) -> list[str]:
        """Why, in sentences."""
        if self.superuser:
            return ["superuser: access rights and record rules do not bind"]
        found = [f"access right {g}" for g in self.grants]
        if self.field_group is not None:
            found.append(f"the field is open by {self.field_group}")
        return [*found, *(f"record rule {r}" for r in self.rules)]

    def as_dict(self) -> dict[str, Any]:
        """The holder, ready for JSON."""
        return {
            "user_id": self.user.id,
            "login": self.user.login,
            "name": self.user.name,
            "active": self.user.active,
            "companies": list(self.companies),
            "superuser": self.superuser,
            "grants": [g.as_dict() for g in self.grants],
            "rules": [r.as_dict() for r in self.rules],
            "field_group": self.field_group.as_dict() if self.field_group else None,
            "count": self.count,
            "reasons": self.reasons(),
        }
