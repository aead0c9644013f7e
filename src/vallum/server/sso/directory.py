"""A directory's login and password, typed into a form of ours; counted as any other."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from vallum.identity.accounts import login_key
from vallum.identity.attempts import password_counters
from vallum.identity.sso.errors import NoSuchProvider, ProviderUnavailable, SignInRefused
from vallum.identity.sso.providers import LdapProvider
from vallum.server.account.web import local_path
from vallum.server.http import Response

if TYPE_CHECKING:
    from vallum.identity.sso.join import SignedIn
    from vallum.server.sso.visit import Sso

__all__ = ["form", "password", "signed_in"]


def form(
    sso: Sso, provider: LdapProvider, back: str, error: SignInRefused | None = None, login: str = ""
) -> Response:
    """Where they are typed."""
    status = HTTPStatus.OK if error is None else HTTPStatus.UNAUTHORIZED
    return sso.page.show(
        "sso_password.html", status=status, provider=provider, next=back, error=error, login=login
    )


def password(sso: Sso) -> Response:
    """They were."""
    typed = sso.page.form()
    back, provider = local_path(typed.get("next", "")), sso.provider()
    if not isinstance(provider, LdapProvider):
        raise NoSuchProvider("nobody signs in by password here")
    try:
        return sso.enter(signed_in(sso, typed, back))
    except SignInRefused as error:
        return form(sso, provider, back, error, typed.get("login", "")[:255])


def signed_in(sso: Sso, typed: Mapping[str, str], back: str = "", account_id: int | None = None) -> SignedIn:
    """Who that is. `account_id`: who it must be.

    Raises: SignInRefused, which is recorded; NoSuchProvider, ProviderUnavailable, ProviderMisconfigured.
    """
    base, login = sso.on.identity.base, typed.get("login", "")[:255]
    account = base.accounts.by_login(login)
    known = base.devices.known(sso.page.cookies.device, account.id if account else 0, sso.page.now)
    counters = password_counters(base.settings.lockout, login_key(login), sso.request.client.address, known)
    reservation = base.attempts.reserve("password", counters, sso.page.now)
    try:
        if not reservation.is_open:
            raise SignInRefused(
                "there were too many attempts", reason="locked", fix="wait a quarter of an hour"
            )
        signed = sso.on.ldap.sign_in(
            sso.id, login, typed.get("password", ""), return_to=back, account_id=account_id
        )
    except SignInRefused as error:
        sso.on.refusals.tell(error, sso.request.client, sso.id, account=account, kind="password")
        raise
    except ProviderUnavailable:
        # Nobody has guessed anything.
        base.attempts.succeeded(reservation)
        raise
    base.attempts.succeeded(reservation)
    return signed
