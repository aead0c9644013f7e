"""What a provider publishes of itself, checked before anything of it is used.

Pure. Steps: 1. the issuer is the one written down, to the letter (else its keys are somebody else's);
2. every address is https; 3. the code flow with S256 is there; 4. a signature algorithm we accept is there.
Source: OpenID Connect Discovery 1.0, section 4.3; RFC 8414; RFC 9207.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from vallum.identity.sso.errors import ProviderMisconfigured
from vallum.identity.sso.providers import MICROSOFT, OidcProvider

__all__ = ["Metadata", "discovery_url", "read"]

TEMPLATE: Final = MICROSOFT + "{tenantid}/v2.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The part of it that is used. `sends_issuer`: answers carry `iss` (RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    sends_issuer: bool = False


def discovery_url(issuer: str) -> str:
    """Where an issuer publishes its metadata."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def read(raw: Mapping[str, Any], provider: OidcProvider) -> Metadata:
    """The metadata. Raises: ProviderMisconfigured."""
    where = discovery_url(provider.issuer)
    _check_issuer(raw.get("issuer"), provider, where)
    responses = raw.get("response_types_supported", ["code"])
    if "code" not in _texts(responses):
        raise ProviderMisconfigured("the provider does not offer the code flow", where=where)
    # Entra ID supports S256 without saying so; whoever says something must name it.
    if "code_challenge_methods_supported" in raw and "S256" not in _texts(
        raw["code_challenge_methods_supported"]
    ):
        raise ProviderMisconfigured("the provider does not offer PKCE with S256", where=where)
    offered = _texts(raw.get("id_token_signing_alg_values_supported", ["RS256"]))
    if not set(offered) & set(provider.algorithms):
        raise ProviderMisconfigured(
            "the provider signs with none of the accepted algorithms",
            where=where,
            fix="it offers " + ", ".join(offered[:10]) + "; see `algorithms`",
        )
    return Metadata(
        issuer=str(raw["issuer"]),
        authorization_endpoint=_address(raw, "authorization_endpoint", where),
        token_endpoint=_address(raw, "token_endpoint", where),
        jwks_uri=_address(raw, "jwks_uri", where),
        end_session_endpoint=(
            _address(raw, "end_session_endpoint", where) if raw.get("end_session_endpoint") else None
        ),
        sends_issuer=raw.get("authorization_response_iss_parameter_supported") is True,
    )


def _check_issuer(said: object, provider: OidcProvider, where: str) -> None:
    expected = TEMPLATE if provider.shared_tenant else provider.issuer
    if said != expected:
        raise ProviderMisconfigured(
            "the provider calls itself by another issuer than written down",
            where=where,
            fix="write `issuer` exactly as the provider publishes it, a closing slash included",
        )


def _address(raw: Mapping[str, Any], key: str, where: str) -> str:
    value = raw.get(key)
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "https" or not parts.hostname or parts.fragment:
        raise ProviderMisconfigured(f"`{key}` of the provider is no https address", where=where)
    return str(value)


def _texts(value: object) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
