"""Read the body before anything is done: no longer than allowed, and within the time allowed."""

from __future__ import annotations

import asyncio
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
        given = exchange.headers.get("content-length", "0")
        if not given.isdecimal() or int(given[:20]) > self._limit:
            raise self._too_long()
        message = await self._receive(receive)
        if message.get("more_body"):
            exchange.body = await self._rest(message.get("body", b""), receive)
        else:
            exchange.body = message.get("body", b"")
        if len(exchange.body) > self._limit:
            raise self._too_long()
        await self._app(scope, receive, send)

    async def _receive(self, receive: Receive) -> dict[str, bytes | bool]:
        try:
            async with asyncio.timeout(self._timeout):
                return dict(await receive())
        except TimeoutError:
            raise _too_slow() from None

    async def _rest(self, first: bytes | bool, receive: Receive) -> bytes:
        parts = [bytes(first)]
        size = len(parts[0])
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _too_slow()
                    parts.append(bytes(message.get("body", b"")))
                    size += len(parts[-1])
                    if size > self._limit:
                        raise self._too_long()
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise _too_slow() from None

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
