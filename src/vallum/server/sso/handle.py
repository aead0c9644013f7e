"""The pages of signing in elsewhere: there and back.

    GET  /sso/ID/start         to the provider, or to the form of a directory
    POST /sso/ID/password      a directory's login and password
    GET  /sso/ID/callback      back from OpenID Connect
    POST /sso/ID/acs           back from SAML
    GET  /sso/ID/metadata      ours, for a provider of SAML
    POST /sso/ID/back-channel  a provider says that somebody signed out there
Where somebody comes back from another site, strict cookies stay away for one step: so the answer is a page of
ours that goes on by itself, and what is to be known on the way back is kept in a cookie of its own.
Invariant: a session is opened by `identity.sign_in` alone, with second factors and whatever else it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from vallum.identity.accounts import login_key
from vallum.identity.attempts import password_counters
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider, ProviderUnavailable, SignInRefused
from vallum.identity.sso.join import SignedIn
from vallum.identity.sso.providers import LdapProvider, OidcProvider, Provider, SamlProvider
from vallum.kernel import ConnectionFailed, VallumError
from vallum.server.account.signing import answer_to
from vallum.server.account.web import Page, local_path
from vallum.server.http import Request, Response, json_response

if TYPE_CHECKING:
    from vallum.server.service import Service
    from vallum.server.sso.parts import SignOn

__all__ = ["handle"]

COOKIE: Final = "__Host-vallum-sso"
_PATH: Final = re.compile(r"/sso/([a-z][a-z0-9-]{0,39})/([a-z-]+)")
_MFA: Final = ("mfa", "multipleauthn", "multifactor", "TimeSyncToken")
_LIFETIME: Final = 600


class _Sso:
    """One request of somebody who signs in elsewhere."""

    def __init__(self, service: Service, on: SignOn, request: Request, provider_id: str) -> None:
        self.on = on
        self.request = request
        self.id = provider_id
        self.page = Page(service, on.identity, request)
        browser, _, device = (request.cookie(COOKIE) or "").partition(".")
        self.browser = browser or None
        self.device = self.page.cookies.device or device or None

    def provider(self) -> Provider:
        """Raises: NoSuchProvider."""
        with self.on.store.transaction() as tx:
            return links.provider(tx, self.id)

    def remember(self, browser: str, site: str) -> None:
        """Bind the sign-in to the browser, and keep by which device it is known."""
        value = f"{browser}.{self.page.cookies.device or ''}"
        self.page.set_cookies.append(
            f"{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite={site}; Max-Age={_LIFETIME}"
        )

    def forget(self, site: str) -> None:
        """The sign-in is over."""
        self.page.set_cookies.append(f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite={site}; Max-Age=0")

    def enter(self, signed: SignedIn) -> Response:
        """What follows from a provider's word."""
        methods = ["mfa"] if any(name in said for said in signed.identity.methods for name in _MFA) else []
        outcome = self.on.identity.sign_in.external(
            self.on.identity.base.accounts.get(signed.account.id),
            self.request.client,
            provider=signed.provider_id,
            methods=["sso", *methods],
            provider_session=signed.identity.sid,
            device=self.device,
            replaces=self.page.cookies.session,
        )
        target = signed.return_to if signed.return_to != "/" else "/account/security"
        return answer_to(self.page, outcome, target)

    def go_on(self, answer: Response) -> Response:
        """By a page of ours, so that the next step is one from here."""
        return self.page.show("sso_continue.html", target=local_path(answer.headers.get("location", "")))


def start(sso: _Sso) -> Response:
    """To the provider, or to the form."""
    provider = sso.provider()
    back = local_path(sso.page.query.get("next", ""))
    if isinstance(provider, OidcProvider):
        redirect = sso.on.oidc.begin(sso.id, return_to=back, browser=sso.browser)
        sso.remember(redirect.browser, "Lax")
        return _away(sso, redirect.url)
    if isinstance(provider, SamlProvider):
        sent = sso.on.saml.begin(sso.id, return_to=back, browser=sso.browser)
        sso.remember(sent.browser, "None")
        if sent.message.fields is None:
            return _away(sso, sent.message.url)
        parts = urlsplit(sent.message.url)
        shown = sso.page.show(
            "sso_post.html", url=sent.message.url, fields=sent.message.fields, label=provider.label
        )
        return _allowing(shown, f"{parts.scheme}://{parts.netloc}")
    if isinstance(provider, LdapProvider):
        return _form(sso, provider, back)
    raise NoSuchProvider("nobody signs in by this directory")


