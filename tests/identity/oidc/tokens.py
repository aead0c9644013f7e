"""A provider's keys and tokens, made by hand."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk, jwt

from vallum.identity.oidc.metadata import Metadata
from vallum.identity.sso.providers import OidcProvider, parse

__all__ = [
    "ISSUER",
    "METADATA",
    "NOW",
    "claims",
    "encoded",
    "forge",
    "key",
    "key_set",
    "logout_claims",
    "provider",
    "sign",
]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUER = "https://id.example.com"
METADATA = Metadata(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/authorize",
    token_endpoint=f"{ISSUER}/token",
    jwks_uri=f"{ISSUER}/keys",
    sends_issuer=True,
)


def key(name: str = "one") -> jwk.RSAKey:
    """The key of that name."""
    return _key(name)


@cache
def _key(name: str) -> jwk.RSAKey:
    return jwk.generate_key("RSA", 2048, {"kid": name, "use": "sig", "alg": "RS256"})


def key_set(*names: str) -> dict[str, Any]:
    """What the provider publishes."""
    return {"keys": [key(name).as_dict(private=False) for name in names or ("one",)]}


def provider(**given: Any) -> OidcProvider:
    """A provider, as written down."""
    described = {
        "kind": "oidc",
        "id": "idp",
        "label": "The provider",
        "issuer": ISSUER,
        "client_id": "vallum",
        "authentication": "none",
        **given,
    }
    found = parse(described)
    assert isinstance(found, OidcProvider)
    return found


def claims(**given: Any) -> dict[str, Any]:
    """The claims of an ID token; None takes one away."""
    now = int(NOW.timestamp())
    every = {
        "iss": ISSUER,
        "sub": "m-1",
        "aud": "vallum",
        "exp": now + 300,
        "iat": now,
        "nonce": "the-nonce",
        "preferred_username": "marie",
        **given,
    }
    return {name: value for name, value in every.items() if value is not None}


def logout_claims(**given: Any) -> dict[str, Any]:
    """The claims of a logout token."""
    event: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    return claims(**{"nonce": None, "events": event, "sid": "s-1", "jti": "j-1", **given})


def sign(said: dict[str, Any], name: str = "one", **header: Any) -> str:
    """The token."""
    every = {"alg": "RS256", "kid": name, "typ": "JWT", **header}
    return jwt.encode({k: v for k, v in every.items() if v is not None}, said, key(name), default_type=None)


def encoded(value: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def forge(header: object, payload: str, name: str = "one") -> str:
    """A token with whatever header and payload, signed by a real key: no library would make it."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(payload.encode())}"
    private = key(name).private_key
    assert isinstance(private, rsa.RSAPrivateKey)
    return f"{text}.{encoded(private.sign(text.encode(), PKCS1v15(), SHA256()))}"
