"""Where counters are kept: in memory for one process, in PostgreSQL for one node, in Valkey for several.

Each takes one request atomically: two that come at once are not both let through on one place.
Invariant: a store that cannot be reached refuses (ConnectionFailed), it does not let pass.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import Any, Final, Protocol

from vallum.kernel import Clock, ConnectionFailed
from vallum.postgres import Database
from vallum.server.limits.gcra import Rate, take

__all__ = ["Counters", "MemoryCounters", "PostgresCounters", "ValkeyCounters", "counters"]

_MOST_KEYS: Final = 200_000
_FORGET_EVERY: Final = 1_000


class Counters(Protocol):
    """Takes requests under keys. Keys are digests: no login, address or API key is kept."""

    def take(self, key: str, rate: Rate) -> float | None:
        """One request; seconds to wait where it is refused.

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

    def take(self, key: str, rate: Rate) -> float | None:
        """One request; seconds to wait where it is refused."""
        kept_under, now = digest(key), self._clock.now().timestamp()
        with self._lock:
            taken = take(rate, self._kept.get(kept_under), now)
            self._kept[kept_under] = taken.arrival
            self._kept.move_to_end(kept_under)
            while len(self._kept) > _MOST_KEYS:
                self._kept.popitem(last=False)
        return taken.retry_after


_TAKE: Final = """
INSERT INTO vallum.rate AS kept (key, arrival)
VALUES (%(key)s, extract(epoch FROM clock_timestamp()) + %(interval)s)
ON CONFLICT (key) DO UPDATE
SET arrival = greatest(kept.arrival, extract(epoch FROM clock_timestamp())) + %(interval)s
WHERE kept.arrival - %(tolerance)s <= extract(epoch FROM clock_timestamp())
RETURNING arrival
"""
_WAIT: Final = (
    "SELECT arrival - %(tolerance)s - extract(epoch FROM clock_timestamp()) FROM vallum.rate"
    " WHERE key = %(key)s"
)
_FORGET: Final = "DELETE FROM vallum.rate WHERE arrival < extract(epoch FROM clock_timestamp())"


class PostgresCounters:
    """Counters in Vallum's own tables, by PostgreSQL's clock: the same for all processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taken = 0

    def take(self, key: str, rate: Rate) -> float | None:
        """One request; seconds to wait where it is refused."""
        values: dict[str, Any] = {
            "key": digest(key),
            "interval": rate.interval,
            "tolerance": rate.tolerance,
        }
        self._taken += 1
        if self._taken % _FORGET_EVERY == 0:
            self._database.rows(_FORGET)
        if self._database.rows(_TAKE, values):
            return None
        rows = self._database.rows(_WAIT, values)
        return max(float(rows[0][0]), 0.001) if rows else 0.001


# One script runs alone; the time is the server's own, so that nodes need not agree on theirs.
_SCRIPT: Final = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local early = due - tolerance - now
if early > 0.000001 then return tostring(early) end
redis.call('SET', KEYS[1], string.format('%.6f', due + interval),
           'PX', math.ceil((due + interval - now) * 1000) + 1000)
return ''
"""


class ValkeyCounters:
    """Counters in Valkey or Redis, for several nodes."""

    def __init__(self, url: str) -> None:
        from valkey import Valkey

        self._client = Valkey.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        self._script = self._client.register_script(_SCRIPT)

    def take(self, key: str, rate: Rate) -> float | None:
        """One request; seconds to wait where it is refused."""
        from valkey.exceptions import ValkeyError

        try:
            answer = self._script(keys=[b"vallum:rate:" + digest(key)], args=[rate.interval, rate.tolerance])
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
