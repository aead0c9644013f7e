"""From an assertion to who somebody is.

Pure. Attributes have many names: those written down for the provider come first, then the common ones.
"""

from __future__ import annotations

from typing import Final

from vallum.identity.accounts_port import Person
from vallum.identity.saml.response import TRANSIENT, Assertion
from vallum.identity.sso.errors import SignInRefused
from vallum.identity.sso.join import Identity
from vallum.identity.sso.providers import SamlProvider

__all__ = ["identity_of"]

_SOAP: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_EMAIL: Final = ("email", "mail", "urn:oid:0.9.2342.19200300.100.1.3", f"{_SOAP}emailaddress")
_NAME: Final = ("displayName", "urn:oid:2.16.840.1.113730.3.1.241", f"{_SOAP}name", "name")
_LOGIN: Final = ("uid", "urn:oid:0.9.2342.19200300.100.1.1", f"{_SOAP}upn")
_MAIL_FORMAT: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"


def identity_of(assertion: Assertion, provider: SamlProvider) -> Identity:
    """Who that is. Raises: SignInRefused."""
    email = _first(assertion, provider.email_attribute, _EMAIL)
    if email is None and assertion.name_format == _MAIL_FORMAT:
        email = assertion.name_id
    subject = _subject(assertion, provider)
    login = _first(assertion, provider.login_attribute, _LOGIN) or email or subject
    groups = assertion.attributes.get(provider.groups_attribute, ())
    return Identity(
        issuer=assertion.issuer,
        subject=subject,
        person=Person(login, _first(assertion, provider.name_attribute, _NAME) or login, email),
        # There is no such claim in SAML: `domains` says for which addresses the provider is believed.
        email_verified=email is not None,
        match=login,
        attributes={**assertion.attributes, "groups": groups},
        sid=assertion.session,
        authenticated=assertion.authenticated,
        methods=(assertion.context,) if assertion.context else (),
        hint={
            "name_id": assertion.name_id,
            "name_attributes": dict(assertion.name_attributes),
            "session": assertion.session,
        }
        if assertion.name_id is not None
        else None,
    )


def _subject(assertion: Assertion, provider: SamlProvider) -> str:
    if provider.subject_attribute is not None:
        values = assertion.attributes.get(provider.subject_attribute, ())
        subject = values[0] if len(values) == 1 else None
    else:
        subject = assertion.name_id if assertion.name_format != TRANSIENT else None
    if not subject or len(subject) > 255 or not subject.isprintable():
        raise SignInRefused(
            "the provider does not say who you are in a way that lasts",
            reason="subject",
            where=provider.id,
            fix="an administrator can let it send a persistent NameID, or set `subject_attribute`",
        )
    return subject


def _first(assertion: Assertion, wanted: str | None, common: tuple[str, ...]) -> str | None:
    for name in (wanted,) if wanted else common:
        for value in assertion.attributes.get(name, ()):
            if 0 < len(value) <= 255 and value.isprintable():
                return value
    return None
