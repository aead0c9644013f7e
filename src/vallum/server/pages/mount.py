"""Mount pages into Litestar: requests become visits, answers become responses, errors become pages.

The one place here that knows the web framework. Handlers are synchronous and run in threads.
Invariant: no handler runs for somebody who is not signed in, for whom the page is not meant, or for a
POST without the session's token. Whoever gives `viewer_of` decides who is signed in.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Generic, TypeAlias

import msgspec
from litestar import Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.handlers import HTTPRouteHandler
from litestar.response import ServerSentEvent, ServerSentEventMessage

from vallum.kernel import AccessDenied, InvalidValue, VallumError
from vallum.server.pages import csrf
from vallum.server.pages.answers import (
    Answer,
    Download,
    NotFound,
    NotYours,
    Page,
    Query,
    Redirect,
    Site,
    Stale,
    Stream,
    Visit,
)
from vallum.server.pages.assets import ASSETS, assets
from vallum.server.pages.csp import PAGE_HEADERS
from vallum.server.pages.environment import render
from vallum.server.pages.failures import failure_of
from vallum.server.pages.frame import Frame
from vallum.server.pages.navigation import Entry, Navigation, Who
from vallum.server.pages.table import as_json
from vallum.server.pages.viewer import Viewer

__all__ = ["Handler", "Pages", "asset_handler"]

Handler: TypeAlias = Callable[[Visit[Any]], Answer]
AnyRequest: TypeAlias = Request[Any, Any, Any]
ViewerOf: TypeAlias = Callable[[AnyRequest], Viewer | None]
Refused: TypeAlias = Callable[[VallumError, Viewer, str], None]

SIGN_IN: Final = "/sign-in"
_LOG: Final = logging.getLogger("vallum.pages")
_MAX_FORM: Final = 2 * 1024 * 1024
_WHOM: Final[Mapping[Who, str]] = {
    "everyone": "everyone",
    "oversees": "administrators and auditors",
    "reviews": "administrators, auditors and approvers",
    "administrator": "administrators",
}


@dataclass(frozen=True, slots=True)
class _Route:
    path: str
    handler: Handler
    post: bool
    who: Who


class Pages(Generic[Site]):
    """A set of pages: registered by decorators, listed in the rail, mounted once.

    `site()` gives what handlers work on, anew for each request; `viewer_of` says who is signed in.
    """

    def __init__(self) -> None:
        self._routes: list[_Route] = []
        self._entries: list[Entry] = []

    def get(self, path: str, *, who: Who = "everyone") -> Callable[[Handler], Handler]:
        """Register a page that shows something."""
        return self._register(path, False, who)

    def post(self, path: str, *, who: Who = "everyone") -> Callable[[Handler], Handler]:
        """Register what a form does; its token is checked before."""
        return self._register(path, True, who)

    def entry(
        self, label: str, path: str, icon: str, *, section: str = "", key: str = "", who: Who = "everyone"
    ) -> None:
        """A line of the rail."""
        self._entries.append(Entry(label, path, icon, section, key, who))

    def add(self, entries: Iterable[Entry]) -> None:
        """Lines of the rail for pages that others answer."""
        self._entries.extend(entries)

    def include(self, other: Pages[Any]) -> None:
        """Take over another set's pages and entries."""
        self._routes.extend(other._routes)
        self._entries.extend(other._entries)

    def _register(self, path: str, posts: bool, who: Who) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            self._routes.append(_Route(path, handler, posts, who))
            return handler

        return keep

    def handlers(
        self,
        site: Callable[[], Site],
        viewer_of: ViewerOf,
        frame: Frame | None = None,
        refused: Refused | None = None,
    ) -> list[HTTPRouteHandler]:
        """The route handlers of all pages, for Litestar. `refused` hears of what viewers are refused."""
        mounted = _Mounted(site, viewer_of, frame or self.frame(sign_in=SIGN_IN), refused)
        return [mounted.route(route) for route in self._routes]

    def frame(self, *, sign_in: str, account: str = "", sign_out: str = "") -> Frame:
        """What stands around these pages, and around others that are served with them."""
        return Frame(
            navigation=Navigation(self._entries),
            paths=frozenset(route.path for route in self._routes if not route.post),
            sign_in=sign_in,
            account=account,
            sign_out=sign_out,
        )


