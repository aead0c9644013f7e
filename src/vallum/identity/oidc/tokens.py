"""Check ID tokens and logout tokens.

Pure. The steps, in this order (OpenID Connect Core 3.1.3.7, Back-Channel Logout 2.6, RFC 8725):
1. the header: an accepted asymmetric algorithm, a fitting type, no key or address of one, nothing critical;
2. the key: from the provider's own set, by its id, made for signing and for that algorithm;
3. the signature; 4. issuer, audience, authorised party; 5. expiry, issue, validity, within the clocks' skew;
6. what makes it this token and no other: the nonce, or the logout event; 7. how and when somebody signed in.
Invariant: nothing of a token is believed before step 3 has passed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from joserfc import jwk, jwt
from joserfc.errors import JoseError
from joserfc.jws import extract_compact

from vallum.identity.oidc.metadata import TEMPLATE, Metadata
from vallum.identity.sso.errors import SignInRefused
from vallum.identity.sso.providers import OidcProvider

__all__ = ["LogoutToken", "NoSuchKey", "check_id_token", "check_logout_token"]

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_FORBIDDEN: Final = ("crit", "jku", "jwk", "x5c", "x5u", "b64", "zip")
_TENANT: Final = re.compile(r"\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_LONGEST: Final = 64 * 1024
_OLDEST_LOGOUT: Final = 300


class NoSuchKey(SignInRefused):
    """The token names a key that is not in the set at hand: a newer set may have it."""


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """Whose sessions are over: everything of `subject`, or the session `sid`. `jti` is to be spent."""

    issuer: str
    subject: str | None
    sid: str | None
    jti: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class _Check:
    provider: OidcProvider
    metadata: Metadata
    keys: Mapping[str, Any]
    now: datetime

    def refuse(self, what: str, reason: str) -> SignInRefused:
        return SignInRefused(what, reason=reason, where=self.provider.id)

    @property
    def seconds(self) -> int:
        return int(self.now.timestamp())


def check_id_token(
    token: str,
    *,
    provider: OidcProvider,
    metadata: Metadata,
    keys: Mapping[str, Any],
    nonce: str,
    now: datetime,
    asked: datetime | None = None,
    max_age: int | None = None,
) -> dict[str, Any]:
    """The claims of an ID token. `keys`: the provider's key set; `asked`: when the sign-in was begun, if not
    now; as of then, the person was there no longer ago than `max_age`, in seconds.

    Raises: SignInRefused, NoSuchKey.
    """
    check = _Check(provider, metadata, keys, now)
    claims = _verified(check, token, types=(None, "jwt"))
    _issued_for_us(check, claims, essential=("iss", "sub", "aud", "exp", "iat"))
    if "events" in claims:
        raise check.refuse("a logout token is no proof of who somebody is", "type")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise check.refuse("the token belongs to another sign-in", "nonce")
    _signed_in_how(check, claims, int((asked or now).timestamp()), max_age)
    return claims


def check_logout_token(
    token: str, *, provider: OidcProvider, metadata: Metadata, keys: Mapping[str, Any], now: datetime
) -> LogoutToken:
    """Whose sessions are over. Raises: SignInRefused, NoSuchKey."""
    check = _Check(provider, metadata, keys, now)
    claims = _verified(
        check, token, types=("logout+jwt",) if provider.logout_typ else ("logout+jwt", None, "jwt")
    )
    _issued_for_us(check, claims, essential=("iss", "aud", "iat", "exp", "jti"))
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise check.refuse("the token says nothing of a logout", "type")
    if "nonce" in claims:
        raise check.refuse("an ID token ends no session", "type")
    if claims["iat"] < check.seconds - _OLDEST_LOGOUT - provider.skew:
        raise check.refuse("the logout token is too old", "expired")
    subject, sid, jti = (claims.get(name) for name in ("sub", "sid", "jti"))
    if not (subject or sid) or not all(v is None or isinstance(v, str) for v in (subject, sid)):
        raise check.refuse("the logout token names neither a person nor a session", "subject")
    expires = datetime.fromtimestamp(claims["exp"] + provider.skew, UTC)
    return LogoutToken(claims["iss"], subject, sid, str(jti), expires)


def _verified(check: _Check, token: str, types: tuple[str | None, ...]) -> dict[str, Any]:
    """Steps 1 to 3."""
    if len(token) > _LONGEST or token.count(".") != 2:
        raise check.refuse("the provider sent no signed token", "form")
    try:
        header = extract_compact(token.encode()).headers()
    except (JoseError, ValueError, RecursionError):
        raise check.refuse("the provider's token cannot be read", "form") from None
    algorithm, kind = header.get("alg"), header.get("typ")
    if algorithm not in check.provider.algorithms:
        raise check.refuse("the token is signed by an algorithm that is not accepted", "algorithm")
    if (kind.lower().removeprefix("application/") if isinstance(kind, str) else kind) not in types:
        raise check.refuse("the token is of another type", "type")
    if any(name in header for name in _FORBIDDEN):
        raise check.refuse("the token brings a key of its own", "key")
    key = _key(check, str(algorithm), header.get("kid"))
    try:
        return jwt.decode(token, key, algorithms=[str(algorithm)]).claims
    except (JoseError, ValueError, RecursionError):
        raise check.refuse("the token's signature is wrong", "signature") from None


_KIND: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


def _key(check: _Check, algorithm: str, kid: object) -> jwk.Key:
    found = [
        raw
        for raw in check.keys.get("keys", ())
        if isinstance(raw, dict)
        and raw.get("kty") == _KIND[algorithm[:2]]
        and raw.get("use", "sig") == "sig"
        and raw.get("alg", algorithm) == algorithm
        and (kid is None or raw.get("kid") == kid)
    ]
    # Without an id only one key can be meant; trying each would hide a mistake.
    if len(found) != 1:
        raise NoSuchKey("the token is signed by an unknown key", reason="key", where=check.provider.id)
    try:
        return jwk.import_key(
            {k: v for k, v in found[0].items() if k not in ("x5c", "x5u", "x5t", "x5t#S256")}
        )
    except (JoseError, ValueError) as error:
        raise check.refuse("the provider's key cannot be read", "key") from error


def _issued_for_us(check: _Check, claims: dict[str, Any], essential: tuple[str, ...]) -> None:
    """Steps 4 and 5."""
    provider = check.provider
    options = {name: jwt.ClaimsOption(essential=True) for name in essential}
    registry = jwt.JWTClaimsRegistry(now=check.seconds, leeway=provider.skew, **options)
    try:
        registry.validate(claims)
    except JoseError as error:
        late = claims.get("exp")
        expired = isinstance(late, int | float) and late <= check.seconds - provider.skew
        raise check.refuse(
            f"the token is {'expired' if expired else 'not valid'}: compare the clocks of both servers"
            if expired or getattr(error, "claim", "") in ("iat", "nbf")
            else "the token lacks what it must say",
            "expired" if expired else "claims",
        ) from None
    if claims["iss"] != _issuer(check, claims):
        raise check.refuse("the token was issued by somebody else", "issuer")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if provider.client_id not in audience:
        raise check.refuse("the token was issued for another application", "audience")
    party = claims.get("azp")
    if party != provider.client_id and (party is not None or len(audience) > 1):
        raise check.refuse("the token was issued to another application", "party")
    subject = claims.get("sub")
    if subject is not None and not (isinstance(subject, str) and 0 < len(subject) <= 255):
        raise check.refuse("the token does not say whose it is", "subject")


def _issuer(check: _Check, claims: dict[str, Any]) -> str:
    if not check.provider.shared_tenant:
        return check.metadata.issuer
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or not _TENANT.match(tenant) or tenant not in check.provider.tenants:
        raise check.refuse("your organisation is not let in here", "tenant")
    return TEMPLATE.replace("{tenantid}", tenant)


def _signed_in_how(check: _Check, claims: dict[str, Any], asked: int, max_age: int | None) -> None:
    """Step 7."""
    provider = check.provider
    ages = [age for age in (max_age, provider.max_age) if age is not None]
    moment = claims.get("auth_time")
    if ages:
        known = isinstance(moment, int) and not isinstance(moment, bool)
        if not known or asked - int(moment or 0) > min(ages) + provider.skew:
            raise check.refuse("the provider does not say that you signed in just now", "auth-time")
    if provider.acr and claims.get("acr") not in provider.acr:
        raise check.refuse("you signed in there in a weaker way than is asked for here", "acr")
    methods = claims.get("amr")
    if provider.amr and not (isinstance(methods, list) and set(provider.amr) <= {str(m) for m in methods}):
        raise check.refuse("you signed in there with fewer factors than are asked for here", "amr")
    for name, values in provider.required.items():
        if claims.get(name) not in values:
            raise check.refuse("your account there is not one of those that are let in", "required")
