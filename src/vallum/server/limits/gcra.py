"""The generic cell rate algorithm: so many a minute, so many at once, one number to keep per key.

Pure. What is kept is the theoretical arrival time: the moment at which the bucket will be empty again.
Source: ITU-T I.371; https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Rate", "Taken", "take"]


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` on average, `burst` at once."""

    per_minute: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds from one to the next."""
        return 60.0 / self.per_minute

    @property
    def tolerance(self) -> float:
        """How far ahead of time one may come, seconds."""
        return self.interval * (self.burst - 1)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request: `retry_after` seconds where it was refused; `arrival` is to be kept."""

    retry_after: float | None
    arrival: float


def take(rate: Rate, arrival: float | None, now: float) -> Taken:
    """One request at `now`, where `arrival` is what was kept.

    >>> rate = Rate(per_minute=60, burst=2)
    >>> first = take(rate, None, 100.0)
    >>> second = take(rate, first.arrival, 100.0)
    >>> first.retry_after, second.retry_after, take(rate, second.arrival, 100.0).retry_after
    (None, None, 1.0)
    """
    due = max(now, arrival if arrival is not None else now)
    early = due - rate.tolerance - now
    # A billionth of a second is the rounding of floats, no earliness.
    if early > 1e-9:
        return Taken(early, due)
    return Taken(None, due + rate.interval)
