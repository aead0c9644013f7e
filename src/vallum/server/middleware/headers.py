"""Put onto every answer what a browser, and whoever stands between, must know.

Source: ASVS 5.0 3.4; https://owasp.org/www-project-secure-headers/
"""

from __future__ import annotations

from typing import Any, Final

from vallum.server.exchange import ASGI, Receive, Scope, Send
from vallum.server.options import Options

__all__ = ["Headers"]

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
# Two years.
_SECURE: Final = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class Headers:
    """Adds headers; one that the answer has itself stays."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app
        self._added = (*_ALWAYS, *((_SECURE,) if options.tls else ()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        number = (b"x-request-id", scope["vallum"].request_id.encode())

        async def adding(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(h for h in self._added if h[0] not in names), number]
            await send(message)

        await self._app(scope, receive, adding)