@dataclass(frozen=True, slots=True)
class _Mounted(Generic[Site]):
    """Pages at work."""

    site: Callable[[], Site]
    viewer_of: ViewerOf
    frame: Frame
    refused: Refused | None = None

    def route(self, route: _Route) -> HTTPRouteHandler:
        """The route handler of one page."""

        async def run(request: AnyRequest) -> Response[Any]:
            body = await _body(request) if route.post else b""
            return await sync_to_thread(self.respond, route, request, body)

        decorator = post if route.post else get
        return decorator(route.path, status_code=200, include_in_schema=False)(run)

    def respond(self, route: _Route, request: AnyRequest, body: bytes) -> Response[Any]:
        """The response to a request; never raises."""
        viewer: Viewer | None = None
        exchange: Any = request.scope.get("vallum")
        if exchange is not None:
            exchange.route = route.path
        path = request.url.path
        partial = request.headers.get("hx-request") == "true"
        try:
            viewer = self.viewer_of(request)
            if viewer is None:
                return self._sign_in(request, route.post, partial)
            visit = self._visit(route, request, viewer, body, partial)
            return self._response(route.handler(visit), visit, request)
        except Exception as error:
            if not isinstance(error, VallumError):
                _LOG.exception("a page failed", extra={"path": path})
            elif viewer is not None and self.refused is not None and error.code == AccessDenied.code:
                self.refused(error, viewer, path)
            return self._failed(error, viewer, path, request, partial)

    def _visit(
        self, route: _Route, request: AnyRequest, viewer: Viewer, body: bytes, partial: bool
    ) -> Visit[Site]:
        if not Entry("", "", "", who=route.who).open_to(viewer):
            raise NotYours(f"this page is for {_WHOM[route.who]}", fix="ask an administrator")
        form = _form(request, viewer, body) if route.post else Query()
        return Visit(
            site=self.site(),
            viewer=viewer,
            path=request.url.path,
            query=Query.parse(request.url.query),
            form=form,
            parts={name: str(value) for name, value in request.path_params.items()},
            cookies={n: v for n, v in request.cookies.items() if n.startswith("columns-")},
            post=route.post,
            partial=partial,
            target=request.headers.get("hx-target", ""),
        )

    def _response(self, answer: Answer, visit: Visit[Site], request: AnyRequest) -> Response[Any]:
        match answer:
            case Page(template, values, part, status):
                wanted = part if visit.partial and part else template
                values = {"visit": visit, "query": visit.query, **values}
                return self._html(wanted, visit.viewer, visit.path, int(status), values, request)
            case Redirect(to):
                headers = {"hx-redirect": to} if visit.partial else {"location": to}
                status_code = HTTPStatus.OK if visit.partial else HTTPStatus.SEE_OTHER
                return _sent(b"", "text/html", int(status_code), request, headers)
            case Download(content, media_type, name):
                headers = {}
                if name is not None:
                    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
                    headers["content-disposition"] = f'attachment; filename="{safe}"'
                return _sent(content, media_type, 200, request, headers)
            case Stream(events):
                return ServerSentEvent(_told(events), headers=dict(PAGE_HEADERS))

    def _html(
        self,
        template: str,
        viewer: Viewer | None,
        path: str,
        status: int,
        values: Mapping[str, Any],
        request: AnyRequest,
    ) -> Response[Any]:
        text = render(template, values, **self.frame.values(viewer, path))
        return _sent(text.encode(), "text/html", status, request, {"vary": "hx-request"})

    def _sign_in(self, request: AnyRequest, posted: bool, partial: bool) -> Response[Any]:
        """Nobody is signed in. Where a form was sent, what was typed stays in the tab it was typed in."""
        path = request.url.path
        address = f"{path}?{request.url.query}" if request.url.query else path
        to = f"{self.frame.sign_in}?{Query().but(next=address)}"
        if posted:
            values = {"sign_in": self.frame.sign_in, "status": 401}
            return self._html("expired.html", None, path, HTTPStatus.UNAUTHORIZED, values, request)
        headers = {"hx-redirect": to} if partial else {"location": to}
        status = HTTPStatus.UNAUTHORIZED if partial else HTTPStatus.SEE_OTHER
        return _sent(b"", "text/html", int(status), request, headers)

    def _failed(
        self, error: Exception, viewer: Viewer | None, path: str, request: AnyRequest, partial: bool
    ) -> Response[Any]:
        failure = failure_of(error, viewer.request_id if viewer else "")
        if request.query_params.get("format") in ("json", "csv"):
            told = {"code": failure.code, "what": failure.what, "fix": failure.fix}
            return _sent(as_json(told), "application/json", failure.status, request, {})
        template = "error_part.html" if partial else "error.html"
        return self._html(template, viewer, path, failure.status, {"failure": failure}, request)


