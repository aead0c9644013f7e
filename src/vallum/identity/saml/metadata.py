"""What a service provider publishes, and what an identity provider has published.

Pure. Metadata of providers are given by an administrator, who vouches for where they are from.
"""

from __future__ import annotations

import base64
import binascii
import textwrap
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree

from vallum.identity.saml.request import POST_BINDING
from vallum.identity.saml.xml import DS, MD, parse, text_of
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused

__all__ = ["read_provider", "service_metadata"]

REDIRECT_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_LIMIT: Final = 16 << 20


def service_metadata(entity_id: str, acs_url: str, certificate: str | None, *, sign: bool) -> bytes:
    """Our own metadata. `certificate`: PEM, where requests are signed."""
    entity = etree.Element(f"{MD}EntityDescriptor", {"entityID": entity_id}, nsmap={"md": MD.strip("{}")})
    service = etree.SubElement(
        entity,
        f"{MD}SPSSODescriptor",
        {
            "protocolSupportEnumeration": "urn:oasis:names:tc:SAML:2.0:protocol",
            "AuthnRequestsSigned": "true" if sign else "false",
            "WantAssertionsSigned": "true",
        },
    )
    if certificate is not None:
        key = etree.SubElement(service, f"{MD}KeyDescriptor", {"use": "signing"})
        info = etree.SubElement(key, f"{DS}KeyInfo", nsmap={"ds": DS.strip("{}")})
        data = etree.SubElement(info, f"{DS}X509Data")
        lines = [line for line in certificate.splitlines() if "-----" not in line]
        etree.SubElement(data, f"{DS}X509Certificate").text = "".join(lines)
    etree.SubElement(
        service, f"{MD}NameIDFormat"
    ).text = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    etree.SubElement(
        service,
        f"{MD}AssertionConsumerService",
        {"Binding": POST_BINDING, "Location": acs_url, "index": "0", "isDefault": "true"},
    )
    return etree.tostring(entity, xml_declaration=True, encoding="UTF-8", pretty_print=True)


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
    address, binding = _address(description)
    return {
        "entity_id": found[0].get("entityID"),
        "sign_in_url": address,
        "binding": binding,
        "certificates": _certificates(description),
        "sign_requests": description.get("WantAuthnRequestsSigned") in ("true", "1"),
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


def _address(description: etree._Element) -> tuple[str, str]:
    services = description.findall(f"{MD}SingleSignOnService")
    known = {node.get("Binding"): node.get("Location") for node in services}
    for name, binding in (("redirect", REDIRECT_BINDING), ("post", POST_BINDING)):
        location = known.get(binding)
        if location:
            return location, name
    raise ProviderMisconfigured("the provider takes requests in no way that is known here")


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
