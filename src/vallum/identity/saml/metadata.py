"""What a service provider publishes, and what an identity provider has published.

Pure. Metadata of providers are given by an administrator, who vouches for where they are from.
"""

from __future__ import annotations

import base64
import binascii
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree

from vallum.identity.saml.addresses import Ours
from vallum.identity.saml.bindings import POST_BINDING, REDIRECT_BINDING
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.xml import DS, MD, parse, text_of
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused
from vallum.identity.sso.providers import SamlProvider

__all__ = ["read_provider", "service_metadata"]

_BINDINGS: Final = {"redirect": REDIRECT_BINDING, "post": POST_BINDING}
_LIMIT: Final = 16 << 20


_ENCRYPTION: Final = (
    "http://www.w3.org/2009/xmlenc11#aes256-gcm",
    "http://www.w3.org/2009/xmlenc11#aes128-gcm",
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
)


def service_metadata(ours: Ours, provider: SamlProvider, keys: Sequence[ServiceKey]) -> bytes:
    """Our own metadata for a provider. `keys`: all that there are, the one that signs first."""
    entity = etree.Element(
        f"{MD}EntityDescriptor", {"entityID": ours.entity_id(provider.id)}, nsmap={"md": MD.strip("{}")}
    )
    service = etree.SubElement(
        entity,
        f"{MD}SPSSODescriptor",
        {
            "protocolSupportEnumeration": "urn:oasis:names:tc:SAML:2.0:protocol",
            "AuthnRequestsSigned": "true" if provider.sign_requests else "false",
            "WantAssertionsSigned": "true",
        },
    )
    for key in keys:
        _describe_key(service, "signing", key)
    # The one added last: it will be there the longest.
    for key in keys[-1:] if provider.encrypt else ():
        node = _describe_key(service, "encryption", key)
        for algorithm in _ENCRYPTION:
            etree.SubElement(node, f"{MD}EncryptionMethod", {"Algorithm": algorithm})
    for binding in (REDIRECT_BINDING, POST_BINDING) if keys else ():
        etree.SubElement(
            service,
            f"{MD}SingleLogoutService",
            {"Binding": binding, "Location": ours.logout_url(provider.id)},
        )
    etree.SubElement(
        service, f"{MD}NameIDFormat"
    ).text = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    etree.SubElement(
        service,
        f"{MD}AssertionConsumerService",
        {
            "Binding": POST_BINDING,
            "Location": ours.acs_url(provider.id),
            "index": "0",
            "isDefault": "true",
        },
    )
    return etree.tostring(entity, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _describe_key(service: etree._Element, use: str, key: ServiceKey) -> etree._Element:
    node = etree.SubElement(service, f"{MD}KeyDescriptor", {"use": use})
    info = etree.SubElement(node, f"{DS}KeyInfo", nsmap={"ds": DS.strip("{}")})
    data = etree.SubElement(info, f"{DS}X509Data")
    lines = [line for line in key.certificate.splitlines() if "-----" not in line]
    etree.SubElement(data, f"{DS}X509Certificate").text = "".join(lines)
    return node


def read_provider(content: bytes, now: datetime, *, entity_id: str | None = None) -> dict[str, Any]:
    """A provider's name, address and certificates. `entity_id`: which one, where there are several.

    Raises: ProviderMisconfigured.
    """
    where = "the provider's metadata"
    try:
        root = parse(content, where=where, limit=_LIMIT)
    except SignInRefused as error:
        raise ProviderMisconfigured(error.what.replace("the answer", where)) from error
    found = [
        node
        for node in root.iter(f"{MD}EntityDescriptor")
        if node.find(f"{MD}IDPSSODescriptor") is not None and entity_id in (None, node.get("entityID"))
    ]
    if len(found) != 1:
        raise ProviderMisconfigured(
            f"the metadata describe {len(found)} identity providers of that name",
            fix="say which one by its entity id" if found else None,
        )
    _check_validity(root, found[0], now)
    description = found[0].find(f"{MD}IDPSSODescriptor")
    if description is None:
        raise ProviderMisconfigured("the metadata describe no identity provider")
    address, binding = _address(description, "SingleSignOnService", "Location")
    if address is None:
        raise ProviderMisconfigured("the provider takes requests in no way that is known here")
    logout, logout_binding = _address(description, "SingleLogoutService", "Location")
    answers, _ = _address(description, "SingleLogoutService", "ResponseLocation", (logout_binding,))
    return {
        "entity_id": found[0].get("entityID"),
        "sign_in_url": address,
        "binding": binding,
        "certificates": _certificates(description),
        "sign_requests": description.get("WantAuthnRequestsSigned") in ("true", "1"),
        "logout_url": logout,
        "logout_response_url": answers,
        "logout_binding": logout_binding,
    }


def _check_validity(root: etree._Element, entity: etree._Element, now: datetime) -> None:
    for node in (root, entity):
        until = node.get("validUntil")
        if until is None:
            continue
        try:
            end = datetime.fromisoformat(until)
        except ValueError as error:
            raise ProviderMisconfigured("the metadata end at a time that is none") from error
        if (end if end.tzinfo else end.replace(tzinfo=UTC)) <= now:
            raise ProviderMisconfigured(f"the metadata were valid until {until}", fix="get them anew")


def _address(
    description: etree._Element, service: str, attribute: str, known: Sequence[str] = ("redirect", "post")
) -> tuple[str | None, str]:
    """Where the provider takes messages, and how; None where it does in no way that is known here."""
    found = {node.get("Binding"): node.get(attribute) for node in description.findall(f"{MD}{service}")}
    for name in known:
        location = found.get(_BINDINGS[name])
        if location:
            return location, name
    return None, "redirect"


def _certificates(description: etree._Element) -> tuple[str, ...]:
    found = []
    for key in description.findall(f"{MD}KeyDescriptor"):
        if key.get("use") == "encryption":
            continue
        for node in key.iter(f"{DS}X509Certificate"):
            try:
                plain = base64.b64decode("".join((text_of(node) or "").split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise ProviderMisconfigured("a certificate in the metadata cannot be read") from error
            body = "\n".join(textwrap.wrap(base64.b64encode(plain).decode(), 64))
            found.append(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    if not found:
        raise ProviderMisconfigured("the metadata hold no certificate for signatures")
    return tuple(dict.fromkeys(found))
