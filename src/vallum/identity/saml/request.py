"""Ask an identity provider to sign somebody in.

Pure. By redirect (deflated, in the query, signed there) or by a form (signed within, by XML Signature).
Source: SAML 2.0 Bindings, sections 3.4 and 3.5.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner

from vallum.identity.saml.xml import ASSERTION, DS, PROTOCOL
from vallum.identity.sso.errors import ProviderMisconfigured
from vallum.identity.sso.providers import SamlProvider

__all__ = ["Message", "ServiceKey", "ask", "authn_request"]

POST_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_NAMES: Final = {"samlp": PROTOCOL.strip("{}"), "saml": ASSERTION.strip("{}")}


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """The key with which requests are signed, and the certificate for the metadata, both PEM."""

    key: str
    certificate: str

    def __repr__(self) -> str:
        return "ServiceKey(…)"

    def rsa(self) -> RSAPrivateKey:
        """Raises: ProviderMisconfigured."""
        try:
            key = load_pem_private_key(self.key.encode(), None)
        except (ValueError, TypeError) as error:
            raise ProviderMisconfigured("the key for signing requests cannot be read") from error
        if not isinstance(key, RSAPrivateKey):
            raise ProviderMisconfigured("the key for signing requests is no RSA key")
        return key


@dataclass(frozen=True, slots=True)
class Message:
    """A redirect to `url`, or, where there are fields, a form to be posted there."""

    url: str
    fields: dict[str, str] | None = None


def authn_request(
    provider: SamlProvider,
    identifier: str,
    entity_id: str,
    acs_url: str,
    now: datetime,
    *,
    force: bool = False,
) -> etree._Element:
    """The request. `force`: the credentials are to be asked for anew."""
    request = etree.Element(
        f"{PROTOCOL}AuthnRequest",
        {
            "ID": identifier,
            "Version": "2.0",
            "IssueInstant": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Destination": provider.sign_in_url,
            "AssertionConsumerServiceURL": acs_url,
            "ProtocolBinding": POST_BINDING,
            **({"ForceAuthn": "true"} if force else {}),
        },
        nsmap=_NAMES,
    )
    etree.SubElement(request, f"{ASSERTION}Issuer").text = entity_id
    etree.SubElement(request, f"{PROTOCOL}NameIDPolicy", {"AllowCreate": "true"})
    if provider.acr:
        wanted = etree.SubElement(request, f"{PROTOCOL}RequestedAuthnContext", {"Comparison": "exact"})
        for name in provider.acr:
            etree.SubElement(wanted, f"{ASSERTION}AuthnContextClassRef").text = name
    return request


def ask(provider: SamlProvider, request: etree._Element, relay: str, key: ServiceKey | None) -> Message:
    """The request on its way. Raises: ProviderMisconfigured (to be signed, but without a key)."""
    if provider.sign_requests and key is None:
        raise ProviderMisconfigured(
            "requests are to be signed, but there is no key for it", where=provider.id, fix="set `saml_key`"
        )
    if provider.binding == "post":
        return _by_form(provider, request, relay, key)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(etree.tostring(request)) + packer.flush()
    query = {"SAMLRequest": base64.b64encode(packed).decode(), "RelayState": relay}
    text = urlencode(query)
    if provider.sign_requests and key is not None:
        text = urlencode({**query, "SigAlg": RSA_SHA256})
        signature = key.rsa().sign(text.encode(), PKCS1v15(), SHA256())
        text += "&" + urlencode({"Signature": base64.b64encode(signature).decode()})
    return Message(f"{provider.sign_in_url}{'&' if urlsplit(provider.sign_in_url).query else '?'}{text}")


def _by_form(provider: SamlProvider, request: etree._Element, relay: str, key: ServiceKey | None) -> Message:
    if provider.sign_requests and key is not None:
        signer = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
        # The schema wants the signature right behind the issuer.
        place = etree.Element(f"{DS}Signature", {"Id": "placeholder"}, nsmap={"ds": DS.strip("{}")})
        request.insert(1, place)
        request = signer.sign(
            request,
            key=key.rsa(),
            cert=key.certificate,
            reference_uri=f"#{request.get('ID')}",
            id_attribute="ID",
        )
    encoded = base64.b64encode(etree.tostring(request)).decode()
    return Message(provider.sign_in_url, {"SAMLRequest": encoded, "RelayState": relay})
