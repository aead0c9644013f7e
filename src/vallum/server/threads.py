"""A fixed number of threads that run calls for the event loop.

As `loop.run_in_executor`, without the second kind of future and its callbacks, which cost as much as a
short call. A call that nobody waits for any more is run all the same: it may have begun to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

__all__ = ["Threads"]

T = TypeVar("T")
_Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Threads that end with `close`."""

    def __init__(self, number: int) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads = [Thread(target=self._run, name=f"call-{n}", daemon=True) for n in range(number)]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns, run in one of the threads.

        Raises: what the function raises.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[T] = loop.create_future()
        self._queue.put((loop, waiting, function, arguments))
        return await waiting

    def close(self) -> None:
        """Wait for what runs and what waits to be run."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
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


def _settle(waiting: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Give the answer to whoever still waits."""
    if waiting.done():
        return
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(result)
