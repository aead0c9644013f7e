"""From the claims of an ID token to who somebody is.

Pure. Groups are taken whole or not at all: where Entra ID leaves them out because they are too many, that is
an error, since "no groups" would be a wrong answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from vallum.identity.accounts_port import Person
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused
from vallum.identity.sso.join import Identity
from vallum.identity.sso.providers import OidcProvider

__all__ = ["identity_of"]

# Seconds; the year 9999 is not over by then.
_LATEST: Final = 250_000_000_000


def identity_of(claims: dict[str, Any], provider: OidcProvider) -> Identity:
    """Who that is. Raises: SignInRefused, ProviderMisconfigured."""
    if claims.get("email_verified") in (False, "false"):
        # What somebody typed there: neither their domain nor a name to be known by.
        claims = {name: value for name, value in claims.items() if name != "email"}
    subject = _text(claims, provider.subject_claim)
    if subject is None:
        raise SignInRefused(
            "the provider does not say who you are in a way that lasts",
            reason="subject",
            where=provider.id,
            fix=f"an administrator can set `subject_claim`; it is `{provider.subject_claim}` now",
        )
    email = _text(claims, "email")
    login = _text(claims, provider.login_claim) or email
    if login is None:
        raise SignInRefused(
            "the provider does not say under which name you are known",
            reason="login",
            where=provider.id,
            fix=f"an administrator can set `login_claim`; it is `{provider.login_claim}` now",
        )
    moment = claims.get("auth_time")
    return Identity(
        issuer=str(claims["iss"]),
        subject=subject,
        person=Person(login, _text(claims, "name") or login, email),
        email_verified=claims.get("email_verified") is True,
        match=_text(claims, provider.match_claim),
        attributes=_attributes(claims, provider),
        sid=_text(claims, "sid"),
        authenticated=datetime.fromtimestamp(moment, UTC) if _is_moment(moment) else None,
        methods=_list(claims.get("amr")),
    )


def _is_moment(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LATEST


def _attributes(claims: dict[str, Any], provider: OidcProvider) -> dict[str, tuple[str, ...]]:
    wanted = {
        provider.groups_claim,
        *(rule.attribute for rule in provider.rules if rule.attribute != "groups"),
    }
    elsewhere = claims.get("_claim_names")
    named = set(elsewhere) if isinstance(elsewhere, dict) else set()
    # Entra ID says it by one of two claims, as the tokens travel.
    if wanted & named or ("groups" in wanted and claims.get("hasgroups") in (True, "true")):
        raise ProviderMisconfigured(
            "you are in more groups than Entra ID puts into a token",
            where=provider.id,
            fix="let Entra ID send only groups assigned to the application, or app roles (`roles`)",
        )
    found = {name: _list(_path(claims, name)) for name in wanted}
    found["groups"] = found[provider.groups_claim]
    return found


def _path(claims: dict[str, Any], name: str) -> object:
    """A claim; `realm_access.roles` is the one within the other (Keycloak), unless it is itself a name."""
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _text(claims: dict[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None
