"""Rows of a benchmark, and the table they are shown in."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Row", "interleaved", "markdown", "seconds"]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: what, our figure, the peer's, and what is asked for.

    `ok` is None where nothing is asked.
    """

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    asked: str = ""
    ok: bool | None = None


def seconds(work: Callable[[], object], *, rounds: int = 5) -> float:
    """The median time of a call in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 15
) -> tuple[float, float]:
    """Median seconds of both, taken in turns so that noise hits both alike."""
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(seconds(ours, rounds=1))
        theirs.append(seconds(peer, rounds=1))
    return statistics.median(mine), statistics.median(theirs)


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table."""
    lines = ["| what | Vallum | peer | ratio | asked | |", "|---|---|---|---|---|---|"]
    for row in rows:
        mark = "" if row.ok is None else "reached" if row.ok else "**missed**"
        lines.append(f"| {row.what} | {row.ours} | {row.peer} | {row.ratio} | {row.asked} | {mark} |")
    return "\n".join(lines)
