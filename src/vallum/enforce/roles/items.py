"""The parts of a plan: what is made, and how it is undone.

Pure. Items are in the order they are made; each is known by kind and name, and by a digest
of what it says, so that a plan can be compared with what was applied before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from vallum.enforce.roles.found import MADE_BY
from vallum.enforce.roles.names import RoleNames, literal, quoted

__all__ = ["Item", "Locked", "Plan", "role_item", "undo_role"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to make: the statements that do, and those that undo it."""

    kind: str
    name: str
    make: str
    undo: str

    @property
    def digest(self) -> str:
        """What tells whether the item has changed."""
        return hashlib.sha256(self.make.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Locked:
    """A model, or a relation table, that no role may read or write, and why."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All items, what is locked, what may be read only, and what of others touches them."""

    names: RoleNames
    items: tuple[Item, ...]
    locked: tuple[Locked, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    read_only: tuple[Locked, ...] = field(default=())
    writable: bool = False
    schema: str = "public"


def role_item(name: str, kind: str = "role", more: str = "") -> Item:
    """A role without login."""
    role = quoted(name)
    make = f"CREATE ROLE {role} NOLOGIN INHERIT; COMMENT ON ROLE {role} IS {literal(MADE_BY)}{more}"
    return Item(kind, name, make, undo_role(name))


def undo_role(name: str) -> str:
    """Only a member of a role may drop what it was granted, so whoever drops it joins it first.

    Nothing where somebody has dropped the role.
    """
    role = quoted(name)
    drop = f"GRANT {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role};"
    body = f"BEGIN IF to_regrole({literal(role)}) IS NOT NULL THEN {drop} END IF; END"
    return f"DO {literal(body)}"
