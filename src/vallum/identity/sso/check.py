"""Look whether a provider could sign somebody in now: for an administrator, before anybody tries.

The shell: asks the provider what a sign-in would ask, and says what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from vallum.identity.oidc.client import Client
from vallum.identity.saml.certificates import certificate_of
from vallum.identity.sso.fetch import Fetch
from vallum.identity.sso.providers import LdapProvider, OidcProvider, Provider, SamlProvider
from vallum.identity.sso.state import SOON
from vallum.kernel import Clock, VallumError, read_secret

__all__ = ["Finding", "check"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and what was found."""

    what: str
    well: bool
    found: str


def check(provider: Provider, clock: Clock) -> list[Finding]:
    """What was found; an error of the provider is a finding."""
    found: list[Finding] = []
    try:
        for finding in _look(provider, clock):
            found.append(finding)
    except VallumError as error:
        found.append(Finding("answer", False, str(error)))
    if not provider.enabled:
        found.append(Finding("switched on", False, "nobody signs in by it"))
    return found


def _look(provider: Provider, clock: Clock) -> Iterator[Finding]:
    match provider:
        case OidcProvider():
            yield from _look_at_oidc(provider, clock)
        case SamlProvider():
            yield from _look_at_certificates(provider, clock)
        case LdapProvider():
            yield from _look_at_end(provider, clock)
            yield from _look_at_directory(provider)
        case _:
            yield Finding("description", True, "it provisions by SCIM only")


def _look_at_oidc(provider: OidcProvider, clock: Clock) -> Iterator[Finding]:
    if provider.secret is not None:
        read_secret(provider.secret, where=provider.id)
        yield Finding("secret", True, "can be read")
        yield from _look_at_end(provider, clock)
    client = Client(provider, lambda: None, clock, Fetch(provider.ca_file))
    metadata = client.metadata()
    yield Finding("metadata", True, f"issuer {metadata.issuer}")
    count = len(client.keys().get("keys", ()))
    yield Finding("keys", count > 0, f"{count} published")
    says = "says who answers" if metadata.sends_issuer else "does not say who answers (RFC 9207)"
    yield Finding("answers", True, says)


def _look_at_end(provider: OidcProvider | LdapProvider, clock: Clock) -> Iterator[Finding]:
    if provider.secret_until is not None:
        left = provider.secret_until - clock.now().date()
        yield Finding("secret", left > SOON, f"valid until {provider.secret_until}")


def _look_at_certificates(provider: SamlProvider, clock: Clock) -> Iterator[Finding]:
    for pem in provider.certificates:
        known = certificate_of(pem, provider.id)
        end, now = known.not_valid_after_utc, clock.now()
        well = known.not_valid_before_utc <= now and end - now > SOON
        yield Finding("certificate", well, f"valid until {end:%Y-%m-%d}")


def _look_at_directory(provider: LdapProvider) -> Iterator[Finding]:
    from vallum.identity.ldap.entry import names_of
    from vallum.identity.ldap.signin import directory_of

    people = list(islice(directory_of(provider).users(), 5))
    yield Finding("connection", True, "encrypted, certificate checked")
    names = names_of(provider)
    sound = [one for one in people if one.text(names.login) and one.attributes.get(names.id)]
    shown = f"{len(people)} looked at, {len(sound)} with {names.login} and {names.id}"
    yield Finding("people", bool(people) and len(sound) == len(people), shown)
