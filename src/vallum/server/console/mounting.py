"""The console within the server: who is signed in, what is served, and where acts are recorded.

Trust: whoever controls the sessions of `vallum.identity` decides who a viewer is; nothing here does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from litestar import Request
from litestar.handlers import HTTPRouteHandler

from vallum.audit import Who
from vallum.facade import Vallum
from vallum.facade.audit import Audit
from vallum.identity.cookies import read
from vallum.kernel import Settings, VallumError
from vallum.server.account.entries import ENTRIES
from vallum.server.console import console_pages
from vallum.server.console.site import Event, Site
from vallum.server.console.warm import warm
from vallum.server.pages import Viewer, asset_handler
from vallum.server.viewers import viewer_for

if TYPE_CHECKING:
    from vallum.identity import Identity
    from vallum.server.service import Service
    from vallum.server.trail import ServerTrail

__all__ = ["console_handlers", "recorder", "trail_of"]

SIGN_IN: Final = "/account/sign-in"
SIGN_OUT: Final = "/account/sign-out"
ACCOUNT: Final = "/account/security"
_LOG: Final = logging.getLogger("vallum.server")
AnyRequest = Request[Any, Any, Any]


def console_handlers(service: Service, settings: Settings) -> list[HTTPRouteHandler]:
    """The route handlers of the console; none where nobody can sign in."""
    people = service.people
    if people is None:
        return []
    audit, trail = trail_of(settings), service.trail
    recording = recorder(trail)

    def site() -> Site:
        return Site(
            vallum=Vallum(service.application),
            record=recording,
            writable=service.writable,
            odoo=service.of_odoo,
            audit=audit,
            identity=people.identity,
            sso=people.sign_on,
        )

    viewer_of = viewer_in(people.identity, service)
    warm(site)
    pages = console_pages(audit=audit is not None, providers=True)
    pages.add(ENTRIES)
    # The pages of accounts are not mounted here, and stand in the same frame.
    service.frame = pages.frame(sign_in=SIGN_IN, account=ACCOUNT, sign_out=SIGN_OUT)
    handlers = pages.handlers(site, viewer_of, service.frame, _refusals(trail))
    return [*handlers, asset_handler()]


def trail_of(settings: Settings) -> Audit | None:
    """The trail, where this server is told of one."""
    if settings.audit_dir is None or settings.dsn is None:
        return None
    return Audit(settings.dsn, settings.audit_dir.absolute())


def recorder(trail: ServerTrail | None) -> Callable[[Event], None]:
    """Tell the log, and the trail where there is one: an act that cannot be recorded is not done."""

    def recorded(event: Event) -> None:
        _LOG.info("console", extra={"act": event.kind, "login": event.by})
        if trail is not None:
            trail.tell(event.kind, event.facts, Who(event.user_id, event.by, event.address, event.request_id))

    return recorded


def _refusals(trail: ServerTrail | None) -> Callable[[VallumError, Viewer, str], None]:
    """Tell the trail of what the console refuses."""

    from vallum.server.trail import readable

    def refused(error: VallumError, viewer: Viewer, path: str) -> None:
        if trail is not None:
            who = Who(viewer.user_id, viewer.login, viewer.address, viewer.request_id)
            trail.refused(error, {"path": readable(path)}, who, None)

    return refused


def viewer_in(identity: Identity, service: Service) -> Callable[[AnyRequest], Viewer | None]:
    """Who is signed in, by the session's cookie."""

    def viewer_of(request: AnyRequest) -> Viewer | None:
        token = read(request.headers.get("cookie", "")).session
        session = identity.sign_in.session(token) if token else None
        exchange: Any = request.scope.get("vallum")
        address = exchange.address if exchange is not None else ""
        if token is None or session is None or not service.admits_account(session.account_id, address):
            return None
        return viewer_for(
            identity,
            service,
            session,
            token,
            address=address,
            request_id=exchange.request_id if exchange is not None else "",
        )

    return viewer_of
