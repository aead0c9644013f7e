"""The pages of signing in elsewhere: there and back.

    GET  /sso/ID/start         to the provider, or to the form of a directory
    POST /sso/ID/password      a directory's login and password
    POST /sso/ID/confirm       whoever is signed in proves to be there still
    GET  /sso/ID/callback      back from OpenID Connect
    POST /sso/ID/acs           back from SAML
    GET  /sso/ID/metadata      ours, for a provider of SAML
    POST /sso/ID/back-channel  a provider of OpenID Connect says that somebody signed out there
    GET  /sso/ID/sign-out      somebody signed out here: to the provider
    GET, POST /sso/ID/logout   the same, said by a provider of SAML, or its answer to ours
Where somebody comes back from another site, strict cookies stay away for one step: so the answer is a page of
ours that goes on by itself, and what is to be known on the way back is kept in a cookie of its own.
Invariant: a session is opened by `identity.sign_in` alone, with second factors and whatever else it asks for.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from vallum.identity.sso import state
from vallum.identity.sso.errors import (
    ASK,
    NoSuchProvider,
    ProviderMisconfigured,
    ProviderUnavailable,
    SignInRefused,
)
from vallum.identity.sso.providers import LdapProvider, OidcProvider, SamlProvider
from vallum.kernel import ConnectionFailed, SettingsError, VallumError
from vallum.server.account.web import local_path
from vallum.server.http import Request, Response, json_response
from vallum.server.limits import Rate
from vallum.server.signin import network_of
from vallum.server.sso import directory, leaving
from vallum.server.sso.confirming import confirm
from vallum.server.sso.visit import Sso

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["handle"]

_FOR_ALL: Final = 20
_PATH: Final = re.compile(r"/sso/([a-z][a-z0-9-]{0,39})/([a-z-]+)")


def start(sso: Sso) -> Response:
    """To the provider, or to the form."""
    provider = sso.provider()
    back = local_path(sso.page.query.get("next", ""))
    if isinstance(provider, OidcProvider):
        redirect = sso.on.oidc.begin(sso.id, return_to=back, browser=sso.browser)
        sso.remember(redirect.browser, "Lax")
        return sso.away(redirect.url)
    if isinstance(provider, SamlProvider):
        sent = sso.on.saml.begin(sso.id, return_to=back, browser=sso.browser)
        sso.remember(sent.browser, "None")
        if sent.message.fields is None:
            return sso.away(sent.message.url)
        return sso.carried(sent.message, f"Go on to {provider.label}")
    if isinstance(provider, LdapProvider):
        return directory.form(sso, provider, back)
    raise NoSuchProvider("nobody signs in by this directory")


def callback(sso: Sso) -> Response:
    """Back from OpenID Connect."""
    sso.forget("Lax")
    query = parse_qsl(sso.request.query, keep_blank_values=True, max_num_fields=20)
    return sso.go_on(sso.enter(sso.on.oidc.complete(sso.id, query, sso.browser)))


def acs(sso: Sso) -> Response:
    """Back from SAML."""
    sso.forget("None")
    form = parse_qsl(sso.request.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return sso.go_on(sso.enter(sso.on.saml.complete(sso.id, form, sso.browser)))


def metadata(sso: Sso) -> Response:
    """Ours."""
    return Response(200, sso.on.saml.metadata(sso.id), "application/samlmetadata+xml")


def back_channel(sso: Sso) -> Response:
    """Somebody signed out at the provider."""
    fields = dict(parse_qsl(sso.request.body.decode("utf-8", "replace"), max_num_fields=20))
    try:
        ended = sso.on.oidc.back_channel(sso.id, fields.get("logout_token", ""))
    except VallumError as error:
        sso.on.refusals.tell(error, sso.request.client, sso.id)
        return json_response({"error": "invalid_request", "error_description": error.what}, status=400)
    return json_response({}, note={"sessions_ended": ended})


_VIEWS: Final[dict[tuple[str, str], Callable[[Sso], Response]]] = {
    ("GET", "start"): start,
    ("POST", "password"): directory.password,
    ("POST", "confirm"): confirm,
    ("GET", "callback"): callback,
    ("POST", "acs"): acs,
    ("GET", "metadata"): metadata,
    ("POST", "back-channel"): back_channel,
    ("GET", "sign-out"): leaving.sign_out,
    ("GET", "logout"): leaving.logout,
    ("POST", "logout"): leaving.logout,
}


def handle(service: Service, request: Request) -> Response:
    """The answer to somebody who signs in elsewhere."""
    found = _PATH.fullmatch(request.path)
    view = _VIEWS.get((request.method, found[2])) if found else None
    if service.people is None or found is None or view is None:
        return Response(int(HTTPStatus.NOT_FOUND))
    sso = Sso(service, service.people.sign_on, request, found[1])
    try:
        wait = _wait(service, request, found[2])
        return view(sso) if wait is None else _later(sso, wait)
    except VallumError as error:
        return _refused(sso, error)
    except ValueError:
        return _refused(sso, SignInRefused("the answer cannot be read", reason="form"))


def _wait(service: Service, request: Request, step: str) -> float | None:
    """How long until this address may take this step again; None: it may now.

    Each kind of step has a limit of its own: whoever only begins, and begins, keeps nobody from coming back.
    What a provider itself sends comes from one address for everybody.
    """
    rate = service.sso_rate
    if step == "back-channel":
        rate = Rate(rate.per_minute * _FOR_ALL, rate.burst * _FOR_ALL)
    return service.counters.take((f"sso:{step}:{network_of(request.client.address)}", rate))


def _later(sso: Sso, wait: float) -> Response:
    shown = sso.page.show(
        "message.html",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        title="Not so fast",
        text="There were too many attempts to sign in from your address.",
        fix="Wait a minute, then try again.",
    )
    return replace(shown, headers={**shown.headers, "retry-after": str(math.ceil(wait))})


def _refused(sso: Sso, error: VallumError) -> Response:
    reason = getattr(error, "reason", error.code)
    sso.on.refusals.tell(error, sso.request.client, sso.id)
    _remember(sso, error)
    status = HTTPStatus.FORBIDDEN
    if isinstance(error, NoSuchProvider):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, ProviderUnavailable | ConnectionFailed):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    shown: VallumError = error
    if isinstance(error, ConnectionFailed):
        shown = ConnectionFailed("try again in a moment")
    elif isinstance(error, SettingsError | ProviderMisconfigured):
        # What is wrong with keys, secrets and providers is nobody's business who only wants to sign in.
        shown = ProviderMisconfigured("this server is not set up to sign you in there", fix=ASK)
    title = "You are not signed in"
    if sso.page.session is not None or reason == "other-account":
        title = "It was not confirmed that it is you"
    # By the reference an administrator finds in the trail what was behind it.
    return sso.page.show(
        "message.html",
        status=status,
        title=title,
        text=shown.what,
        fix=shown.fix,
        reference=sso.request.client.request_id,
    )


def _remember(sso: Sso, error: VallumError) -> None:
    """For whoever looks after the provider."""
    if isinstance(error, ConnectionFailed):
        return
    with contextlib.suppress(ConnectionFailed), sso.on.store.transaction() as tx:
        state.failed(tx, sso.id, error, sso.page.now)
