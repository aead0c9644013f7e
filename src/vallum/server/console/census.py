"""What pages ask about all users at once: their closed groups, members of groups, who may change access.

Counted once per opened application, whose policy and users do not change; it goes when that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from vallum.analysis import may_escalate
from vallum.policy import Actor, Directory, Policy, User, actor_of

if TYPE_CHECKING:
    from vallum.enforce import Application

__all__ = ["Census", "census"]


@dataclass(frozen=True)
class Census:
    """All users, by id, and the actors they are with their own company alone."""

    policy: Policy
    directory: Directory

    @cached_property
    def users(self) -> tuple[User, ...]:
        """The users, by id."""
        return tuple(self.directory)

    @cached_property
    def actors(self) -> Mapping[int, Actor]:
        """The actor of each user."""
        policy = self.policy
        closed: dict[frozenset[int], frozenset[int]] = {}
        found = {}
        for user in self.users:
            actor = actor_of(user, policy)
            groups = closed.setdefault(actor.groups, actor.groups)
            found[user.id] = actor if groups is actor.groups else _sharing(actor, groups)
        return found

    @cached_property
    def members(self) -> Mapping[int, tuple[User, ...]]:
        """Active users per group, implied groups included."""
        found: dict[int, list[User]] = {}
        for user in self.users:
            if user.active:
                for group in self.actors[user.id].groups:
                    found.setdefault(group, []).append(user)
        return {group: tuple(users) for group, users in found.items()}

    @cached_property
    def escalating(self) -> frozenset[int]:
        """Users who may change who sees what; superusers apart."""
        policy = self.policy
        judged: dict[frozenset[int], bool] = {}
        found = set()
        for user_id, actor in self.actors.items():
            if actor.superuser:
                continue
            if actor.groups not in judged:
                judged[actor.groups] = bool(may_escalate(policy, actor))
            if judged[actor.groups]:
                found.add(user_id)
        return frozenset(found)


def _sharing(actor: Actor, groups: frozenset[int]) -> Actor:
    """The actor with a set of groups that others have as well: it is kept once."""
    from dataclasses import replace

    return replace(actor, groups=groups)


# A census must not hold its application, or neither would ever go.
_KEPT: Final[WeakKeyDictionary[Application, Census]] = WeakKeyDictionary()
_LOCK: Final = Lock()


def census(application: Application) -> Census:
    """The census of an application, made at the first question."""
    with _LOCK:
        found = _KEPT.get(application)
        if found is None:
            found = _KEPT[application] = Census(application.policy, application.directory)
        return found
