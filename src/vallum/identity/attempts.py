"""Count failures, and shut a door for a while: by account, device, address and network, each apart.

An attempt is counted before the secret is looked at and taken back where it was right, so that any number
of attempts at once are no more than the limit. Logins are counted whether or not they exist.
Invariant: a device the account has been used on before is counted by itself: whoever attacks an account
from elsewhere does not shut its owner out (ASVS 6.1.1, 6.3.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vallum.identity.network import address_of, network_of
from vallum.identity.settings import Limit, LockoutSettings
from vallum.identity.store import Store

__all__ = ["Attempts", "Counter", "Reservation", "factor_counters", "password_counters", "reset_counters"]


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted: `scope` (account, device, address, network) and whose. `resets`: at a success."""

    scope: str
    subject: str
    limit: Limit
    resets: bool = False

    @property
    def key(self) -> bytes:
        """What is kept of the subject."""
        return hashlib.sha256(self.subject.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Reservation:
    """An attempt that was counted. `shut`: the scopes that are locked, with the end of the longest lock.

    `locking`: the scopes that are locked from now on, should this attempt fail.
    """

    stage: str
    counters: tuple[Counter, ...]
    at: datetime
    shut: tuple[str, ...] = ()
    locking: tuple[str, ...] = ()
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the attempt may go on."""
        return not self.shut

    def wait(self, now: datetime) -> float:
        """Seconds until the next attempt."""
        return max(0.0, (self.until - now).total_seconds()) if self.until else 0.0


def password_counters(
    settings: LockoutSettings, login_key: str, address: str, device_id: int | None
) -> tuple[Counter, ...]:
    """Who is counted for a password: a known device alone, otherwise account, address and network."""
    if device_id is not None:
        return (Counter("device", str(device_id), settings.device, resets=True),)
    account = Counter("account", login_key, settings.account, resets=True)
    return (account, *_places(address, settings.address, settings.network))


def factor_counters(settings: LockoutSettings, account_id: int, address: str) -> tuple[Counter, ...]:
    """Who is counted for a second factor: the account, wherever it is tried from, and the address."""
    account = Counter("account", str(account_id), settings.factor, resets=True)
    return (account, *_places(address, settings.factor_address, None))


def reset_counters(settings: LockoutSettings, login_key: str, address: str) -> tuple[Counter, ...]:
    """Who is counted for a link to reset a password: nobody is flooded with mail."""
    return (Counter("account", login_key, settings.reset), *_places(address, settings.address, None))


def _places(address: str, one: Limit, around: Limit | None) -> tuple[Counter, ...]:
    found = address_of(address)
    if found is None:
        # Nowhere is a place too: requests without an address do not go uncounted.
        return (Counter("address", "unknown", one),)
    places = (Counter("address", str(found), one),)
    return places if around is None else (*places, Counter("network", str(network_of(found)), around))


_RESERVE: Final = """
INSERT INTO vallum.attempt AS a (stage, scope, subject, failures, blocked, locks, first, until)
SELECT %(stage)s, n.scope, n.subject, 1, 0, CASE WHEN n.failures <= 1 THEN 1 ELSE 0 END, %(now)s,
       CASE WHEN n.failures <= 1 THEN %(now)s + make_interval(mins => n.lock) END
FROM unnest(%(scopes)s::text[], %(subjects)s::bytea[], %(limits)s::int[], %(windows)s::int[],
            %(locks)s::int[], %(doublings)s::int[]) AS n (scope, subject, failures, wind, lock, twice)
ORDER BY 2, 3
ON CONFLICT (stage, scope, subject) DO UPDATE SET (failures, blocked, locks, first, until) = (
    SELECT CASE WHEN shut THEN a.failures ELSE count END,
           CASE WHEN shut THEN a.blocked + 1 ELSE 0 END,
           CASE WHEN NOT shut AND count >= n.failures THEN kept + 1 ELSE kept END,
           CASE WHEN shut OR NOT begins THEN a.first ELSE %(now)s END,
           CASE WHEN shut THEN a.until WHEN count >= n.failures
                THEN %(now)s + make_interval(mins => n.lock * (1 << least(kept, n.twice))) END
    FROM unnest(%(scopes)s::text[], %(subjects)s::bytea[], %(limits)s::int[], %(windows)s::int[],
                %(locks)s::int[], %(doublings)s::int[]) AS n (scope, subject, failures, wind, lock, twice),
    LATERAL (SELECT coalesce(a.until > %(now)s, false) AS shut,
                    a.until IS NOT NULL AND a.until <= %(now)s
                    OR a.first <= %(now)s - make_interval(mins => n.wind) AS begins,
                    CASE WHEN a.until IS NOT NULL AND a.until <= %(now)s - interval '1 day' THEN 0
                         ELSE a.locks END AS kept) s,
    LATERAL (SELECT CASE WHEN begins THEN 1 ELSE a.failures + 1 END AS count) c
    WHERE n.scope = excluded.scope AND n.subject = excluded.subject)
RETURNING scope, blocked, until
"""

_RELEASE: Final = """
UPDATE vallum.attempt SET failures = greatest(failures - 1, 0), until = NULL
WHERE stage = %s AND scope = ANY (%s) AND subject = ANY (%s) AND blocked = 0
"""

_RESET: Final = "DELETE FROM vallum.attempt WHERE stage = %s AND (scope, subject) = (%s, %s)"


class Attempts:
    """The counters of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def reserve(self, stage: str, counters: Sequence[Counter], now: datetime) -> Reservation:
        """Count one attempt; shut where one of the counters is."""
        limits = [counter.limit for counter in counters]
        rows = self._store.rows(
            _RESERVE,
            {
                "stage": stage,
                "now": now,
                "scopes": [counter.scope for counter in counters],
                "subjects": [counter.key for counter in counters],
                "limits": [limit.failures for limit in limits],
                "windows": [limit.window for limit in limits],
                "locks": [limit.lock for limit in limits],
                "doublings": [limit.doublings for limit in limits],
            },
        )
        shut = [(scope, until) for scope, blocked, until in rows if blocked]
        until = max((end for _, end in shut if end is not None), default=None)
        return Reservation(
            stage,
            tuple(counters),
            now,
            shut=tuple(scope for scope, _ in shut),
            locking=tuple(scope for scope, blocked, end in rows if not blocked and end is not None),
            until=until,
        )

    def succeeded(self, reservation: Reservation) -> None:
        """Take the attempt back: counters of the account begin anew, those of places have one less."""
        for counter in reservation.counters:
            if counter.resets:
                self._store.rows(_RESET, (reservation.stage, counter.scope, counter.key))
        places = [counter for counter in reservation.counters if not counter.resets]
        if places:
            scopes, keys = [c.scope for c in places], [c.key for c in places]
            self._store.rows(_RELEASE, (reservation.stage, scopes, keys))

    def unlock(self, stage: str, scope: str, subject: str, limit: Limit) -> None:
        """Forget the failures of one subject: an administrator's word."""
        self._store.rows(_RESET, (stage, scope, Counter(scope, subject, limit).key))

    def sweep(self, now: datetime, *, older: timedelta = timedelta(days=2)) -> int:
        """Drop counters nobody needs any more, and say how many."""
        statement = (
            "WITH gone AS (DELETE FROM vallum.attempt WHERE first < %(before)s"
            " AND coalesce(until < %(before)s, true) RETURNING 1) SELECT count(*) FROM gone"
        )
        return int(self._store.rows(statement, {"before": now - older})[0][0])
