"""From a path to what answers it: calls to threads, everything else to the pages.

Calls do not pass through the web framework: its routing, injection and encoding would take as long as
a short call itself. They pass through the same stack (see docs/design/server.md).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

from vallum.identity import Client
from vallum.server import account, scim, sso
from vallum.server.calling import answering, called_by
from vallum.server.exchange import ASGI, Exchange, Receive, Scope, Send, answer
from vallum.server.http import Request, Response
from vallum.server.known import known
from vallum.server.rpc import json2, jsonrpc
from vallum.server.rpc.faults import UNAVAILABLE_NAME, RpcError
from vallum.server.service import Service
from vallum.server.threads import Threads

__all__ = ["Router"]

ACCOUNT: Final = "account"
Handler = Callable[[Service, Request], Response]
T = TypeVar("T")


def _xmlrpc(service: Service, request: Request) -> Response:
    # Loaded with the first call: its parser takes 4 MiB of a worker, and most clients speak JSON.
    from vallum.server.rpc import xmlrpc

    return xmlrpc.handle(service, request)


# Beginnings of paths: the protocol, what the log calls it, and what answers.
ROUTES: Final[tuple[tuple[str, str, str, Handler], ...]] = (
    ("/json/2/", "json2", "/json/2", json2.handle),
    ("/doc-bearer/", "json2", "/doc-bearer", json2.handle),
    ("/jsonrpc", "jsonrpc", "/jsonrpc", jsonrpc.handle),
    ("/web/dataset/call", "jsonrpc", "/web/dataset", jsonrpc.web),
    ("/web/session/", "jsonrpc", "/web/session", jsonrpc.web),
    ("/web/webclient/version_info", "jsonrpc", "/web/webclient", jsonrpc.web),
    ("/xmlrpc/", "xmlrpc", "/xmlrpc", _xmlrpc),
    ("/account", ACCOUNT, "/account", account.handle),
    ("/sso/", ACCOUNT, "/sso", sso.handle),
    ("/scim/v2", ACCOUNT, "/scim/v2", scim.handle),
)
_POSTED: Final = frozenset({"jsonrpc", "xmlrpc"})
_WAITING_PER_THREAD: Final = 64
_FOR_PEOPLE: Final = 4


class _Lane:
    """Threads, and how many requests wait for them."""

    def __init__(self, number: int) -> None:
        self.threads = Threads(number)
        self.most = number * _WAITING_PER_THREAD
        self.waiting = 0


class Router:
    """The innermost application of the stack."""

    def __init__(self, service: Service, pages: ASGI, threads: int) -> None:
        self._service = service
        self._pages = pages
        # Whoever signs in waits for a hash; calls do not wait behind them.
        self._calls = _Lane(threads)
        self._people = _Lane(_FOR_PEOPLE)

    def close(self) -> None:
        """Wait for the calls that run."""
        self._calls.threads.close()
        self._people.threads.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path, exchange = scope["path"], scope["vallum"]
        for beginning, protocol, name, handler in ROUTES:
            if path.startswith(beginning):
                exchange.route = name
                if protocol != ACCOUNT and protocol not in self._service.protocols:
                    raise _nothing_here()
                if protocol in _POSTED and scope["method"] != "POST":
                    raise RpcError(
                        "a call is a POST",
                        name="werkzeug.exceptions.MethodNotAllowed",
                        status=HTTPStatus.METHOD_NOT_ALLOWED,
                    )
                lane = self._people if protocol == ACCOUNT else self._calls
                await self._call(lane, handler, scope, send)
                return
        called_by(_client(exchange))
        await self._pages(scope, receive, send)

    async def known(self, scope: Scope) -> bool:
        """Whether whoever sends a request shows in its head who they are.

        Raises: RpcError, ConnectionFailed.
        """
        of_calls = any(scope["path"].startswith(r[0]) and r[1] != ACCOUNT for r in ROUTES)
        request = _request(scope)
        lane = self._calls if of_calls else self._people
        return await self._run(lane, answering, request.client, known, self._service, request)

    async def _call(self, lane: _Lane, handler: Handler, scope: Scope, send: Send) -> None:
        request = _request(scope)
        response = await self._run(lane, answering, request.client, handler, self._service, request)
        await answer(scope, send, response)

    @staticmethod
    async def _run(lane: _Lane, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns, run in a thread of the lane. Raises: RpcError (503: too many wait)."""
        if lane.waiting >= lane.most:
            raise RpcError(
                "the server is busy",
                name=UNAVAILABLE_NAME,
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                retry_after=1,
            )
        lane.waiting += 1
        try:
            return await lane.threads.run(function, *arguments)
        finally:
            lane.waiting -= 1


def _client(exchange: Exchange) -> Client:
    return Client(
        address=exchange.address,
        user_agent=exchange.headers.get("user-agent", "")[:200],
        request_id=exchange.request_id,
    )


def _request(scope: Scope) -> Request:
    """A request, with what of its body is there."""
    exchange: Exchange = scope["vallum"]
    return Request(
        scope["method"],
        scope["path"],
        exchange.headers,
        exchange.body,
        _client(exchange),
        exchange.secure,
        scope.get("query_string", b"").decode("latin-1"),
    )


def _nothing_here() -> RpcError:
    return RpcError("there is nothing here", name="werkzeug.exceptions.NotFound", status=HTTPStatus.NOT_FOUND)
