"""A sign-in by OpenID Connect, from the first click to the account.

The shell: it asks, looks up and records; every decision is made by `request`, `tokens`, `claims` and `join`.
    begin     pending sign-in → the provider's address and the browser's cookie
    complete  answer → pending burned → code → token → who → account
    back_channel  logout token → spent → sessions ended
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from vallum.identity.accounts_port import Accounts, Store
from vallum.identity.oidc.claims import identity_of
from vallum.identity.oidc.client import Client
from vallum.identity.oidc.request import authorization_url, code_of, logout_url, single
from vallum.identity.oidc.tokens import NoSuchKey, check_id_token, check_logout_token
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider, SignInRefused
from vallum.identity.sso.fetch import Fetch
from vallum.identity.sso.join import SignedIn, join
from vallum.identity.sso.pending import Pending, burn, burn_expired, derive, local_path, put, start
from vallum.identity.sso.pending import Started as Handle
from vallum.identity.sso.providers import OidcProvider
from vallum.kernel import Clock, read_secret

__all__ = ["OidcFlow", "Redirect"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to send the browser, and the secret for its cookie."""

    url: str
    browser: str


class OidcFlow:
    """Sign-ins at any number of providers. `base_url`: this server's own, from the settings."""

    def __init__(self, store: Store, accounts: Accounts, clock: Clock, base_url: str) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._base = base_url.rstrip("/")
        self._lock = Lock()
        self._clients: dict[str, Client] = {}

    def redirect_uri(self, provider_id: str) -> str:
        """Where the provider sends its answers: one address per provider, so that they cannot be mixed up."""
        return f"{self._base}/sso/{provider_id}/callback"

    def begin(
        self,
        provider_id: str,
        *,
        return_to: str | None = None,
        browser: str | None = None,
        account_id: int | None = None,
        session_id: int | None = None,
        max_age: int | None = None,
    ) -> Redirect:
        """Begin a sign-in. `account_id`, `session_id`, `max_age`: somebody proves to be there
        still.

        Raises: NoSuchProvider, ProviderUnavailable, ProviderMisconfigured, SettingsError.
        """
        client = self._client(provider_id)
        metadata = client.metadata()
        handle = start(browser)
        pending = Pending(
            provider_id,
            local_path(return_to),
            max_age=max_age,
            account_id=account_id,
            session_id=session_id,
        )
        with self._store.transaction() as tx:
            burn_expired(tx, self._clock.now())
            put(tx, handle, pending, self._clock.now())
        url = authorization_url(client.provider, metadata, handle, self.redirect_uri(provider_id), max_age)
        return Redirect(url, handle.browser)

    def complete(
        self, provider_id: str, parameters: Iterable[tuple[str, str]], browser: str | None
    ) -> SignedIn:
        """End a sign-in. Raises: as `begin`, and SignInRefused."""
        answer = single(parameters, provider_id)
        client = self._client(provider_id)
        handle = Handle(answer.get("state", ""), browser or "")
        pending = burn(self._store, handle.handle, browser, provider_id, self._clock.now())
        code = code_of(answer, client.provider, client.metadata())
        token = client.exchange(code, derive(handle, "verifier"), self.redirect_uri(provider_id))
        claims = _with_keys(
            client,
            lambda keys: check_id_token(
                token,
                provider=client.provider,
                metadata=client.metadata(),
                keys=keys,
                nonce=derive(handle, "nonce"),
                now=self._clock.now(),
                asked=pending.asked,
                max_age=pending.max_age,
            ),
        )
        # Shown to the provider when they sign out, so that it knows whom without asking.
        identity = replace(identity_of(claims, client.provider), hint={"id_token": token})
        with self._store.transaction() as tx:
            signed = join(
                tx,
                self._accounts,
                client.provider,
                identity,
                return_to=pending.return_to,
                now=self._clock.now(),
                wanted=pending.account_id,
            )
        return replace(signed, session_id=pending.session_id)

    def logout_url(self, provider_id: str, hint: Mapping[str, Any]) -> str | None:
        """Where to sign out at the provider as well; None where it offers no such thing, or should not.

        `hint`: what was kept of the sign-in. Raises: as `begin`.
        """
        client = self._client(provider_id)
        if not client.provider.single_logout:
            return None
        return logout_url(client.provider, client.metadata(), f"{self._base}/", hint.get("id_token"))

    def back_channel(self, provider_id: str, token: str) -> int:
        """The provider says that somebody signed out there; how many sessions have ended.

        Raises: as `begin`, and SignInRefused.
        """
        client = self._client(provider_id)
        checked = _with_keys(
            client,
            lambda keys: check_logout_token(
                token,
                provider=client.provider,
                metadata=client.metadata(),
                keys=keys,
                now=self._clock.now(),
            ),
        )
        with self._store.transaction() as tx:
            if not links.spend(tx, checked.issuer, checked.jti, checked.expires):
                raise SignInRefused("this logout was announced already", reason="replay", where=provider_id)
            if checked.subject is None or client.provider.subject_claim != "sub":
                if checked.sid is None:
                    # Here people are known by another claim, which a logout token does not have.
                    raise SignInRefused(
                        "the logout token names no session", reason="subject", where=provider_id
                    )
                return self._accounts.end_provider_session(tx, provider_id, checked.sid, "sso.logout")
            account = links.find_link(tx, provider_id, checked.issuer, checked.subject)
            if account is None:
                return 0
            return self._accounts.end_sessions(
                tx, "sso.logout", account_id=account, source=provider_id, sid=checked.sid
            )

    def _client(self, provider_id: str) -> Client:
        """The connection to a provider as it is written down now; another where that has changed."""
        with self._store.transaction() as tx:
            provider = links.provider(tx, provider_id)
        if not isinstance(provider, OidcProvider):
            raise NoSuchProvider(f"`{provider_id}` is no provider of OpenID Connect")
        with self._lock:
            known = self._clients.get(provider_id)
            if known is None or known.provider != provider:
                known = Client(provider, partial(_secret, provider), self._clock, Fetch(provider.ca_file))
                self._clients[provider_id] = known
            return known


def _secret(provider: OidcProvider) -> str | None:
    return read_secret(provider.secret, where=provider.id) if provider.secret else None


def _with_keys(client: Client, check: Callable[[Mapping[str, Any]], T]) -> T:
    """Check a token with the keys at hand; with newer ones where it names one that is not there."""
    try:
        return check(client.keys())
    except NoSuchKey:
        return check(client.keys(anew=True))
