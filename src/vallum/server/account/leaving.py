"""Signing out, where the session came from a provider: what is to be done there next.

The session here is over in any case; whether anything follows is the provider's `single_logout` to say.
"""

from __future__ import annotations

from typing import Final

from vallum.identity.cookies import sso_cookie
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider, ProviderMisconfigured
from vallum.identity.sso.pending import Pending, put, start
from vallum.identity.sso.providers import OidcProvider, SamlProvider
from vallum.server.account.web import Page

__all__ = ["where_to"]

_SIGN_IN: Final = "/account/sign-in"


def where_to(page: Page) -> str:
    """The path to go on to after signing out; bound to this browser, for ten minutes, once."""
    session = page.session
    if session is None or session.provider is None:
        return _SIGN_IN
    with page.identity.base.store.transaction() as tx:
        try:
            provider = links.provider(tx, session.provider)
        except (NoSuchProvider, ProviderMisconfigured):
            return _SIGN_IN
        if not isinstance(provider, OidcProvider | SamlProvider) or not provider.single_logout:
            return _SIGN_IN
        started = start(None)
        pending = Pending(provider.id, _SIGN_IN, session.provider_session, None, session.account_id)
        put(tx, started, pending, page.now)
    page.set_cookies.append(sso_cookie(f"{started.browser}.", site="Lax"))
    return f"/sso/{provider.id}/sign-out?state={started.handle}"
