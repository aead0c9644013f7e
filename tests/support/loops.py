"""Run a coroutine to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["ran"]

T = TypeVar("T")


def ran(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns; in a thread of its own: browsers of other tests keep an event loop here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
