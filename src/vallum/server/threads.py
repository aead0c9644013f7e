"""A fixed number of threads that run calls for the event loop.

As `loop.run_in_executor`, without the second kind of future and its callbacks, which cost as much as a
short call. The thread that ended last gets the next call: what it used, and what the process of PostgreSQL
behind its connection used, is still at hand. A call that nobody waits for any more is run all the same: it
may have begun to write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

__all__ = ["Threads"]

T = TypeVar("T")
_Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]
_Inbox = SimpleQueue[_Work | None]


class Threads:
    """Threads that end with `close`."""

    def __init__(self, number: int) -> None:
        # Where idle threads wait for work: the last of them was at work last.
        self.idle: list[_Inbox] = [SimpleQueue() for _ in range(number)]
        self._waiting: deque[_Work | None] = deque()
        self._lock = Lock()
        self._threads = [
            Thread(target=self._run, args=(inbox,), name=f"call-{n}", daemon=True)
            for n, inbox in enumerate(self.idle)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns, run in one of the threads.

        Raises: what the function raises.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[T] = loop.create_future()
        self._give((loop, waiting, function, arguments))
        return await waiting

    def close(self) -> None:
        """Wait for what runs and what waits to be run."""
        for _ in self._threads:
            self._give(None)
        for thread in self._threads:
            thread.join()

    def _give(self, work: _Work | None) -> None:
        """To an idle thread; where there is none, to the first that will be."""
        with self._lock:
            if not self.idle:
                self._waiting.append(work)
                return
            inbox = self.idle.pop()
        inbox.put(work)

    def _next(self, inbox: _Inbox) -> _Work | None:
        """What a thread that has become idle does next; it waits for it."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self.idle.append(inbox)
        return inbox.get()

    def _run(self, inbox: _Inbox) -> None:
        work = inbox.get()
        while work is not None:
            loop, waiting, function, arguments = work
            error: Exception | None = None
            result = None
            try:
                result = function(*arguments)
            except Exception as raised:
                error = raised
            except BaseException as raised:
                # A panic of a compiled library, say: it must cost neither the thread nor whoever waits.
                error = RuntimeError(type(raised).__name__)
            loop.call_soon_threadsafe(_settle, waiting, result, error)
            work = self._next(inbox)


def _settle(waiting: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Give the answer to whoever still waits."""
    if waiting.done():
        return
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(result)
