"""What takes longer than a page should, looked up beside it and kept for a while.

A page is told what was found last, and never waits for long. Whoever asks first sets the work going; a
failure is an answer as well, and is kept as long. One thread does all such work of a process, one after the
other: a thread keeps its connection, and this work must not take the place of the pages'.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final, Generic, TypeVar

from vallum.kernel import VallumError

__all__ = ["Found", "Later", "beside"]

T = TypeVar("T")
_LOG: Final = logging.getLogger("vallum.pages")


class _Worker:
    """A thread that is begun with the first piece of work."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None

    def put(self, work: Callable[[], None]) -> None:
        """Do this, when what came before is done."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, name="later", daemon=True)
                self._thread.start()
        self._queue.put(work)

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            try:
                work()
            except Exception as error:
                _LOG.error("work beside the pages failed", extra={"kind": type(error).__name__})


_WORKER: Final = _Worker()


def beside(work: Callable[[], None]) -> None:
    """Do something beside the pages, soon."""
    _WORKER.put(work)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What was found, or why nothing was. `done`: whether it was ever looked up."""

    value: T | None = None
    error: VallumError | None = None
    done: bool = True


class Later(Generic[T]):
    """One answer, looked up again when it is older than `fresh` seconds."""

    def __init__(self, fresh: float = 60.0, wait: float = 0.03) -> None:
        self._fresh, self._wait = fresh, wait
        self._lock = Lock()
        self._found: Found[T] = Found(done=False)
        self._at: float | None = None
        self._working: Event | None = None

    def get(self, work: Callable[[], T], *, wait: float | None = None) -> Found[T]:
        """What is known; where that is old, `work` is begun, and what it takes is waited for shortly."""
        with self._lock:
            if self._at is not None and monotonic() - self._at < self._fresh:
                return self._found
            if self._working is None:
                self._working = Event()
                working = self._working
                beside(lambda: self._run(work, working))
            working = self._working
        working.wait(self._wait if wait is None else wait)
        return self._found

    def _run(self, work: Callable[[], T], working: Event) -> None:
        found: Found[T]
        try:
            found = Found(work())
        except VallumError as error:
            found = Found(error=error)
        except Exception as error:
            _LOG.exception("a state could not be looked up")
            found = Found(error=VallumError(f"this could not be looked up ({type(error).__name__})"))
        with self._lock:
            self._found, self._at, self._working = found, monotonic(), None
        working.set()
