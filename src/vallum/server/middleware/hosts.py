"""Answer only to the names the server is known by: a foreign `Host` is a mistake, or an attack."""

from __future__ import annotations

from http import HTTPStatus

from vallum.server.exchange import ASGI, Receive, Scope, Send
from vallum.server.options import Options
from vallum.server.rpc.faults import RpcError

__all__ = ["Hosts"]


class Hosts:
    """Refuses foreign hosts, before anything of the request is read."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app
        self._exact = frozenset(h.lower() for h in options.hosts if not h.startswith("*."))
        self._below = tuple(h[1:].lower() for h in options.hosts if h.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        named = scope["vallum"].headers.get("host", "")
        host = _name(named or _authority(scope))
        if host not in self._exact and not (host and host.endswith(self._below)):
            raise RpcError(
                "this server has another name",
                name="werkzeug.exceptions.BadRequest",
                status=HTTPStatus.MISDIRECTED_REQUEST,
                fix="add the name to `allowed_hosts`",
            )
        await self._app(scope, receive, send)


def _authority(scope: Scope) -> str:
    """What HTTP/2 has instead of the header."""
    return next((v.decode("latin-1") for k, v in scope["headers"] if k == b":authority"), "")


def _name(host: str) -> str:
    """The name without the port, in small letters; nothing where it is none."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.partition(":")
    return name.removesuffix(".") if not port or port.isdecimal() else ""
