"""The threads that run calls."""

from __future__ import annotations

import asyncio
from threading import get_ident
from time import sleep

import pytest

from tests.support.loops import ran
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
        assert ran(both()) == 7
    finally:
        threads.close()


def test_thread_that_ended_last_runs_the_next_call() -> None:
    """Of many threads a client that asks one thing after the other needs a single one."""
    threads = Threads(8)

    async def calls() -> set[int]:
        found = set()
        for _ in range(50):
            found.add(await asyncio.wait_for(threads.run(get_ident), 20))
            while len(threads.idle) < 8:
                await asyncio.sleep(0.001)
        return found

    try:
        assert len(ran(calls())) == 1
    finally:
        threads.close()


def test_more_calls_than_threads_are_run_in_their_order() -> None:
    """Those for which no thread is idle wait, and `close` waits for them."""
    threads, order = Threads(2), []

    def call(number: int) -> int:
        order.append(number)
        sleep(0.001)
        return number

    async def calls() -> list[int]:
        return await asyncio.gather(*(threads.run(call, n) for n in range(200)))

    assert ran(calls()) == list(range(200))
    threads.close()
    # Two threads may note two neighbours in either order.
    assert all(abs(place - number) <= 2 for place, number in enumerate(order))
