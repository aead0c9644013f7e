"""What every page works with: the request, who asks, forms that cannot be forged, and how to answer.

Invariant: a form is taken only from this very origin (`Sec-Fetch-Site`, or `Origin`), and only with the tag
that belongs to the browser's own cookie; so nobody is signed in, or made to act, from elsewhere.
Invariant: where a page sends somebody on, it is a path of this server.
Source: OWASP ASVS 5.0 V3.3, V3.4, V3.5
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

import msgspec

from vallum.identity import Account, Identity
from vallum.identity.cookies import cleared, device_cookie, read, session_cookie, step_cookie
from vallum.identity.errors import NotPermitted
from vallum.identity.sessions import Session
from vallum.identity.sso.providers import Provider, ScimProvider
from vallum.identity.sso.store import is_ready, sound_providers
from vallum.identity.tokens import new_token
from vallum.kernel import VallumError
from vallum.server.http import Request, Response, json_response
from vallum.server.pages import PAGE_HEADERS, Download, Query, Viewer, Visit, csrf, render
from vallum.server.viewers import viewer_for

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["Forged", "Page", "SignInFirst", "local_path"]

HTML: Final = "text/html; charset=utf-8"
_FORM: Final = "__Host-vallum-form"
_MOST_FIELDS: Final = 50


class Forged(VallumError):
    """A form that did not come from one of our own pages."""

    code = "forged"


class SignInFirst(VallumError):
    """A page for those who are signed in."""

    code = "sign-in-first"


def local_path(text: str, default: str = "/account/security") -> str:
    """The path to go on to, where it is one of this server; otherwise the default.

    >>> local_path("//evil.example"), local_path("/account/users")
    ('/account/security', '/account/users')
    """
    sound = re.fullmatch(r"/(?![/\\])[A-Za-z0-9_\-./?=&%]*", text) is not None
    return text if sound and "\\" not in text and "//" not in text.partition("?")[0] else default


class Page:
    """A request for a page, and what is known of who asks."""

    def __init__(self, service: Service, identity: Identity, request: Request) -> None:
        self.service = service
        self.identity = identity
        self.request = request
        self.now: datetime = identity.base.now()
        self.cookies = read(request.headers.get("cookie", ""))
        self.path = request.path
        self._form = request.cookie(_FORM) or ""
        self.set_cookies: list[str] = []
        self.session: Session | None = (
            identity.sign_in.session(self.cookies.session) if self.cookies.session else None
        )

    @cached_property
    def account(self) -> Account:
        """Who is signed in.

        Raises: SignInFirst.
        """
        if self.session is None:
            raise SignInFirst("sign in first")
        return self.identity.base.accounts.get(self.session.account_id)

    @property
    def token(self) -> str:
        """The session's token; of somebody who is signed in."""
        return self.cookies.session or ""

    @cached_property
    def viewer(self) -> Viewer | None:
        """Who is signed in, as pages know them; nobody while somebody is on the way in."""
        if self.session is None:
            return None
        client = self.request.client
        return viewer_for(
            self.identity,
            self.service,
            self.session,
            self.token,
            address=client.address,
            request_id=client.request_id,
        )

    @property
    def visit(self) -> Visit[None]:
        """What is asked for, as tables want it; of somebody who is signed in."""
        if self.viewer is None:
            raise SignInFirst("sign in first")
        return Visit(site=None, viewer=self.viewer, path=self.path, query=Query.parse(self.request.query))

    @property
    def address(self) -> str:
        """This page's own address, with what stands behind the question mark."""
        return f"{self.path}?{self.request.query}" if self.request.query else self.path

    def require_fresh(self) -> None:
        """Raises: SignInFirst, FreshSignInNeeded."""
        if self.session is None:
            raise SignInFirst("sign in first")
        self.identity.base.sessions.require_fresh(self.session, self.now)

    def require_administrator(self) -> Account:
        """Who is signed in, as an administrator.

        Raises: SignInFirst, NotPermitted.
        """
        account = self.account
        if not self.identity.is_administrator(account):
            raise NotPermitted("this page is for administrators")
        return account

    def providers(self) -> list[Provider]:
        """Where people can sign in elsewhere."""
        with self.identity.base.store.transaction() as tx:
            found = sound_providers(tx) if is_ready(tx) else []
        return [one for one in found if one.enabled and not isinstance(one, ScimProvider)]

    # What was sent

    @property
    def query(self) -> Mapping[str, str]:
        """The part of the address behind the question mark."""
        return _single(self.request.query)

    def form(self) -> Mapping[str, str]:
        """The fields of a form of ours.

        Raises: Forged.
        """
        if not self.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Forged("this is no form")
        fields = _single(self.request.body.decode("utf-8", "replace"))
        self._check(fields.get("form", ""), fields.get(csrf.FIELD, ""))
        return fields

    def json(self) -> dict[str, Any]:
        """What a script of ours has sent.

        Raises: Forged.
        """
        self._check(self.request.headers.get("x-form", ""))
        try:
            return msgspec.json.decode(self.request.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Forged("this is no message of our pages") from None

    def _check(self, tag: str, disguised: str = "") -> None:
        site = self.request.headers.get("sec-fetch-site")
        origin = self.request.headers.get("origin")
        # Older browsers send no Sec-Fetch-Site; a request with neither is no browser's form.
        own = site == "same-origin" if site is not None else origin == self.identity.base.settings.origin
        if origin is not None and origin not in (self.identity.base.settings.origin, self._own_origin()):
            own = False
        if not own or not (self._is_browsers(tag) or self._is_sessions(disguised)):
            raise Forged("this form was not made for you: open the page again", fix="go back and try again")

    def _is_browsers(self, tag: str) -> bool:
        return bool(self._form) and hmac.compare_digest(tag.encode(), self._tag().encode())

    def _is_sessions(self, disguised: str) -> bool:
        """Whether a form was made by a page of the console, for the session that sends it."""
        return bool(disguised) and self.viewer is not None and csrf.matches(self.viewer.csrf, disguised)

    def _own_origin(self) -> str:
        scheme = "https" if self.request.secure else "http"
        return f"{scheme}://{self.request.headers.get('host', '')}"

    def _tag(self) -> str:
        return self.identity.base.keyring.tag("form", self._form)

    # What is answered

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page."""
        if not self._form:
            self._form = new_token()
            self.set_cookies.append(f"{_FORM}={self._form}; Path=/; Secure; HttpOnly; SameSite=Strict")
        around = {
            **self.service.frame.values(self.viewer, self.path),
            "form": self._tag(),
            "name": self.identity.base.settings.name,
            "error": None,
            "again": None,
            **({"visit": self.visit} if self.viewer else {}),
        }
        return self._answer(Response(int(status), render(template, {**around, **values}).encode(), HTML))

    def file(self, made: Download) -> Response:
        """A table as a file, or for a program."""
        headers = {"content-disposition": f'attachment; filename="{made.name}"'} if made.name else {}
        return self._answer(Response(200, made.content, f"{made.media_type}; charset=utf-8", headers))

    def go(self, path: str) -> Response:
        """Send somebody on, to a page of ours."""
        target = local_path(path)
        return self._answer(Response(int(HTTPStatus.SEE_OTHER), b"", HTML, {"location": target}))

    def data(self, content: Any, *, status: int = 200) -> Response:
        """An answer to a script of ours."""
        return self._answer(json_response(content, status=status))

    def _answer(self, response: Response) -> Response:
        # `same-origin` for referrers: otherwise browsers hide the origin of our own forms.
        headers = {**response.headers, **dict(PAGE_HEADERS)}
        note = {"user": self.session.user_id} if self.session is not None else {}
        return Response(
            response.status, response.body, response.content_type, headers, note, tuple(self.set_cookies)
        )

    # Cookies

    def begin(self, token: str, device: str | None) -> None:
        """The browser is signed in; what it was in the middle of is over."""
        days = self.identity.base.settings.lockout.device_days
        self.set_cookies += [session_cookie(token), cleared(step_cookie(""))]
        if device is not None:
            self.set_cookies.append(device_cookie(device, days=days))

    def wait(self, ticket: str) -> None:
        """The browser is in the middle of signing in."""
        self.set_cookies.append(step_cookie(ticket))

    def end(self) -> None:
        """The browser is signed out."""
        self.set_cookies.append(cleared(session_cookie("")))

    @staticmethod
    def quoted(text: str) -> str:
        """A text within an address."""
        return quote(text, safe="")


def _single(text: str) -> dict[str, str]:
    """Fields that are there once; of those there twice, none."""
    try:
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}
