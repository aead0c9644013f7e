"""Encrypt an assertion for somebody, each part as it is wanted."""

from __future__ import annotations

import base64
import os

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from lxml import etree

from vallum.identity.saml.decrypt import XENC
from vallum.identity.saml.xml import ASSERTION, DS

GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
CBC_256 = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
OAEP_SHA1 = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
OAEP_11 = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
PKCS1 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
_ELEMENT = "http://www.w3.org/2001/04/xmlenc#Element"
_MGF_256 = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
_SHA_256 = "http://www.w3.org/2001/04/xmlenc#sha256"


def encrypted(
    content: etree._Element | bytes,
    *keys: RSAPublicKey,
    algorithm: str = GCM,
    transport: str = OAEP_SHA1,
    beside: bool = False,
    flip: int | None = None,
) -> etree._Element:
    """An EncryptedAssertion for each of the keys. `beside`: the keys not within the data; `flip`: a bit."""
    secret = os.urandom(32)
    plain = content if isinstance(content, bytes) else etree.tostring(content)
    sealed = bytearray(_by_gcm(secret, plain) if algorithm == GCM else _by_cbc(secret, plain))
    if flip is not None:
        sealed[flip] ^= 1
    root = etree.Element(f"{ASSERTION}EncryptedAssertion", nsmap={"xenc": XENC.strip("{}")})
    data = etree.SubElement(root, f"{XENC}EncryptedData", {"Type": _ELEMENT})
    etree.SubElement(data, f"{XENC}EncryptionMethod", {"Algorithm": algorithm})
    place = root if beside else etree.SubElement(data, f"{DS}KeyInfo")
    for key in keys:
        _wrap(place, key, secret, transport)
    _cipher(data, bytes(sealed))
    return root


def _wrap(place: etree._Element, key: RSAPublicKey, secret: bytes, transport: str) -> None:
    node = etree.SubElement(place, f"{XENC}EncryptedKey")
    method = etree.SubElement(node, f"{XENC}EncryptionMethod", {"Algorithm": transport})
    padding: OAEP | PKCS1v15 = OAEP(MGF1(SHA1()), SHA1(), None)  # noqa: S303 - what most providers do
    if transport == OAEP_11:
        etree.SubElement(method, f"{DS}DigestMethod", {"Algorithm": _SHA_256})
        etree.SubElement(method, "{http://www.w3.org/2009/xmlenc11#}MGF", {"Algorithm": _MGF_256})
        padding = OAEP(MGF1(SHA256()), SHA256(), None)
    elif transport == PKCS1:
        padding = PKCS1v15()
    _cipher(node, key.encrypt(secret, padding))


def _cipher(node: etree._Element, content: bytes) -> None:
    data = etree.SubElement(node, f"{XENC}CipherData")
    etree.SubElement(data, f"{XENC}CipherValue").text = base64.b64encode(content).decode()


def _by_gcm(secret: bytes, plain: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(secret).encrypt(nonce, plain, None)


def _by_cbc(secret: bytes, plain: bytes) -> bytes:
    count = 16 - len(plain) % 16
    start = os.urandom(16)
    cipher = Cipher(AES(secret), CBC(start)).encryptor()
    return start + cipher.update(plain + os.urandom(count - 1) + bytes([count])) + cipher.finalize()
