"""The groups of an account: those of its user in the application, and those Vallum gives.

Whoever opens an application hands its `Application` over; without one, only Vallum's own groups count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final, Protocol

from vallum.identity.accounts import Account
from vallum.identity.memberships import Memberships
from vallum.kernel import UnknownUser
from vallum.policy import Directory, Policy

__all__ = ["PRESETS", "NoApplication", "OfApplication", "People", "Source", "matches"]

# Names for those whose accounts matter most, in Odoo and in an application with Odoo's names (any module).
PRESETS: Final = {
    "administrators": ("base.group_system", "base.group_erp_manager"),
    "finance": ("*.group_account_*",),
    "hr": ("*.group_hr_*",),
}
KEY_HOLDERS: Final = "key-holders"


class Source(Protocol):
    """Knows the users of an application and what groups imply."""

    def groups(self, user_id: int | None, given: frozenset[str]) -> frozenset[str]:
        """The xml ids of a user's groups and of those given, with all they imply."""
        ...

    def user_of(self, login: str) -> int | None:
        """The active user with that login, if there is one."""
        ...

    def login_of(self, user_id: int) -> str | None:
        """The login of a user, if there is one."""
        ...


class NoApplication:
    """There is no application: groups are what Vallum gives, and imply nothing."""

    def groups(self, user_id: int | None, given: frozenset[str]) -> frozenset[str]:
        """Those given."""
        return given

    def user_of(self, login: str) -> int | None:
        """Nobody."""
        return None

    def login_of(self, user_id: int) -> str | None:
        """Nobody's."""
        return None


class OfApplication:
    """The users and the policy of an application, asked for anew each time: they may have changed."""

    def __init__(self, policy: Callable[[], Policy], directory: Callable[[], Directory]) -> None:
        self._policy = policy
        self._directory = directory

    def groups(self, user_id: int | None, given: frozenset[str]) -> frozenset[str]:
        """The user's groups and those given, closed. An unknown or archived user has none of its own."""
        policy = self._policy()
        user = self._directory().get(user_id) if user_id is not None else None
        own = user.groups if user is not None and user.active else frozenset()
        ids = policy.group_ids
        closed = policy.close(own | {ids[name] for name in given if name in ids})
        return frozenset(
            name for group in closed if group in policy.groups and (name := policy.groups[group].xml_id)
        )

    def user_of(self, login: str) -> int | None:
        """The active user with that login, if there is one."""
        try:
            user = self._directory().find(login)
        except UnknownUser:
            return None
        return user.id if user.active else None

    def login_of(self, user_id: int) -> str | None:
        """The login of a user, if there is one."""
        user = self._directory().get(user_id)
        return user.login if user is not None else None


class People:
    """What is asked about an account's groups."""

    def __init__(self, memberships: Memberships, source: Source) -> None:
        self._memberships = memberships
        self._source = source

    def groups(self, account: Account, now: datetime) -> frozenset[str]:
        """The xml ids of all groups of an account, closed."""
        given = frozenset(membership.group for membership in self._memberships.of(account.id, now))
        return self._source.groups(account.user_id, given)

    def is_in(self, account: Account, patterns: Iterable[str], now: datetime) -> bool:
        """Whether an active account is in one of these groups."""
        return account.active and matches(self.groups(account, now), patterns)


def matches(groups: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether one of the groups is meant: by its xml id, a pattern, or the name of a preset.

    >>> matches({"account.group_account_invoice"}, ["finance"])
    True
    """
    wanted = [name for pattern in patterns for name in PRESETS.get(pattern, (pattern,))]
    return any(fnmatchcase(group, pattern) for group in groups for pattern in wanted)
