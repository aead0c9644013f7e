"""Users of an application, and the actors made of them.

Pure. A user becomes an `Actor` once the active companies are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vallum.kernel import CompanyNotAllowed, UnknownUser
from vallum.policy.model import Actor, Policy

__all__ = ["SUPERUSER_ID", "Directory", "User", "actor_of"]

SUPERUSER_ID = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as stored. `groups_closed`: implied groups are among `groups` already.

    `company_ids` are the active companies, in the companies' own order.
    """

    id: int
    login: str
    name: str = ""
    active: bool = True
    partner_id: int | None = None
    company_id: int | None = None
    company_ids: tuple[int, ...] = ()
    groups: frozenset[int] = frozenset()
    groups_closed: bool = False
    lang: str = "en_US"
    tz: str | None = None


class Directory:
    """The users, by id and by login."""

    __slots__ = ("_by_id", "_by_login")

    def __init__(self, users: Iterable[User]) -> None:
        self._by_id = {u.id: u for u in users}
        self._by_login = {u.login: u for u in self._by_id.values()}

    def __iter__(self) -> Iterator[User]:
        return iter(sorted(self._by_id.values(), key=lambda u: u.id))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, user_id: int) -> User | None:
        """The user with that id, if there is one."""
        return self._by_id.get(user_id)

    def find(self, who: str | int) -> User:
        """The user with that login, or with that id.

        Raises: UnknownUser.
        """
        found = self._by_id.get(who) if isinstance(who, int) else self._by_login.get(who)
        if found is None:
            raise UnknownUser(f"no user {who!r}", fix="give a login, or an id as a number")
        return found


def actor_of(user: User, policy: Policy, companies: Sequence[int] | None = None) -> Actor:
    """The actor a user is, with these active companies (the user's own company by default).

    As in Odoo, the user with id 1 is the superuser: rights and rules do not bind it.

    Raises: CompanyNotAllowed for a company that is not the user's.
    """
    if companies is None:
        active = (user.company_id,) if user.company_id is not None else user.company_ids[:1]
    else:
        active = tuple(dict.fromkeys(companies))
        foreign = [c for c in active if c not in user.company_ids and c != user.company_id]
        if foreign:
            raise CompanyNotAllowed(
                f"{user.login} does not belong to company {', '.join(map(str, foreign))}",
                fix="use of " + ", ".join(map(str, user.company_ids)),
            )
    groups = user.groups if user.groups_closed else policy.close(user.groups)
    return Actor(
        user_id=user.id,
        login=user.login,
        groups=groups,
        companies=active,
        company_ids=user.company_ids,
        company_id=user.company_id,
        lang=user.lang,
        tz=user.tz,
        active=user.active,
        superuser=user.id == SUPERUSER_ID,
    )
