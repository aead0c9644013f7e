"""Carry messages of SAML by way of the browser, signed: by redirect, or by a form.

Pure. By redirect the message is deflated into the query and signed there, over the text of the query as it
was sent; by a form it is signed within, by XML Signature.
Invariant: `received` gives back only what was signed by one of the provider's certificates.
Source: SAML 2.0 Bindings, sections 3.4 and 3.5.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from lxml import etree
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner

from vallum.identity.saml.certificates import valid_certificates
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.message import Message
from vallum.identity.saml.signature import signed
from vallum.identity.saml.xml import DS, parse
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused

__all__ = [
    "POST_BINDING",
    "REDIRECT_BINDING",
    "Name",
    "Received",
    "received",
    "require_key",
    "send",
]

POST_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
REDIRECT_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
Name = Literal["SAMLRequest", "SAMLResponse"]
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-"
_HASHES: Final[dict[str, type[HashAlgorithm]]] = {
    f"{_MORE}sha256": SHA256,
    f"{_MORE}sha384": SHA384,
    f"{_MORE}sha512": SHA512,
}
_LONGEST: Final = 256 * 1024
_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class Received:
    """What was signed, and what came with it to be given back."""

    name: Name
    message: etree._Element
    relay: str | None


def send(
    url: str, binding: str, name: Name, message: etree._Element, relay: str | None, key: ServiceKey | None
) -> Message:
    """A message on its way; signed where there is a key. Raises: SettingsError."""
    more = {"RelayState": relay} if relay is not None else {}
    if binding == "post":
        content = etree.tostring(_signed_within(message, key) if key is not None else message)
        return Message(url, {name: base64.b64encode(content).decode(), **more})
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(etree.tostring(message)) + packer.flush()
    query = {name: base64.b64encode(packed).decode(), **more}
    text = urlencode(query)
    if key is not None:
        text = urlencode({**query, "SigAlg": f"{_MORE}sha256"})
        signature = key.rsa.sign(text.encode(), PKCS1v15(), SHA256())
        text += "&" + urlencode({"Signature": base64.b64encode(signature).decode()})
    return Message(f"{url}{'&' if urlsplit(url).query else '?'}{text}")


def _signed_within(message: etree._Element, key: ServiceKey) -> etree._Element:
    signer = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
    # The schema wants the signature right behind the issuer.
    place = etree.Element(f"{DS}Signature", {"Id": "placeholder"}, nsmap={"ds": DS.strip("{}")})
    message.insert(1, place)
    signed_message: etree._Element = signer.sign(
        message,
        key=key.rsa,
        cert=key.certificate,
        reference_uri=f"#{message.get('ID')}",
        id_attribute="ID",
    )
    return signed_message


def received(method: str, content: str, certificates: tuple[str, ...], now: datetime, where: str) -> Received:
    """What came by redirect (`content`: the query as it was sent) or by a form (its body).

    Raises: SignInRefused, ProviderMisconfigured.
    """
    if method == "GET":
        return _by_redirect(content, certificates, now, where)
    fields = _single(parse_qsl(content, keep_blank_values=True, max_num_fields=_MOST), where)
    name = _name(fields, where)
    message = parse(_decoded(fields[name], where), where=where)
    return Received(name, signed(message, certificates, now, where), fields.get("RelayState"))


def _by_redirect(query: str, certificates: tuple[str, ...], now: datetime, where: str) -> Received:
    pairs = [part.partition("=") for part in query.split("&")[:_MOST] if part]
    raw = _single(((name, value) for name, _, value in pairs), where)
    fields = {key: unquote_plus(value) for key, value in raw.items()}
    name = _name(fields, where)
    kind = _HASHES.get(fields.get("SigAlg", ""))
    if kind is None or "Signature" not in fields:
        raise SignInRefused(
            "the message is not signed, or by an algorithm that is not accepted",
            reason="signature",
            where=where,
        )
    # As it was sent: encoding it anew could give another text.
    parts = [f"{key}={raw[key]}" for key in (name, "RelayState", "SigAlg") if key in raw]
    signature, text = _decoded(fields["Signature"], where), "&".join(parts).encode()
    for certificate in valid_certificates(certificates, now, where):
        if _verifies(certificate.public_key(), signature, text, kind):
            message = parse(_inflated(_decoded(fields[name], where), where), where=where)
            return Received(name, message, fields.get("RelayState"))
    raise SignInRefused(
        "the message's signature is wrong, or by another certificate", reason="signature", where=where
    )


def _verifies(key: object, signature: bytes, text: bytes, kind: type[HashAlgorithm]) -> bool:
    if not isinstance(key, RSAPublicKey):
        return False
    try:
        key.verify(signature, text, PKCS1v15(), kind())
    except InvalidSignature:
        return False
    return True


def _name(fields: dict[str, str], where: str) -> Name:
    if ("SAMLRequest" in fields) == ("SAMLResponse" in fields):
        raise SignInRefused("this is no message of SAML", reason="form", where=where)
    return "SAMLRequest" if "SAMLRequest" in fields else "SAMLResponse"


def _single(pairs: Iterable[tuple[str, str]], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise SignInRefused("the message says something twice", reason="form", where=where)
        found[name] = value
    return found


def _decoded(text: str, where: str) -> bytes:
    try:
        if len(text) > 2 * _LONGEST:
            raise ValueError
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise SignInRefused("the message cannot be read", reason="form", where=where) from None


def _inflated(packed: bytes, where: str) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        content = unpacker.decompress(packed, _LONGEST)
    except zlib.error:
        content = b""
    if not content or not unpacker.eof:
        raise SignInRefused("the message cannot be read", reason="form", where=where)
    return content


def require_key(key: ServiceKey | None, where: str) -> ServiceKey:
    """The key that signs. Raises: ProviderMisconfigured."""
    if key is None:
        raise ProviderMisconfigured(
            "messages to the provider are to be signed, but there is no key for it",
            where=where,
            fix="make one by `vallum sso key`, and give the provider our metadata anew: "
            f"`vallum sso metadata {where}`",
        )
    return key
