"""A provider as it answers: metadata, keys and tokens, each asked for as seldom as may be.

Keys are asked for anew where a token names one that is not known, once a minute at most, so that nobody can
make us ask by sending tokens. Metadata and keys are kept for an hour.
Invariant: one thread asks, the others wait for its answer; a failure leaves what was known in place.
Invariant: a failure is the answer of all who wait, and for some seconds more: a provider that is down does
not hold the server's threads, one after the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final, NoReturn
from urllib.parse import quote

from authlib.common.urls import add_params_to_qs
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from joserfc import jwk, jwt

from vallum.identity.oidc.metadata import Metadata, discovery_url, read
from vallum.identity.sso.errors import (
    ProviderMisconfigured,
    ProviderUnavailable,
    SignInRefused,
    cleaned,
)
from vallum.identity.sso.fetch import Fetch
from vallum.identity.sso.providers import OidcProvider
from vallum.kernel import Clock

__all__ = ["Client"]

KEPT: Final = timedelta(hours=1)
AGAIN: Final = timedelta(minutes=1)
DOWN: Final = timedelta(seconds=5)
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(slots=True)
class _Known:
    """An answer, and when it was last asked for, with success or without."""

    value: dict[str, Any]
    at: datetime
    asked: datetime


class Client:
    """The connection to one provider, for any number of threads.

    `secret` gives the secret or the private key, anew each time: it may have been exchanged.
    """

    def __init__(
        self, provider: OidcProvider, secret: Callable[[], str | None], clock: Clock, fetch: Fetch
    ) -> None:
        self.provider = provider
        self._secret = secret
        self._clock = clock
        self._fetch = fetch
        self._lock = Lock()
        self._known: dict[str, _Known] = {}
        self._failed: dict[str, tuple[ProviderUnavailable, datetime]] = {}

    def __repr__(self) -> str:
        return f"Client({self.provider.id!r})"

    def metadata(self) -> Metadata:
        """Raises: ProviderUnavailable, ProviderMisconfigured."""
        return read(self._get(discovery_url(self.provider.issuer)), self.provider)

    def keys(self, *, anew: bool = False) -> dict[str, Any]:
        """The key set; `anew`: a token names a key that is not in it. Raises: as `metadata`."""
        return self._get(self.metadata().jwks_uri, anew=anew)

    def _get(self, url: str, *, anew: bool = False) -> dict[str, Any]:
        with self._lock:
            now, known = self._clock.now(), self._known.get(url)
            if known is not None:
                old = anew or now - known.at >= KEPT
                if not old or now - known.asked < AGAIN:
                    return known.value
                known.asked = now
            try:
                value = self._ask(url, now)
            except ProviderUnavailable:
                # An hour's grace: a provider that is down cannot sign anybody in by old keys alone.
                if known is not None and now - known.at < 2 * KEPT:
                    return known.value
                raise
            self._known[url] = _Known(value, now, now)
            return value

    def _ask(self, url: str, now: datetime) -> dict[str, Any]:
        error, until = self._failed.get(url, (None, now))
        if error is not None and now < until:
            raise ProviderUnavailable(error.what, where=error.where, fix=error.fix, said=error.said)
        try:
            return self._fetch.get(url).body
        except ProviderUnavailable as failure:
            self._failed[url] = failure, self._clock.now() + DOWN
            raise

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The ID token for a code. Raises: SignInRefused, ProviderUnavailable, ProviderMisconfigured."""
        url = self.metadata().token_endpoint
        body = prepare_token_request(
            "authorization_code", redirect_uri=redirect_uri, code=code, code_verifier=verifier
        )
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        url, headers, body = self._authentication(url).prepare("POST", url, headers, body)
        answer = self._fetch.post(url, body, headers)
        token = answer.body.get("id_token")
        if answer.status == 200 and isinstance(token, str):
            return token
        self._refuse(answer.status, answer.body)

    def _refuse(self, status: int, body: dict[str, Any]) -> NoReturn:
        error = body.get("error")
        where, said = self.provider.id, cleaned(error, body.get("error_description"))
        if error == "invalid_grant":
            raise SignInRefused(
                "the provider refused the code: used already, or too old",
                reason="code",
                where=where,
                said=said,
            )
        if error in ("invalid_client", "unauthorized_client"):
            raise ProviderMisconfigured(
                "the provider does not accept our client id and secret",
                where=where,
                fix="compare `client_id`, `secret` and `authentication` with what the provider has; "
                "the secret may have expired",
                said=said,
            )
        if status == 200:
            raise ProviderMisconfigured(
                "the provider sent no ID token", where=where, fix="check that `openid` is among the scopes"
            )
        raise ProviderUnavailable(
            f"the provider answered {status} instead of a token", where=where, said=said
        )

    def _authentication(self, audience: str) -> ClientAuth:
        provider, secret = self.provider, self._secret()
        if provider.authentication == "client_secret_basic":
            # RFC 6749, 2.3.1: both are form-encoded first; the library leaves that to us.
            return ClientAuth(quote(provider.client_id, safe=""), quote(secret or "", safe=""))
        if provider.authentication == "private_key_jwt":
            return ClientAuth(provider.client_id, self._assertion(audience, secret), _sign_with_assertion)
        return ClientAuth(provider.client_id, secret, provider.authentication)

    def _assertion(self, audience: str, secret: str | None) -> str:
        # RSA and RS256: what every provider knows that knows this way of authentication at all.
        key = jwk.import_key((secret or "").encode(), "RSA")
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": self.provider.client_id,
            "sub": self.provider.client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 60,
        }
        return jwt.encode({"alg": "RS256", "kid": key.thumbprint()}, claims, key)


def _sign_with_assertion(auth: ClientAuth, method: str, uri: str, headers: Any, body: str) -> Any:
    fields = [
        ("client_id", auth.client_id),
        ("client_assertion_type", _ASSERTION),
        ("client_assertion", auth.client_secret),
    ]
    return uri, headers, add_params_to_qs(body, fields)