def password(sso: _Sso) -> Response:
    """A directory's login and password; counted as any other."""
    form, base = sso.page.form(), sso.on.identity.base
    login, back = form.get("login", "")[:255], local_path(form.get("next", ""))
    provider = sso.provider()
    if not isinstance(provider, LdapProvider):
        raise NoSuchProvider("nobody signs in by password here")
    account = base.accounts.by_login(login)
    known = base.devices.known(sso.page.cookies.device, account.id if account else 0, sso.page.now)
    counters = password_counters(base.settings.lockout, login_key(login), sso.request.client.address, known)
    reservation = base.attempts.reserve("password", counters, sso.page.now)
    if not reservation.is_open:
        error = SignInRefused(
            "there were too many attempts", reason="locked", fix="wait a quarter of an hour"
        )
        return _form(sso, provider, back, error, login)
    try:
        signed = sso.on.ldap.sign_in(sso.id, login, form.get("password", ""), return_to=back)
    except SignInRefused as error:
        base.record("sso.refused", account, client=sso.request.client, by=sso.id, reason=error.reason)
        return _form(sso, provider, back, error, login)
    except ProviderUnavailable:
        # Nobody has guessed anything.
        base.attempts.succeeded(reservation)
        raise
    base.attempts.succeeded(reservation)
    return sso.enter(signed)


def callback(sso: _Sso) -> Response:
    """Back from OpenID Connect."""
    sso.forget("Lax")
    query = parse_qsl(sso.request.query, keep_blank_values=True, max_num_fields=20)
    return sso.go_on(sso.enter(sso.on.oidc.complete(sso.id, query, sso.browser)))


def acs(sso: _Sso) -> Response:
    """Back from SAML."""
    sso.forget("None")
    form = parse_qsl(sso.request.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return sso.go_on(sso.enter(sso.on.saml.complete(sso.id, form, sso.browser)))


def metadata(sso: _Sso) -> Response:
    """Ours."""
    return Response(200, sso.on.saml.metadata(sso.id), "application/samlmetadata+xml")


def back_channel(sso: _Sso) -> Response:
    """Somebody signed out at the provider."""
    fields = dict(parse_qsl(sso.request.body.decode("utf-8", "replace"), max_num_fields=20))
    try:
        ended = sso.on.oidc.back_channel(sso.id, fields.get("logout_token", ""))
    except VallumError as error:
        return json_response({"error": "invalid_request", "error_description": error.what}, status=400)
    return json_response({}, note={"sessions_ended": ended})


_VIEWS: Final[dict[tuple[str, str], Callable[[_Sso], Response]]] = {
    ("GET", "start"): start,
    ("POST", "password"): password,
    ("GET", "callback"): callback,
    ("POST", "acs"): acs,
    ("GET", "metadata"): metadata,
    ("POST", "back-channel"): back_channel,
}


def handle(service: Service, request: Request) -> Response:
    """The answer to somebody who signs in elsewhere."""
    found = _PATH.fullmatch(request.path)
    view = _VIEWS.get((request.method, found[2])) if found else None
    if service.people is None or found is None or view is None:
        return Response(int(HTTPStatus.NOT_FOUND))
    sso = _Sso(service, service.people.sign_on, request, found[1])
    try:
        return view(sso)
    except VallumError as error:
        return _refused(sso, error)
    except ValueError:
        return _refused(sso, SignInRefused("the answer cannot be read", reason="form"))


def _refused(sso: _Sso, error: VallumError) -> Response:
    reason = getattr(error, "reason", error.code)
    sso.on.identity.base.record("sso.refused", None, client=sso.request.client, by=sso.id, reason=reason)
    status = HTTPStatus.FORBIDDEN
    if isinstance(error, NoSuchProvider):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, ProviderUnavailable | ConnectionFailed):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    shown = error if not isinstance(error, ConnectionFailed) else ConnectionFailed("try again in a moment")
    return sso.page.show(
        "message.html", status=status, title="You are not signed in", text=shown.what, fix=shown.fix
    )


def _form(
    sso: _Sso, provider: LdapProvider, back: str, error: VallumError | None = None, login: str = ""
) -> Response:
    status = HTTPStatus.OK if error is None else HTTPStatus.UNAUTHORIZED
    return sso.page.show(
        "sso_password.html", status=status, provider=provider, next=back, error=error, login=login
    )


def _away(sso: _Sso, url: str) -> Response:
    answer = sso.page.go("/")
    return Response(
        answer.status, b"", answer.content_type, {**answer.headers, "location": url}, {}, answer.cookies
    )


def _allowing(answer: Response, origin: str) -> Response:
    """Let the form of this one page be posted there."""
    headers = dict(answer.headers)
    policy = headers["content-security-policy"]
    headers["content-security-policy"] = policy.replace("form-action 'self'", f"form-action {origin}")
    return Response(answer.status, answer.body, answer.content_type, headers, answer.note, answer.cookies)
