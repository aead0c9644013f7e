"""Groups that Vallum itself gives to accounts: by hand, by a directory, or for a limited time.

They are added to the groups of the account's user wherever rights are decided (`overlay`); the
application's own tables are not written. So it is the same for an Odoo database, whose tables are only
read; a group given for an hour ends with the hour even if every process of Vallum is down then; and
dropping Vallum leaves no trace.
Invariant: a membership past its end counts for nothing, whether or not anyone has removed its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from vallum.identity.store import Connection, Store
from vallum.policy import Directory, Policy

__all__ = ["DIRECT", "REQUEST", "GivenGroup", "Membership", "Memberships", "overlay"]

DIRECT: Final = "direct"
REQUEST: Final = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A group of an account. `source`: direct, request, or a directory's name."""

    account_id: int
    group: str
    source: str
    granted: datetime
    granted_by: str
    expires: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The membership for a program."""
        return {
            "account_id": self.account_id,
            "group": self.group,
            "source": self.source,
            "granted": self.granted.isoformat(),
            "granted_by": self.granted_by,
            "expires": self.expires.isoformat() if self.expires else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenGroup:
    """A group that Vallum gives now: to how many, and in which ways. `in_time`: with an end."""

    group: str
    members: int
    direct: int
    mapped: int
    in_time: int
    next_end: datetime | None


_COLUMNS: Final = "m.account_id, m.group_name, m.source, m.granted, m.granted_by, m.expires"
_CURRENT: Final = "(m.expires IS NULL OR m.expires > %(now)s)"
_GIVE: Final = (
    "INSERT INTO vallum.membership (account_id, group_name, source, granted, granted_by, expires)"
    " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (account_id, group_name, source) DO UPDATE SET"
    " granted = excluded.granted, granted_by = excluded.granted_by, expires = excluded.expires"
)


class Memberships:
    """The memberships of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def give(
        self,
        connection: Connection,
        account_id: int,
        group: str,
        now: datetime,
        *,
        by: str,
        source: str = DIRECT,
        expires: datetime | None = None,
    ) -> None:
        """Make an account a member; given again, the new end holds."""
        connection.execute(_GIVE.encode(), (account_id, group, source, now, by, expires))

    def take(self, connection: Connection, account_id: int, group: str, *, source: str = DIRECT) -> bool:
        """Make an account a member no longer, as far as this source has a say."""
        done = connection.execute(
            b"DELETE FROM vallum.membership WHERE account_id = %s AND group_name = %s AND source = %s",
            (account_id, group, source),
        )
        return done.rowcount == 1

    def set(
        self, connection: Connection, account_id: int, groups: Iterable[str], now: datetime, *, source: str
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Exactly these groups are the source's; which were added and which removed."""
        wanted = frozenset(groups)
        rows = connection.execute(
            b"SELECT group_name FROM vallum.membership WHERE account_id = %s AND source = %s FOR UPDATE",
            (account_id, source),
        ).fetchall()
        had = frozenset(name for (name,) in rows)
        for group in sorted(wanted - had):
            self.give(connection, account_id, group, now, by=source, source=source)
        for group in sorted(had - wanted):
            self.take(connection, account_id, group, source=source)
        return wanted - had, had - wanted

    def drop(self, connection: Connection, source: str) -> list[tuple[int, str]]:
        """Take all that a source has given, which is a provider; from which account which group."""
        if source in (DIRECT, REQUEST):
            # A provider that is called so has given nothing: what bears this name people gave.
            return []
        taken = connection.execute(
            b"DELETE FROM vallum.membership WHERE source = %s RETURNING account_id, group_name", (source,)
        )
        return sorted(taken.fetchall())

    def of(self, account_id: int, now: datetime) -> list[Membership]:
        """What holds for an account now."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM vallum.membership m WHERE m.account_id = %(id)s AND {_CURRENT}"
            " ORDER BY 2, 3",
            {"id": account_id, "now": now},
        )
        return [_membership(row) for row in rows]

    def groups(self, now: datetime) -> list[GivenGroup]:
        """The groups that somebody has from Vallum now."""
        rows = self._store.rows(
            "SELECT m.group_name, count(DISTINCT m.account_id), count(*) FILTER (WHERE m.source = 'direct'),"
            " count(*) FILTER (WHERE m.source NOT IN ('direct', 'request')),"
            " count(*) FILTER (WHERE m.expires IS NOT NULL), min(m.expires)"
            f" FROM vallum.membership m WHERE {_CURRENT} GROUP BY 1 ORDER BY 1",
            {"now": now},
        )
        return [
            GivenGroup(group=group, members=n, direct=direct, mapped=mapped, in_time=in_time, next_end=end)
            for group, n, direct, mapped, in_time, end in rows
        ]

    def members(self, group: str, now: datetime, *, limit: int | None = None) -> list[Membership]:
        """Who has a group from Vallum now."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM vallum.membership m WHERE m.group_name = %(group)s AND {_CURRENT}"
            " ORDER BY 1, 3 LIMIT %(limit)s",
            {"group": group, "now": now, "limit": limit},
        )
        return [_membership(row) for row in rows]

    def by_user(self, now: datetime, *, lasting: bool = False) -> Mapping[int, frozenset[str]]:
        """All that holds now, by user of the application; shut accounts have nothing.

        `lasting`: only what has no end.
        """
        rows = self._store.rows(
            "SELECT a.user_id, array_agg(DISTINCT m.group_name) FROM vallum.membership m"
            " JOIN vallum.account a ON a.id = m.account_id"
            f" WHERE a.active AND a.user_id IS NOT NULL AND {'m.expires IS NULL' if lasting else _CURRENT}"
            " GROUP BY 1",
            {"now": now},
        )
        return {user: frozenset(groups) for user, groups in rows}

    def digest(self, now: datetime) -> object:
        """Something that is another after every change of what holds for whom, and when something ends."""
        return tuple(
            self._store.rows(
                "SELECT count(*), sum(hashint8extended(m.xmin::text::bigint, coalesce(a.user_id, 0))),"
                " (SELECT sum(hashint8extended(id, 0)) FROM vallum.account WHERE NOT active)"
                " FROM vallum.membership m JOIN vallum.account a ON a.id = m.account_id"
                f" WHERE {_CURRENT}",
                {"now": now},
            )
        )

    def next_end(self, now: datetime) -> datetime | None:
        """When the next membership ends: what was made of `by_user` holds until then at most."""
        rows = self._store.rows("SELECT min(expires) FROM vallum.membership WHERE expires > %s", (now,))
        found: datetime | None = rows[0][0]
        return found

    def sweep(self, now: datetime) -> int:
        """Drop memberships past their end, and say how many."""
        statement = (
            "WITH gone AS (DELETE FROM vallum.membership WHERE expires <= %s RETURNING 1)"
            " SELECT count(*) FROM gone"
        )
        return int(self._store.rows(statement, (now,))[0][0])


def overlay(directory: Directory, policy: Policy, given: Mapping[int, frozenset[str]]) -> Directory:
    """The users with the groups Vallum gives them as well. A group the policy does not know gives nothing.

    Pure. What a group implies comes with it.
    """
    ids = policy.group_ids

    def widened(user_id: int, groups: frozenset[int], closed: bool) -> frozenset[int]:
        more = frozenset(ids[name] for name in given.get(user_id, ()) if name in ids)
        return groups | (policy.close(more) if closed else more)

    return Directory(
        replace(user, groups=widened(user.id, user.groups, user.groups_closed)) if user.id in given else user
        for user in directory
    )


def _membership(row: Any) -> Membership:
    account_id, group, source, granted, by, expires = row
    return Membership(
        account_id=account_id, group=group, source=source, granted=granted, granted_by=by, expires=expires
    )
