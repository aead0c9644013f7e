"""Whoever is signed in proves at a provider to be there still, before a sensitive act.

The provider is asked for the credentials anew, and has to say that it was given them since; a directory is
asked with the password. Who comes back as somebody else confirms nothing, and stays signed in as before.
Invariant: only a form of ours begins it, and only for the account whose session sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.identity.saml.message import Message
from vallum.identity.sso.errors import NoSuchProvider, SignInRefused
from vallum.identity.sso.providers import LdapProvider, OidcProvider, SamlProvider
from vallum.server.account.confirming import confirmed
from vallum.server.account.web import local_path
from vallum.server.http import Response
from vallum.server.sso.directory import signed_in

if TYPE_CHECKING:
    from vallum.server.sso.visit import Sso

__all__ = ["confirm"]


def confirm(sso: Sso) -> Response:
    """To the provider, or on."""
    typed, page = sso.page.form(), sso.page
    if page.session is None:
        return page.go("/account/sign-in")
    provider, back = sso.provider(), local_path(typed.get("next", ""))
    account_id, session_id = page.session.account_id, page.session.id
    if isinstance(provider, OidcProvider):
        redirect = sso.on.oidc.begin(
            sso.id,
            return_to=back,
            browser=sso.browser,
            account_id=account_id,
            session_id=session_id,
            max_age=0,
        )
        sso.remember(redirect.browser, "Lax")
        return sso.carried(Message(redirect.url), "")
    if isinstance(provider, SamlProvider):
        sent = sso.on.saml.begin(
            sso.id,
            return_to=back,
            browser=sso.browser,
            account_id=account_id,
            session_id=session_id,
            max_age=0,
        )
        sso.remember(sent.browser, "None")
        return sso.carried(sent.message, f"Go on to {provider.label}")
    if not isinstance(provider, LdapProvider):
        raise NoSuchProvider("nobody signs in by this directory")
    try:
        signed = signed_in(sso, typed, account_id=account_id)
    except SignInRefused as error:
        return confirmed(page, None, error)
    token = sso.on.identity.confirming.directory(
        page.token, signed.account.id, sso.request.client, code=typed.get("code")
    )
    return confirmed(page, token)
