"""The console in a small application of its own, served by the real server on a port of its own.

Whoever is named by the cookie `who` is signed in: these tests are about pages, not about signing in.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from time import monotonic, sleep
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar, Request, Response, get, post

from vallum import Vallum
from vallum.facade.audit import Audit
from vallum.kernel import UnknownUser
from vallum.server.console import Event, Site, console_pages
from vallum.server.pages import Viewer, asset_handler

__all__ = ["Console", "console_app", "serving"]


@dataclass
class Console:
    """A console that is served. `events`: what it told the trail; `ended`: sessions that are over."""

    address: str
    vallum: Vallum
    events: list[Event] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)


def console_app(
    vallum: Vallum,
    *,
    administrators: Sequence[str] = ("admin",),
    auditors: Sequence[str] = (),
    approvers: Sequence[str] | None = None,
    writable: bool = False,
    odoo: bool = False,
    audit: Audit | None = None,
    console: Console | None = None,
) -> Litestar:
    """The application: the pages, the assets, and a collector of what browsers report."""
    events = console.events if console else []
    reports = console.reports if console else []

    def viewer_of(request: Request[Any, Any, Any]) -> Viewer | None:
        login = request.cookies.get("who")
        try:
            user = vallum.users.find(login) if login else None
        except UnknownUser:
            return None
        if user is None:
            return None
        return Viewer(
            user_id=user.id,
            login=user.login,
            name=user.name or user.login,
            csrf=f"token of {user.login}",
            administrator=user.login in administrators,
            auditor=user.login in auditors,
            approver=user.login in (administrators if approvers is None else approvers),
            lang=user.lang,
            tz=user.tz,
        )

    def site() -> Site:
        return Site(vallum=vallum, record=events.append, writable=writable, odoo=odoo, audit=audit)

    @post("/csp-reports", status_code=204)
    async def reported(request: Request[Any, Any, Any]) -> None:
        reports.append((await request.body()).decode())

    @get("/sign-in", sync_to_thread=False)
    def sign_in() -> Response[str]:
        return Response(
            "<!doctype html><html lang=en><title>Sign in</title><h1>Sign in</h1>", media_type="text/html"
        )

    handlers = console_pages(audit=audit is not None).handlers(site, viewer_of)
    return Litestar([*handlers, asset_handler(), reported, sign_in], openapi_config=None, logging_config=None)


@contextmanager
def serving(vallum: Vallum, **options: Any) -> Iterator[Console]:
    """The console behind a real HTTP server on the loopback, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    console = Console(f"http://127.0.0.1:{port}", vallum)
    app = console_app(vallum, console=console, **options)
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), daemon=True)
    thread.start()
    try:
        _wait_for(port)
        yield console
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(timeout=30)
        loop.close()


def _wait_for(port: int) -> None:
    until = monotonic() + 30
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/sign-in")
            connection.getresponse().read()
            return
        except OSError:
            if monotonic() > until:
                raise
            sleep(0.05)
        finally:
            connection.close()
