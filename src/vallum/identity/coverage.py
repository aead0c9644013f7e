"""How far second factors reach: who has which, by group, and who has none where one is needed.

One statement over all accounts, however many groups are asked about. A shut account counts nowhere, nor
does a service: it has keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vallum.identity.search import FACTOR, Among
from vallum.identity.store import Store

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many people of a group (None: of all) have a passkey, an app alone, or neither.

    `grace`: of those with neither, how many may still put it off; `next_deadline`: when the first of them
    may no longer.
    """

    group: str | None
    people: int
    passkey: int
    app: int
    grace: int
    next_deadline: datetime | None

    @property
    def none(self) -> int:
        """How many have no second factor."""
        return self.people - self.passkey - self.app

    @property
    def covered(self) -> int:
        """How many of a hundred have one; a hundred only where all have."""
        return 100 * (self.passkey + self.app) // self.people if self.people else 100

    def as_dict(self) -> dict[str, Any]:
        """The numbers for a program."""
        return {
            "group": self.group,
            "people": self.people,
            "passkey": self.passkey,
            "app": self.app,
            "none": self.none,
            "grace": self.grace,
            "next_deadline": self.next_deadline.isoformat() if self.next_deadline else None,
        }


_NUMBERS: Final = """count(*), count(*) FILTER (WHERE passkey), count(*) FILTER (WHERE app),
        count(*) FILTER (WHERE deadline IS NOT NULL AND NOT passkey AND NOT app),
        min(deadline) FILTER (WHERE NOT passkey AND NOT app)"""
_STATEMENT: Final = f"""
    WITH who AS MATERIALIZED (
        SELECT a.id, a.user_id, {FACTOR["passkey"]} AS passkey, {FACTOR["app"]} AS app,
            CASE WHEN a.factor_deadline > %(now)s THEN a.factor_deadline END AS deadline
        FROM vallum.account a WHERE a.active AND a.kind = 'person'),
    member AS (
        SELECT u.name, who.id FROM unnest(%(user_groups)s::text[], %(users)s::int[]) AS u (name, user_id)
            JOIN who ON who.user_id = u.user_id
        UNION
        SELECT g.name, m.account_id FROM unnest(%(groups)s::text[], %(given)s::text[]) AS g (name, given)
            JOIN vallum.membership m ON m.group_name = g.given AND (m.expires IS NULL OR m.expires > %(now)s))
    SELECT NULL::text, {_NUMBERS} FROM who HAVING count(*) > 0
    UNION ALL
    SELECT member.name, {_NUMBERS} FROM member JOIN who ON who.id = member.id GROUP BY member.name
"""


def coverage(store: Store, groups: Mapping[str, Among], now: datetime) -> list[Coverage]:
    """The numbers for everybody first, then for each of the groups, the least covered first."""
    users = [(name, user) for name, among in groups.items() for user in among.users]
    given = [(name, one) for name, among in groups.items() for one in among.given]
    rows = store.rows(
        _STATEMENT,
        {
            "now": now,
            "user_groups": _column(users, 0),
            "users": _column(users, 1),
            "groups": _column(given, 0),
            "given": _column(given, 1),
        },
    )
    found = [
        Coverage(group=name, people=people, passkey=passkey, app=app, grace=grace, next_deadline=deadline)
        for name, people, passkey, app, grace, deadline in rows
    ]
    return sorted(found, key=lambda one: (one.group is not None, one.covered, one.group or ""))


def _column(pairs: Iterable[tuple[Any, ...]], number: int) -> list[Any]:
    return [pair[number] for pair in pairs]
