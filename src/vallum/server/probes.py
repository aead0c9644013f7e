"""Everything that is no call: whether the server lives and is ready, and what it is. By Litestar.

Nothing here needs a sign-in, and nothing here tells more than that the server is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, get, head
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from vallum.kernel import ConnectionFailed, Settings
from vallum.server.rpc.common import version_info
from vallum.server.rpc.faults import RpcError

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["pages"]


@get("/healthz", sync_to_thread=False)
def healthz(request: Request[Any, Any, State]) -> dict[str, str]:
    """The process lives."""
    request.scope["vallum"].route = "/healthz"  # type: ignore[typeddict-item]
    return {"status": "alive"}


@get("/readyz", sync_to_thread=True)
def readyz(request: Request[Any, Any, State], state: State) -> Response[dict[str, str]]:
    """The databases answer, and policy and users are known, so that calls can be answered."""
    request.scope["vallum"].route = "/readyz"  # type: ignore[typeddict-item]
    try:
        state.service.application.database.rows("SELECT 1")
        state.service.sessions.ready()
    except ConnectionFailed:
        return Response({"status": "no database"}, status_code=HTTP_503_SERVICE_UNAVAILABLE)
    except RpcError:
        # They have changed, and could not be read since: no call is answered.
        return Response({"status": "no policy and users"}, status_code=HTTP_503_SERVICE_UNAVAILABLE)
    found = {"status": "ready"}
    if state.service.trail is not None and state.service.trail.is_kept:
        # Late is no reason to answer nobody: what waits is not lost.
        found["audit"] = state.service.trail.state()
    return Response(found, status_code=HTTP_200_OK)


@get("/web/version", sync_to_thread=False)
def version(request: Request[Any, Any, State], state: State) -> dict[str, Any]:
    """The version of Odoo that is spoken, as Odoo 19's clients ask for it."""
    request.scope["vallum"].route = "/web/version"  # type: ignore[typeddict-item]
    found = version_info(state.service)
    return {"version": found["server_version"], "version_info": found["server_version_info"]}


@head("/web", sync_to_thread=False)
def web() -> None:
    """Clients look whether this is an Odoo before they speak to it."""


@get("/robots.txt", sync_to_thread=False, media_type="text/plain")
def robots() -> str:
    """Nothing here is for search engines."""
    return "User-agent: *\nDisallow: /\n"


def _failed(request: Request[Any, Any, State], error: HTTPException) -> Response[dict[str, Any]]:
    """Litestar's own refusals: no such page, no such method."""
    name = type(error).__name__.removesuffix("Exception")
    return Response(
        {
            "error": {
                "code": error.status_code,
                "message": name,
                "data": {
                    "name": f"werkzeug.exceptions.{name}",
                    "message": name,
                    "arguments": [name],
                    "context": {},
                    "debug": "",
                },
            }
        },
        status_code=error.status_code,
    )


def pages(service: Service, settings: Settings) -> Litestar:
    """The application of the pages: the console, and what needs no sign-in."""
    from vallum.server.console.mounting import console_handlers

    return Litestar(
        route_handlers=[healthz, readyz, version, web, robots, *console_handlers(service, settings)],
        exception_handlers={HTTPException: _failed},
        state=State({"service": service}),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
