"""Number a request, and log and count it when it has been answered."""

from __future__ import annotations

import secrets
from time import perf_counter
from typing import Any

from vallum.kernel import SystemClock
from vallum.server.exchange import ASGI, Exchange, Receive, Scope, Send
from vallum.server.log import write
from vallum.server.options import Options

__all__ = ["Requests"]


class Requests:
    """The outermost layer: makes the `Exchange` that all others use."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app
        self._metrics = options.metrics
        self._clock = SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        started = perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        # Browsers that speak HTTP/2 send each cookie in a header of its own (RFC 9113, 8.2.3).
        cookies = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
        if len(cookies) > 1:
            headers["cookie"] = "; ".join(cookies)
        exchange = Exchange(secrets.token_hex(8), headers, secure=scope["scheme"] == "https")
        scope["vallum"] = exchange

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            else:
                exchange.size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            took = perf_counter() - started
            note = exchange.note
            self._metrics.request(exchange.route, exchange.status, took, note.get("error"))
            details = {
                "request_id": exchange.request_id,
                "client": exchange.address,
                "method": scope["method"][:16],
                "route": exchange.route,
                "status": exchange.status,
                "ms": round(took * 1000, 2),
                "bytes": exchange.size,
                **note,
            }
            write("request", details, self._clock)
