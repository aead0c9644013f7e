"""Signing out by SAML: begun here, or at the provider.

The shell: it looks up and records; what is asked and to be believed, `logout` and `bindings` say.
    begin    the hint kept at sign-in → a signed request on its way to the provider
    receive  a signed request → spent → sessions ended → a signed answer; or the answer to ours
Invariant: a provider's signed request ends sessions whether or not it can be answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vallum.identity.accounts_port import Accounts, Store, Transaction
from vallum.identity.saml.addresses import Ours
from vallum.identity.saml.bindings import received, send
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.logout import (
    LogoutRequest,
    check_logout_request,
    is_success,
    logout_request,
    logout_response,
)
from vallum.identity.saml.message import Message
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider, SignInRefused
from vallum.identity.sso.providers import SamlProvider
from vallum.kernel import Clock

__all__ = ["LoggedOut", "SamlLogout"]

_WHY: Final = "sso.logout"
_RELAY: Final = 2048


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """What came of it. `answer`: to be sent back to the provider; `everywhere`: as far as it says."""

    answer: Message | None
    everywhere: bool
    ended: int = 0


class SamlLogout:
    """Signing out at any number of providers."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        clock: Clock,
        base_url: str,
        keys: Callable[[], tuple[ServiceKey, ...]],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._keys = keys
        self._ours = Ours(base_url.rstrip("/"))

    def begin(self, provider_id: str, hint: Mapping[str, Any]) -> Message | None:
        """The request for the provider; None where it takes none, or could not check it.

        Raises: NoSuchProvider, SettingsError.
        """
        provider, keys = self._provider(provider_id), self._keys()
        name_id = hint.get("name_id")
        if provider.logout_url is None or not provider.single_logout or not keys or not name_id:
            return None
        request = logout_request(
            provider,
            f"_{secrets.token_hex(20)}",
            self._ours.entity_id(provider_id),
            str(name_id),
            hint.get("name_attributes") or {},
            hint.get("session"),
            self._clock.now(),
        )
        return send(provider.logout_url, provider.logout_binding, "SAMLRequest", request, None, keys[0])

    def receive(self, provider_id: str, method: str, content: str) -> LoggedOut:
        """What the provider says. `content`: the query as it was sent, or the body of a form.

        Raises: NoSuchProvider, SignInRefused, ProviderMisconfigured, SettingsError.
        """
        provider, now = self._provider(provider_id), self._clock.now()
        came = received(method, content, provider.certificates, now, provider_id)
        if came.name == "SAMLResponse":
            return LoggedOut(None, is_success(came.message, provider))
        asked = check_logout_request(came.message, provider, self._ours.logout_url(provider_id), now)
        with self._store.transaction() as tx:
            if not links.spend(tx, provider.entity_id, asked.identifier, asked.until):
                raise SignInRefused("this logout was announced already", reason="replay", where=provider_id)
            ended = self._end(tx, provider, asked)
        relay = came.relay if came.relay is not None and len(came.relay) <= _RELAY else None
        return LoggedOut(self._answer(provider, asked, relay), everywhere=True, ended=ended)

    def _end(self, tx: Transaction, provider: SamlProvider, asked: LogoutRequest) -> int:
        """End what the provider has opened: of the person it names, the sessions it names, or all."""
        accounts, where = self._accounts, provider.id
        account = None
        if provider.subject_attribute is None:
            account = links.find_link(tx, where, provider.entity_id, asked.name_id)
        if account is not None:
            wanted = asked.sessions or (None,)
            return sum(
                accounts.end_sessions(tx, _WHY, account_id=account, source=where, sid=sid) for sid in wanted
            )
        return sum(accounts.end_provider_session(tx, where, sid, _WHY) for sid in asked.sessions)

    def _answer(self, provider: SamlProvider, asked: LogoutRequest, relay: str | None) -> Message | None:
        url, keys = provider.logout_response_url or provider.logout_url, self._keys()
        if url is None or not keys:
            return None
        answer = logout_response(
            provider,
            f"_{secrets.token_hex(20)}",
            self._ours.entity_id(provider.id),
            asked.identifier,
            self._clock.now(),
        )
        return send(url, provider.logout_binding, "SAMLResponse", answer, relay, keys[0])

    def _provider(self, provider_id: str) -> SamlProvider:
        with self._store.transaction() as tx:
            provider = links.provider(tx, provider_id)
        if not isinstance(provider, SamlProvider):
            raise NoSuchProvider(f"`{provider_id}` is no provider of SAML")
        return provider
