"""How a user came to a group: the group given to them, then what implies what.

Pure. Up to Odoo 18 the database stores implied groups like given ones; there the groups
that no other group of the user implies count as given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vallum.kernel import UnknownUser
from vallum.policy import AccessRight, Actor, Directory, Group, Policy, User

__all__ = ["Grant", "GroupPath", "Membership", "memberships"]


@dataclass(frozen=True, slots=True)
class GroupPath:
    """A chain of groups: the first one was given, each implies the next, the last is meant."""

    groups: tuple[Group, ...]

    @property
    def group(self) -> Group:
        """The group at the end."""
        return self.groups[-1]

    @property
    def direct(self) -> bool:
        """Whether the group itself was given."""
        return len(self.groups) == 1

    def __str__(self) -> str:
        return " → ".join(g.label for g in self.groups)

    def as_dict(self) -> list[dict[str, Any]]:
        """The groups of the chain, ready for JSON."""
        return [{"id": g.id, "xml_id": g.xml_id, "name": g.name} for g in self.groups]


@dataclass(frozen=True, slots=True)
class Grant:
    """An access right an actor has, and how: `path` None where the right is for everyone."""

    right: AccessRight
    path: GroupPath | None

    def __str__(self) -> str:
        name = self.right.xml_id or self.right.name or f"access right {self.right.id}"
        return f"`{name}` ({self.path or 'for everyone'})"

    def as_dict(self) -> dict[str, Any]:
        """The grant, ready for JSON."""
        right = self.right
        return {
            "right": {"id": right.id, "xml_id": right.xml_id, "name": right.name},
            "path": self.path.as_dict() if self.path else None,
        }


class Membership:
    """The groups of one user, or of all users with the same given groups."""

    def __init__(self, policy: Policy, given: frozenset[int], groups: frozenset[int]) -> None:
        self.groups = groups
        self._policy = policy
        self._before = _shortest(policy, given & policy.groups.keys())

    def path(self, group: int) -> GroupPath | None:
        """The shortest path to a group; None for a group the user does not have."""
        if group not in self.groups or group not in self._policy.groups:
            return None
        chain = [group]
        while (before := self._before.get(chain[0])) is not None:
            chain.insert(0, before)
        return GroupPath(tuple(self._policy.groups[g] for g in chain))

    def first(self, groups: Iterable[int]) -> GroupPath | None:
        """The shortest path to any of these groups."""
        found = [p for g in groups if (p := self.path(g)) is not None]
        return min(found, key=lambda p: (len(p.groups), p.group.label, p.group.id), default=None)

    def grants(self, rights: Iterable[AccessRight]) -> tuple[Grant, ...]:
        """Rights the user has, each with its path."""
        return tuple(Grant(r, None if r.group is None else self.path(r.group)) for r in rights)


def memberships(policy: Policy, directory: Directory, actor: Actor) -> tuple[frozenset[int], frozenset[int]]:
    """The given and all groups of an actor: what a `Membership` is made of.

    An actor whose groups are not those of the directory is taken by its own groups.
    """
    user = _find(directory, actor)
    if user is not None and not user.groups_closed and policy.close(user.groups) == actor.groups:
        return user.groups, actor.groups
    implied: set[int] = set()
    for group in actor.groups & policy.groups.keys():
        implied |= policy.closure[group] - {group}
    return actor.groups - implied, actor.groups


def _find(directory: Directory, actor: Actor) -> User | None:
    try:
        return directory.find(actor.user_id)
    except UnknownUser:
        return None


def _shortest(policy: Policy, given: frozenset[int]) -> dict[int, int | None]:
    """For each group that can be reached, the one before it on a shortest path."""

    def order(groups: Iterable[int]) -> list[int]:
        return sorted(groups, key=lambda g: (policy.groups[g].label, g))

    before: dict[int, int | None] = dict.fromkeys(order(given))
    todo = deque(before)
    while todo:
        current = todo.popleft()
        for following in order(policy.groups[current].implied):
            if following not in before:
                before[following] = current
                todo.append(following)
    return before
