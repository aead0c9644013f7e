"""A sign-in by SAML, from the first click to the account.

The shell: it looks up and records; every decision is made by `response`, `claims` and `join`.
    begin     pending sign-in → the request and the browser's cookie
    complete  answer → pending burned → assertion → spent → who → account
What was not asked for is not answered: there is no sign-in begun by the provider.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from vallum.identity.accounts_port import Accounts, Store
from vallum.identity.saml.addresses import Ours
from vallum.identity.saml.claims import identity_of
from vallum.identity.saml.keys import ServiceKey, no_keys
from vallum.identity.saml.message import Message
from vallum.identity.saml.metadata import service_metadata
from vallum.identity.saml.request import ask, authn_request
from vallum.identity.saml.response import Assertion, Expected, check_response
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider, SignInRefused
from vallum.identity.sso.join import SignedIn, join
from vallum.identity.sso.pending import Pending, burn, burn_expired, local_path, put, start
from vallum.identity.sso.providers import SamlProvider
from vallum.kernel import Clock

__all__ = ["SamlFlow", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """The request on its way, and the secret for the cookie (SameSite=None: the answer is a form)."""

    message: Message
    browser: str


class SamlFlow:
    """Sign-ins at any number of providers. `base_url`: this server's own; `keys`: ours, as they are now."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        clock: Clock,
        base_url: str,
        keys: Callable[[], tuple[ServiceKey, ...]] = no_keys,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._keys = keys
        self.ours = Ours(base_url.rstrip("/"))

    def metadata(self, provider_id: str) -> bytes:
        """What the provider is to be given. Raises: NoSuchProvider, SettingsError."""
        return service_metadata(self.ours, self._provider(provider_id), self._keys())

    def begin(
        self,
        provider_id: str,
        *,
        return_to: str | None = None,
        browser: str | None = None,
        account_id: int | None = None,
        session_id: int | None = None,
        max_age: int | None = None,
    ) -> Sent:
        """Begin a sign-in. `account_id`, `session_id`, `max_age`: somebody proves to be there
        still.

        Raises: NoSuchProvider, ProviderMisconfigured, SettingsError.
        """
        provider = self._provider(provider_id)
        handle = start(browser)
        now = self._clock.now()
        request = authn_request(
            provider,
            f"_{secrets.token_hex(20)}",
            self.ours.entity_id(provider_id),
            self.ours.acs_url(provider_id),
            now,
            force=max_age is not None,
        )
        message = ask(provider, request, handle.handle, next(iter(self._keys()), None))
        pending = Pending(
            provider_id, local_path(return_to), request.get("ID"), max_age, account_id, session_id
        )
        with self._store.transaction() as tx:
            burn_expired(tx, self._clock.now())
            put(tx, handle, pending, now)
        return Sent(message, handle.browser)

    def complete(self, provider_id: str, form: Iterable[tuple[str, str]], browser: str | None) -> SignedIn:
        """End a sign-in. Raises: as `begin`, and SignInRefused."""
        fields: dict[str, str] = {}
        for name, value in form:
            if name in fields:
                raise SignInRefused("the answer says something twice", reason="form", where=provider_id)
            fields[name] = value
        provider = self._provider(provider_id)
        now = self._clock.now()
        pending = burn(self._store, fields.get("RelayState"), browser, provider_id, now)
        expected = Expected(
            self.ours.entity_id(provider_id), self.ours.acs_url(provider_id), pending.request or ""
        )
        keys = tuple(one.rsa for one in self._keys())
        assertion = check_response(fields.get("SAMLResponse", ""), provider, expected, now, keys)
        self._check_age(assertion, pending, provider)
        identity = identity_of(assertion, provider)
        with self._store.transaction() as tx:
            if not links.spend(tx, assertion.issuer, assertion.identifier, assertion.until):
                raise SignInRefused("this answer was used already", reason="replay", where=provider_id)
            signed = join(
                tx,
                self._accounts,
                provider,
                identity,
                return_to=pending.return_to,
                now=now,
                wanted=pending.account_id,
            )
        return replace(signed, session_id=pending.session_id)

    def _check_age(self, assertion: Assertion, pending: Pending, provider: SamlProvider) -> None:
        if pending.max_age is None:
            return
        # As of the moment it was asked for: to answer may take a while.
        asked = pending.asked or self._clock.now()
        age = (asked - assertion.authenticated).total_seconds()
        if age > pending.max_age + provider.skew:
            raise SignInRefused(
                "the provider does not say that you signed in just now", reason="auth-time", where=provider.id
            )

    def _provider(self, provider_id: str) -> SamlProvider:
        with self._store.transaction() as tx:
            provider = links.provider(tx, provider_id)
        if not isinstance(provider, SamlProvider):
            raise NoSuchProvider(f"`{provider_id}` is no provider of SAML")
        return provider
