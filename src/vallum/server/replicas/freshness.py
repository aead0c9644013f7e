"""As of when a standby is complete: decided from positions in the write-ahead log.

Pure: no connection, no clock. Moments are seconds of one monotonic clock, the primary's and the standby's
own clocks do not matter.
Invariant: whatever was committed before `as_of` gives, the standby shows.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["NEVER", "Freshness"]

NEVER: Final = float("-inf")


class Freshness:
    """Remembers where the primary's log ended at which moment, `span` seconds back."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._ends: deque[tuple[float, int]] = deque()
        self._replayed: int | None = None

    @property
    def known(self) -> bool:
        """Whether it was told of the standby before."""
        return self._replayed is not None

    def ended(self, moment: float, position: int) -> bool:
        """The primary's log reached at least that far at the moment; False: the standby's history is another.

        What a standby has replayed the primary has written. A standby that is ahead followed another one.
        """
        while self._ends and self._ends[0][0] < moment - self._span:
            self._ends.popleft()
        if self._replayed is None or position < self._replayed:
            self._ends.clear()
            return False
        self._ends.append((moment, position))
        return True

    def as_of(self, replayed: int) -> float:
        """The last moment whose commits are all among what was replayed.

        From this position alone: a standby that was restarted may have gone back.
        """
        self._replayed = replayed
        return next((moment for moment, end in reversed(self._ends) if end <= replayed), NEVER)
