"""Signing out elsewhere: what follows a sign-out here, and what a provider of SAML says of one there.

Nothing here opens anything; and a session here has ended before the provider is told.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from vallum.identity.saml.message import Message
from vallum.identity.sso.errors import ProviderMisconfigured, ProviderUnavailable
from vallum.identity.sso.hints import take_hint
from vallum.identity.sso.pending import burn
from vallum.identity.sso.providers import OidcProvider, Provider
from vallum.kernel import SettingsError
from vallum.server.http import Response
from vallum.server.sso.visit import Sso

__all__ = ["logout", "sign_out"]

_HERE: Final = "You are signed out"


def sign_out(sso: Sso) -> Response:
    """To the provider, with what was kept for it; where that cannot be, it is said so."""
    sso.forget("Lax")
    provider = sso.provider()
    pending = burn(sso.on.store, sso.page.query.get("state"), sso.browser, sso.id, sso.page.now)
    with sso.on.store.transaction() as tx:
        hint = take_hint(
            tx,
            sso.on.identity.base.keyring,
            sso.id,
            pending.account_id or 0,
            pending.request,
            sso.page.now,
        )
    try:
        message = _message(sso, provider, hint)
    except (ProviderUnavailable, ProviderMisconfigured, SettingsError) as error:
        return _said(
            sso,
            f"Here, that is: {provider.label} could not be told. {error.what}.",
            fix=f"You may still be signed in at {provider.label}: sign out there as well.",
        )
    if message is None:
        return sso.page.go("/account/sign-in")
    return sso.carried(message, f"Sign out at {provider.label} as well")


def _message(sso: Sso, provider: Provider, hint: dict[str, Any]) -> Message | None:
    if isinstance(provider, OidcProvider):
        url = sso.on.oidc.logout_url(sso.id, hint)
        return Message(url) if url is not None else None
    return sso.on.saml_logout.begin(sso.id, hint)


def logout(sso: Sso) -> Response:
    """A provider of SAML says that somebody signed out, or answers to us."""
    content = sso.request.query
    if sso.request.method == "POST":
        content = sso.request.body.decode("utf-8", "replace")
    done = sso.on.saml_logout.receive(sso.id, sso.request.method, content)
    if done.answer is not None:
        return sso.carried(done.answer, "Go on signing out")
    if done.everywhere:
        return _said(sso, "You are signed out here and there.")
    return _said(
        sso,
        "Here, that is: the provider did not sign you out everywhere.",
        fix="Close the browser, or sign out there as well.",
    )


def _said(sso: Sso, text: str, fix: str | None = None) -> Response:
    return sso.page.show("message.html", status=HTTPStatus.OK, title=_HERE, text=text, fix=fix)
