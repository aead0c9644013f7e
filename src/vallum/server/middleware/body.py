"""Read the body before anything is done: no longer than allowed, and within the time allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from vallum.server.exchange import ASGI, Receive, Scope, Send
from vallum.server.options import Options
from vallum.server.rpc.faults import RpcError

__all__ = ["Body"]


class Body:
    """Puts the whole body into the exchange. A slow client costs no thread."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app
        self._limit = options.body_limit
        self._timeout = options.body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        exchange = scope["vallum"]
        length = self._announced(exchange.headers, scope["http_version"])
        if length != 0:
            try:
                async with asyncio.timeout(self._timeout):
                    exchange.body = await self._whole(receive, length)
            except TimeoutError:
                raise _too_slow() from None
        await self._app(scope, receive, send)

    def _announced(self, headers: Mapping[str, str], version: str) -> int | None:
        """How many bytes the body has; None where only its end will tell.

        Source: RFC 9112, 6.3.
        """
        if "transfer-encoding" in headers:
            return None
        given = headers.get("content-length")
        if given is None:
            return 0 if version.startswith("1") else None
        if not given.isdecimal() or int(given[:20]) > self._limit:
            raise self._too_long()
        return int(given)

    async def _whole(self, receive: Receive, length: int | None) -> bytes:
        """The body. Of one whose length is known no end is awaited: a message is a turn of the event loop."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _too_slow()
            parts.append(bytes(message.get("body", b"")))
            size += len(parts[-1])
            if size > self._limit:
                raise self._too_long()
            if not message.get("more_body") or size == length:
                return b"".join(parts)

    def _too_long(self) -> RpcError:
        return RpcError(
            f"the body is longer than {self._limit} bytes",
            name="werkzeug.exceptions.RequestEntityTooLarge",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )


def _too_slow() -> RpcError:
    return RpcError(
        "the request did not arrive in time",
        name="werkzeug.exceptions.RequestTimeout",
        status=HTTPStatus.REQUEST_TIMEOUT,
    )
