"""Sets of places in the log as runs, and a digest that stands for one.

Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["digest_of_runs", "merge_runs", "runs_text", "subtract"]

Run = tuple[int, int]


def merge_runs(runs: Iterable[Run]) -> list[Run]:
    """The same places in as few runs as can be; each from its start to before its end.

    >>> merge_runs([(5, 6), (0, 2), (2, 3)])
    [(0, 3), (5, 6)]
    """
    found: list[Run] = []
    for start, end in sorted(runs):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return found


def digest_of_runs(runs: Iterable[Run]) -> str:
    """What stands for a set of places in an entry of the log."""
    return hashlib.sha256(runs_text(runs).encode()).hexdigest()


def runs_text(runs: Iterable[Run]) -> str:
    """The runs as text.

    >>> runs_text([(0, 3), (5, 6)])
    '0-3,5-6'
    """
    return ",".join(f"{start}-{end}" for start, end in merge_runs(runs))


def subtract(runs: Iterable[Run], text: str) -> list[Run]:
    """The places of runs that are not among those of a text.

    >>> subtract([(0, 10)], "2-4,9-10")
    [(0, 2), (4, 9)]
    """
    left = list(runs)
    for part in text.split(",") if text else ():
        first, last = (int(number) for number in part.split("-"))
        cut = [(max(start, last), end) for start, end in left if end > last]
        left = [(start, min(end, first)) for start, end in left if start < first] + cut
    return merge_runs(left)
