"""When workers died: how long the server goes on replacing them.

granian gives up, and ends every worker, where one dies within 5.5 seconds of its own replacement. Twice is
bad luck, not a loop: memory ran out, an administrator killed the same one again. So it asks this instead of
its own notes, and is told of a recent death only after many of them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

__all__ = ["Deaths"]

# So many within so many seconds are a loop: whoever runs the server (systemd) is to see it end.
_MOST: Final = 20
_WITHIN: Final = 120.0


class Deaths(dict[int, float]):
    """When each worker was replaced, in seconds of `time.monotonic`."""

    def __init__(self) -> None:
        super().__init__()
        self._last: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_MOST))

    def __setitem__(self, worker: int, at: float) -> None:
        super().__setitem__(worker, at)
        self._last[worker].append(at)

    def get(self, worker: int, default: float = 0.0) -> float:  # type: ignore[override]
        """When it was replaced last, if that is part of a loop; else `default`."""
        times = self._last[worker]
        looping = len(times) == _MOST and times[-1] - times[0] < _WITHIN
        return times[-1] if looping else default
