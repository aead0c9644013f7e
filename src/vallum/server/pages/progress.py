"""Long work that tells how far it is: a function with a `Progress`, run in a thread, as a stream of events.

The browser that looks at the stream is the one the work is done for; when it leaves, the work is given up
at its next step.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from vallum.kernel import Progress

__all__ = ["run"]

T = TypeVar("T")
Event: TypeAlias = tuple[str, Mapping[str, Any]]

_EVERY: Final = 0.2
_END: Final = object()


class _Left(Exception):
    """Nobody looks any more."""


class _Told:
    """A `Progress` that puts events into a queue, not oftener than the eye can follow."""

    def __init__(self, events: queue.SimpleQueue[Any], left: threading.Event) -> None:
        self._events, self._left = events, left
        self._total: int | None = None
        self._done = 0
        self._label = ""
        self._began = self._last = time.monotonic()

    def start(self, total: int | None, label: str) -> None:
        """A stage begins."""
        self._total, self._done, self._label = total, 0, label
        self._began = time.monotonic()
        self._tell(always=True)

    def advance(self, n: int = 1) -> None:
        """Steps are done."""
        self._done += n
        self._tell()

    def done(self) -> None:
        """The stage has ended."""
        self._tell(always=True)

    def _tell(self, *, always: bool = False) -> None:
        if self._left.is_set():
            raise _Left
        now = time.monotonic()
        if always or now - self._last >= _EVERY:
            self._last = now
            self._events.put(
                ("progress", {"total": self._total, "done": self._done, "text": self._text(now)})
            )

    def _text(self, now: float) -> str:
        if not self._total:
            return f"{self._label} …"
        said = f"{self._label}: {self._done} of {self._total}"
        passed = now - self._began
        if self._done and passed > 2:
            said += f", about {max(1, round(passed / self._done * (self._total - self._done)))} s left"
        return said


def run(work: Callable[[Progress], T], finish: Callable[[T], Mapping[str, Any]]) -> Iterator[Event]:
    """Events of the work: `progress`, any number of times, and `end` with what `finish` makes of the result.

    Raises: whatever the work raises.
    """
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    left = threading.Event()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work(_Told(events, left)))
        except _Left:
            pass
        except BaseException as error:
            failure.append(error)
        finally:
            events.put(_END)

    thread = threading.Thread(target=body, name="vallum-page-work", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not _END:
            yield event
        thread.join()
        if failure:
            raise failure[0]
        yield "end", finish(outcome[0])
    finally:
        left.set()
