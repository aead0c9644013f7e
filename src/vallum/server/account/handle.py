"""From a path to a page, and from an error to what a person can do about it.

Every path is in one table: what is not there is not served. A page that changes something is a POST, and
reads its form by `Page.form` or `Page.json`, which refuse what comes from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import psycopg

from vallum.identity.errors import FactorRefused, FreshSignInNeeded, LinkRefused, NotPermitted, UnknownAccount
from vallum.identity.passwords import Busy
from vallum.identity.passwords.engine import HashingFailed
from vallum.kernel import ConnectionFailed, VallumError
from vallum.server.account import (
    administration,
    confirming,
    given,
    keys,
    recovering,
    requests,
    security,
    signing,
)
from vallum.server.account.again import Again
from vallum.server.account.web import Forged, Page, SignInFirst
from vallum.server.http import Request, Response

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["PAGES", "handle"]

View = Callable[[Page, int], Response]
PAGES: Final[dict[tuple[str, str], View]] = {
    **signing.PAGES,
    **confirming.PAGES,
    **recovering.PAGES,
    **security.PAGES,
    **keys.PAGES,
    **requests.PAGES,
    **administration.PAGES,
    **given.PAGES,
}
_NUMBER: Final = re.compile(r"/([1-9][0-9]{0,17})(?=/|$)")
_STATUS: Final[dict[type[VallumError], HTTPStatus]] = {
    Forged: HTTPStatus.FORBIDDEN,
    NotPermitted: HTTPStatus.FORBIDDEN,
    UnknownAccount: HTTPStatus.NOT_FOUND,
    LinkRefused: HTTPStatus.GONE,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    HashingFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    ConnectionFailed: HTTPStatus.SERVICE_UNAVAILABLE,
}


def handle(service: Service, request: Request) -> Response:
    """The answer to a request for a page."""
    if service.people is None:
        return Response(int(HTTPStatus.NOT_FOUND))
    page = Page(service, service.people.identity, request)
    found = _NUMBER.search(request.path)
    path = _NUMBER.sub("/#", request.path, count=1).rstrip("/") or "/account"
    method = "GET" if request.method == "HEAD" else request.method
    view = PAGES.get((method, path))
    if view is None:
        status = HTTPStatus.METHOD_NOT_ALLOWED if _is_known(path) else HTTPStatus.NOT_FOUND
        return page.show("message.html", status=status, title="There is nothing here", text="", fix=None)
    try:
        _check_address(service, page)
        return view(page, int(found[1]) if found else 0)
    except VallumError as error:
        return _refused(page, error)
    except (psycopg.DataError, UnicodeError):
        # A text that PostgreSQL cannot hold: whoever sends one is no reader of our pages.
        return _refused(page, Forged("this holds characters that cannot be kept"))


def _check_address(service: Service, page: Page) -> None:
    """A session that is carried to where its account may not be used is none there.

    Raises: NotPermitted.
    """
    session, address = page.session, page.request.client.address
    if session is not None and not service.admits_account(session.account_id, address):
        page.session = None
        page.end()
        raise NotPermitted("this account may not be used from this address")


def _refused(page: Page, error: VallumError) -> Response:
    scripted = "x-form" in page.request.headers
    posted = page.request.method == "POST"
    if isinstance(error, SignInFirst) and not scripted:
        return _session_ended(page) if posted else page.go(_sign_in(page))
    if isinstance(error, FreshSignInNeeded) and not scripted:
        if not posted:
            return page.go(f"/account/confirm?next={page.quoted(page.address)}")
        again = Again.of(page.path, page.form())
        return confirming.confirming(page, "", again=again, status=HTTPStatus.UNAUTHORIZED)
    status = _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
    if scripted:
        return page.data({"error": error.as_dict()}, status=status)
    # What else could be read from an error of the database is for the log.
    shown = error if not isinstance(error, ConnectionFailed) else ConnectionFailed("try again in a moment")
    if isinstance(error, FactorRefused) and page.session is None:
        return page.show("factor.html", status=status, error=error, choices=("totp", "passkey"), next="")
    return page.show("message.html", status=status, title="This was not done", text=shown.what, fix=shown.fix)


def _sign_in(page: Page) -> str:
    return f"/account/sign-in?next={page.quoted(page.address)}"


def _session_ended(page: Page) -> Response:
    """What was typed stays in the tab it was typed in, and waits there for somebody to come back."""
    return page.show("expired.html", status=HTTPStatus.UNAUTHORIZED, sign_in="/account/sign-in")


def _is_known(path: str) -> bool:
    return any(known == path for _, known in PAGES)