async def _body(request: AnyRequest) -> bytes:
    """The body, as the server's stack has read it; where there is none around, read here."""
    exchange: Any = request.scope.get("vallum")
    return bytes(exchange.body) if exchange is not None else await request.body()


def _form(request: AnyRequest, viewer: Viewer, body: bytes) -> Query:
    """The fields of a form that the viewer's own page sent.

    Raises: Stale, InvalidValue.
    """
    if len(body) > _MAX_FORM:
        raise InvalidValue("the form is too large", fix="send less at once")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidValue("this is no form", fix="use the page's own form")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Stale("the form was sent from another site", fix="use the page's own form")
    try:
        form = Query.parse(body.decode())
    except UnicodeDecodeError:
        raise InvalidValue("the form is no UTF-8 text") from None
    if not csrf.matches(viewer.csrf, form.text(csrf.FIELD) or str(request.headers.get(csrf.HEADER, ""))):
        raise Stale(
            "the form belongs to another session", fix="go back, reload the page and send it once more"
        )
    return form


def _sent(
    content: bytes, media_type: str, status: int, request: AnyRequest, headers: Mapping[str, str]
) -> Response[Any]:
    """A response with the headers of pages, compressed where that is of use."""
    sent = {**dict(PAGE_HEADERS), **headers}
    if len(content) > 800 and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 5, mtime=0)
        sent["content-encoding"] = "gzip"
        sent["vary"] = ", ".join(filter(None, (sent.get("vary"), "accept-encoding")))
    return Response(content, media_type=media_type, status_code=status, headers=sent)


async def _told(events: Callable[[], Iterator[tuple[str, Mapping[str, Any]]]]) -> AsyncIterator[Any]:
    """Events from a synchronous source; an error is one more of them."""
    source = events()
    while True:
        found: tuple[str, Mapping[str, Any]] | None
        try:
            found = await sync_to_thread(_next, source)
        except Exception as error:
            if not isinstance(error, VallumError):
                _LOG.exception("long work failed")
            failure = failure_of(error)
            found = ("failed", {"title": failure.title, "text": f"{failure.what} {failure.fix or ''}"})
            source = iter(())
        if found is None:
            return
        kind, data = found
        yield ServerSentEventMessage(event=kind, data=msgspec.json.encode(data).decode())


def _next(source: Iterator[tuple[str, Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]] | None:
    return next(source, None)


def asset_handler() -> HTTPRouteHandler:
    """The route handler of the assets; their names change with their content, so they are kept for good."""

    @get(ASSETS + "{name:str}", include_in_schema=False, sync_to_thread=False)
    def asset(request: AnyRequest) -> Response[bytes]:
        found = assets().get(str(request.path_params["name"]))
        if found is None:
            return Response(b"", status_code=404, media_type="text/plain")
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
            "vary": "accept-encoding",
        }
        content = found.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["content-encoding"] = found.compressed, "gzip"
        return Response(content, media_type=found.media_type, headers=headers)

    return asset


def not_found(path: str) -> NotFound:
    """The error for an address without a page."""
    return NotFound(f"there is no page `{path}`", fix="look for it by name")
