"""Where the request comes from that this thread, or this task, is answering.

For what is recorded; it explains, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from vallum.identity import Client

__all__ = ["answering", "called_by", "caller"]

T = TypeVar("T")
_NOBODY: Final = Client(address="")
_CALLER: Final[ContextVar[Client]] = ContextVar("vallum_caller", default=_NOBODY)


def called_by(client: Client) -> None:
    """From here on, in this task and the threads it waits for, this client is answered."""
    _CALLER.set(client)


def answering(client: Client, work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns, done for this client."""
    token = _CALLER.set(client)
    try:
        return work(*arguments)
    finally:
        _CALLER.reset(token)


def caller() -> Client:
    """Who is answered; an empty address where nobody is."""
    return _CALLER.get()
