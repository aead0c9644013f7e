"""One request of somebody who signs in or out elsewhere: who that is, and what is kept on their way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from vallum.identity import Refused
from vallum.identity.cookies import sso_cookie
from vallum.identity.saml.message import Message
from vallum.identity.sso import store as links
from vallum.identity.sso.hints import keep_hint
from vallum.identity.sso.join import SignedIn
from vallum.identity.sso.providers import Provider
from vallum.server.account.signing import answer_to
from vallum.server.account.web import Page, local_path
from vallum.server.http import Request, Response
from vallum.server.sso.parts import SignOn

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["Sso"]

COOKIE: Final = "__Host-vallum-sso"
_MFA: Final = ("mfa", "multipleauthn", "multifactor", "TimeSyncToken")


class Sso:
    """One request of somebody who signs in or out elsewhere."""

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
        self.page.set_cookies.append(sso_cookie(f"{browser}.{self.page.cookies.device or ''}", site=site))

    def forget(self, site: str) -> None:
        """The sign-in is over."""
        self.page.set_cookies.append(sso_cookie("", site=site, seconds=0))

    def enter(self, signed: SignedIn) -> Response:
        """What follows from a provider's word."""
        methods = ["mfa"] if any(name in said for said in signed.identity.methods for name in _MFA) else []
        outcome = self.on.identity.sign_in.external(
            self.on.identity.base.accounts.get(signed.account.id),
            self.request.client,
            provider=signed.provider_id,
            methods=["sso", *methods],
            provider_session=signed.identity.sid,
            authenticated=signed.identity.authenticated,
            device=self.device,
            replaces=self.page.cookies.session,
        )
        if signed.session_id is not None and not isinstance(outcome, Refused):
            # It goes on as the new one. From another site its cookie may have stayed away.
            self.on.identity.base.sessions.end_one(signed.account.id, signed.session_id)
        if signed.identity.hint is not None and not isinstance(outcome, Refused):
            self._keep_hint(signed)
        target = signed.return_to if signed.return_to != "/" else "/account/security"
        return answer_to(self.page, outcome, target)

    def _keep_hint(self, signed: SignedIn) -> None:
        base, identity, now = self.on.identity.base, signed.identity, self.page.now
        with self.on.store.transaction() as tx:
            keep_hint(
                tx,
                base.keyring,
                signed.provider_id,
                signed.account.id,
                identity.sid,
                identity.hint or {},
                now + timedelta(hours=base.settings.sessions.hours),
            )

    # What is answered

    def go_on(self, answer: Response) -> Response:
        """By a page of ours, so that the next step is one from here."""
        return self.page.show("sso_continue.html", target=local_path(answer.headers.get("location", "")))

    def away(self, url: str) -> Response:
        """To the provider."""
        answer = self.page.go("/")
        return replace(answer, headers={**answer.headers, "location": url})

    def carried(self, message: Message, text: str) -> Response:
        """A message on its way by a page of ours, with a form where it has fields. `text`: on the button."""
        if message.fields is None:
            return self.page.show("sso_continue.html", target=message.url)
        parts = urlsplit(message.url)
        shown = self.page.show("sso_post.html", url=message.url, fields=message.fields, text=text)
        return _allowing(shown, f"{parts.scheme}://{parts.netloc}")


def _allowing(answer: Response, origin: str) -> Response:
    """Let the form of this one page be posted there; and let it come back to us by itself."""
    policy = answer.headers["content-security-policy"]
    headers = {
        **answer.headers,
        "content-security-policy": policy.replace("form-action 'self'", f"form-action 'self' {origin}"),
    }
    return replace(answer, headers=headers)
