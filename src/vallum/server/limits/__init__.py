"""Limits of requests: how many, how fast, by whom; and where the counters are kept."""

from vallum.server.limits.gcra import Rate, Taken, take
from vallum.server.limits.stores import Counters, MemoryCounters, PostgresCounters, ValkeyCounters, counters

__all__ = [
    "Counters",
    "MemoryCounters",
    "PostgresCounters",
    "Rate",
    "Taken",
    "ValkeyCounters",
    "counters",
    "take",
]
