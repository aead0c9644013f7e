"""The threads that run calls."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from vallum.server.threads import Threads


class _Panic(BaseException):
    """As compiled libraries raise what nobody was to catch."""


@pytest.mark.parametrize("error", [_Panic, SystemExit, KeyboardInterrupt])
def test_thread_survives_whatever_a_call_raises(error: type[BaseException]) -> None:
    """Whoever waits is answered, and the next call is run by the same thread."""
    threads = Threads(1)

    def fails() -> None:
        raise error

    async def both() -> int:
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(threads.run(fails), 20)
        return await asyncio.wait_for(threads.run(lambda: 7), 20)

    try:
        # In a thread of its own: browsers of other tests keep an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: asyncio.run(both())).result() == 7
    finally:
        threads.close()
