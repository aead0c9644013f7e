"""What takes longer than a page should, looked up beside it and kept for a while.

A page is told what was found last, and never waits for long. Whoever asks first sets the work going; a
failure is an answer as well, and is kept as long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final, Generic, TypeVar

from vallum.kernel import VallumError

__all__ = ["Found", "Later"]

T = TypeVar("T")
_LOG: Final = logging.getLogger("vallum.pages")


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
                Thread(target=self._run, args=(work, self._working), name="later", daemon=True).start()
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
