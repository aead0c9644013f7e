"""Where counters are kept: in memory for one process, in PostgreSQL for one node, in Valkey for several.

Each takes one request atomically: two that come at once are not both let through on one place. A request that
is counted under several keys (whose it is, and where it comes from) is so in one step.
Invariant: a store that cannot be reached refuses (ConnectionFailed), it does not let pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from threading import Lock
from typing import Any, Final, Protocol

from vallum.kernel import Clock, ConnectionFailed
from vallum.postgres import Database
from vallum.server.limits.gcra import Rate, take

__all__ = ["Counters", "MemoryCounters", "PostgresCounters", "ValkeyCounters", "Wanted", "counters"]

_MOST_KEYS: Final = 200_000
_FORGET_EVERY: Final = 1_000


Wanted = tuple[str, Rate]
"""What a request is counted under, and how many of them there may be."""


class Counters(Protocol):
    """Takes requests under keys. Keys are digests: no login, address or API key is kept."""

    def take(self, *wanted: Wanted) -> float | None:
        """One request under each of these keys, all different; the longest wait (seconds) of those refused.

        It counts under the keys that would let it pass, though another refuses it.

        Raises: ConnectionFailed.
        """


def digest(key: str) -> bytes:
    """What a key is kept under."""
    return blake2b(key.encode(), digest_size=16).digest()


class MemoryCounters:
    """Counters of one process. The least recently used go first where there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[bytes, float] = OrderedDict()

    def take(self, *wanted: Wanted) -> float | None:
        """One request; seconds to wait where it is refused."""
        now = self._clock.now().timestamp()
        with self._lock:
            waits = [self._taken(digest(key), rate, now) for key, rate in wanted]
        return max((wait for wait in waits if wait is not None), default=None)

    def _taken(self, key: bytes, rate: Rate, now: float) -> float | None:
        taken = take(rate, self._kept.get(key), now)
        self._kept[key] = taken.arrival
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEYS:
            self._kept.popitem(last=False)
        return taken.retry_after


# In the order of the keys: of two requests with some in common neither waits for one that waits for it.
_TAKE: Final = """
WITH wanted AS (
    SELECT * FROM unnest(%(keys)s::bytea[], %(intervals)s::float8[], %(tolerances)s::float8[])
        AS wanted (key, spacing, tolerance)
)
INSERT INTO vallum.rate AS kept (key, arrival)
SELECT key, extract(epoch FROM clock_timestamp()) + spacing FROM wanted ORDER BY key
ON CONFLICT (key) DO UPDATE
SET arrival = greatest(kept.arrival, extract(epoch FROM clock_timestamp()))
    + (SELECT spacing FROM wanted WHERE wanted.key = kept.key)
WHERE kept.arrival - (SELECT tolerance FROM wanted WHERE wanted.key = kept.key)
    <= extract(epoch FROM clock_timestamp())
RETURNING key
"""
_WAIT: Final = """
SELECT max(kept.arrival - refused.tolerance) - extract(epoch FROM clock_timestamp())
FROM unnest(%(keys)s::bytea[], %(tolerances)s::float8[]) AS refused (key, tolerance)
JOIN vallum.rate AS kept USING (key)
"""
_FORGET: Final = "DELETE FROM vallum.rate WHERE arrival < extract(epoch FROM clock_timestamp())"


class PostgresCounters:
    """Counters in Vallum's own tables, by PostgreSQL's clock: the same for all processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taken = 0

    def take(self, *wanted: Wanted) -> float | None:
        """One request; seconds to wait where it is refused."""
        rates = {digest(key): rate for key, rate in wanted}
        self._taken += 1
        if self._taken % _FORGET_EVERY == 0:
            self._database.rows(_FORGET)
        passed = {key for (key,) in self._database.rows(_TAKE, self._values(rates))}
        refused = {key: rate for key, rate in rates.items() if key not in passed}
        if not refused:
            return None
        [(wait,)] = self._database.rows(_WAIT, self._values(refused))
        return max(float(wait), 0.001) if wait is not None else 0.001

    @staticmethod
    def _values(rates: Mapping[bytes, Rate]) -> dict[str, Any]:
        return {
            "keys": list(rates),
            "intervals": [rate.interval for rate in rates.values()],
            "tolerances": [rate.tolerance for rate in rates.values()],
        }


# One script runs alone; the time is the server's own, so that nodes need not agree on theirs.
_SCRIPT: Final = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local longest = 0
for i, key in ipairs(KEYS) do
    local interval, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local due = math.max(tonumber(redis.call('GET', key) or now), now)
    local early = due - tolerance - now
    if early > 0.000001 then
        longest = math.max(longest, early)
    else
        redis.call('SET', key, string.format('%.6f', due + interval),
                   'PX', math.ceil((due + interval - now) * 1000) + 1000)
    end
end
return longest > 0 and tostring(longest) or ''
"""


class ValkeyCounters:
    """Counters in Valkey or Redis, for several nodes."""

    def __init__(self, url: str) -> None:
        from valkey import Valkey

        self._client = Valkey.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        self._script = self._client.register_script(_SCRIPT)

    def take(self, *wanted: Wanted) -> float | None:
        """One request; seconds to wait where it is refused."""
        from valkey.exceptions import ValkeyError

        try:
            answer = self._script(
                [b"vallum:rate:" + digest(key) for key, _ in wanted],
                [number for _, rate in wanted for number in (rate.interval, rate.tolerance)],
            )
        except ValkeyError as error:
            raise ConnectionFailed("the counters of requests cannot be reached", where="limits") from error
        return float(answer) if answer else None


def counters(where: str, database: Database | None, clock: Clock) -> Counters:
    """The counters a setting names: `memory`, `postgres`, or the URL of a Valkey."""
    if where == "memory":
        return MemoryCounters(clock)
    if where == "postgres":
        if database is None:
            raise ConnectionFailed("counters in PostgreSQL need a store", where="store")
        return PostgresCounters(database)
    return ValkeyCounters(where)
