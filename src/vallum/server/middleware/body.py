"""Read the body before anything is done: no longer than allowed, and within the time allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from vallum.server.exchange import ASGI, Receive, Scope, Send
from vallum.server.middleware.large import Large, LargeBodies, too_long
from vallum.server.options import Options
from vallum.server.rpc.faults import RpcError

__all__ = ["Body"]

# What is heard after a refusal, and thrown away: seconds, and so many times the limit.
_LINGER: Final = 2.0
_LINGER_LIMITS: Final = 4
_DIGITS: Final = 20


class Body:
    """Puts the whole body into the exchange. A slow client costs no thread."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app
        self._limit = options.body_limit
        self._large = LargeBodies(options)
        self._timeout = options.body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        with self._large.asked(scope) as large:
            await self._read(scope, receive, large)
            await self._app(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, large: Large) -> None:
        exchange = scope["vallum"]
        try:
            length = self._announced(exchange.headers, scope["http_version"])
            if length != 0:
                async with asyncio.timeout(self._timeout):
                    exchange.body = await self._whole(receive, length, large)
        except TimeoutError:
            raise _too_slow() from None
        except RpcError:
            if "expect" not in exchange.headers:
                await self._discard(receive)
            raise

    async def _discard(self, receive: Receive) -> None:
        """Let a client say what it was about to: one that is cut off while it speaks hears no answer."""
        left = _LINGER_LIMITS * self._limit
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return

    def _announced(self, headers: Mapping[str, str], version: str) -> int | None:
        """How many bytes the body has; None where only its end will tell.

        Source: RFC 9112, 6.3.
        """
        if "transfer-encoding" in headers:
            return None
        given = headers.get("content-length")
        if given is None:
            return 0 if version.startswith("1") else None
        # So many digits are more than any limit; of thousands Python makes no number.
        if not given.isdecimal() or len(given) > _DIGITS or int(given) > self._limit:
            raise too_long(self._limit)
        return int(given)

    async def _whole(self, receive: Receive, length: int | None, large: Large) -> bytes:
        """The body. Of one whose length is known no end is awaited: a message is a turn of the event loop."""
        parts: list[bytes] = []
        size = 0
        await large.reaches(length or 0)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _too_slow()
            parts.append(bytes(message.get("body", b"")))
            size += len(parts[-1])
            if size > self._limit:
                raise too_long(self._limit)
            await large.reaches(size)
            if not message.get("more_body") or size == length:
                return b"".join(parts)


def _too_slow() -> RpcError:
    return RpcError(
        "the request did not arrive in time",
        name="werkzeug.exceptions.RequestTimeout",
        status=HTTPStatus.REQUEST_TIMEOUT,
    )
