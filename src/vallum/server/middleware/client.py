"""Find the client's own address behind trusted proxies, and let nobody else claim another.

The chain of `X-Forwarded-For` is read from its end: the first address that is no trusted proxy is the
client. What a client itself puts in front is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from vallum.server.addresses import normal
from vallum.server.exchange import ASGI, Receive, Scope, Send
from vallum.server.options import Options

__all__ = ["ClientAddress"]

_LONGEST_CHAIN = 32


class ClientAddress:
    """Says where a request comes from, and whether the client's own connection is secure."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app
        self._proxies = tuple(ip_network(text) for text in options.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        exchange = scope["vallum"]
        peer = normal((scope.get("client") or ("",))[0])
        exchange.address = peer
        if self._proxies and _trusted(peer, self._proxies):
            chain = [part.strip() for part in exchange.headers.get("x-forwarded-for", "").split(",")]
            exchange.address = _client(peer, chain[-_LONGEST_CHAIN:], self._proxies)
            if "x-forwarded-proto" in exchange.headers:
                exchange.secure = exchange.headers["x-forwarded-proto"] == "https"
        await self._app(scope, receive, send)


def _client(peer: str, chain: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    found = peer
    for part in reversed(chain):
        address = normal(part.removeprefix("[").partition("]")[0])
        if not address:
            break
        found = address
        if not _trusted(address, proxies):
            break
    return found


def _trusted(address: str, proxies: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not address:
        return False
    parsed = ip_address(address)
    return any(parsed.version == network.version and parsed in network for network in proxies)
