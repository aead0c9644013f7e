"""Decrypt an assertion that was encrypted for us (XML Encryption 1.1).

Pure. Steps: 1. the form: one EncryptedData, a few EncryptedKeys at most, CipherValues, no references;
2. algorithms we accept; 3. the key, by RSA-OAEP; 4. the content; 5. it is one assertion, read as strictly as
what came in the clear.
AES-GCM proves by itself that the content was not changed. AES-CBC does not: by what we say of changed
content anybody could read it, byte for byte. So it is decrypted only where the provider has signed the
encrypted answer as a whole. RSA with PKCS #1 v1.5 is not accepted at all, for the same reason.
Invariant: decrypting proves nothing, since the key for it is public. The signature within is checked as it is
without encryption.
Invariant: whatever fails in steps 3 to 5 is said in the same words.
Source: https://www.w3.org/TR/xmlenc-core1/; Jager, Somorovsky: How to break XML encryption, 2011.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from lxml import etree

from vallum.identity.saml.xml import ASSERTION, DS, attribute, children, parse, text_of
from vallum.identity.sso.errors import ASK, SignInRefused

__all__ = ["XENC", "decrypted"]

XENC: Final = "{http://www.w3.org/2001/04/xmlenc#}"
_XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
_XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
_DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
# Bytes of the key.
_GCM: Final = {f"{_XENC11}aes{bits}-gcm": bits // 8 for bits in (128, 192, 256)}
_CBC: Final = {f"{_XENC}aes{bits}-cbc": bits // 8 for bits in (128, 192, 256)}
_OAEP: Final = (f"{_XENC}rsa-oaep-mgf1p", f"{_XENC11}rsa-oaep")
# SHA-1 within OAEP need not resist collisions; many providers can do no other.
_DIGESTS: Final[dict[str, type[HashAlgorithm]]] = {
    f"{_DSIG}sha1": SHA1,
    f"{_XENC}sha256": SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": SHA384,
    f"{_XENC}sha512": SHA512,
}
_MASKS: Final[dict[str, type[HashAlgorithm]]] = {
    f"{_XENC11}mgf1{name}": kind
    for name, kind in (("sha1", SHA1), ("sha256", SHA256), ("sha384", SHA384), ("sha512", SHA512))
}
_MOST_KEYS: Final = 4
_BLOCK: Final = 16
_NONCE: Final = 12


def decrypted(
    encrypted: etree._Element, keys: Sequence[RSAPrivateKey], *, authentic: bool, where: str
) -> etree._Element:
    """The assertion in an EncryptedAssertion. `authentic`: its signed envelope was checked.

    Raises: SignInRefused.
    """
    data, wrapped = _parts(encrypted, where)
    algorithm = attribute(data.find(f"{XENC}EncryptionMethod"), "Algorithm") or ""
    if algorithm in _CBC and not authentic:
        raise _refuse(
            "the provider encrypts in a way that does not show changes, and has not signed the answer",
            where,
            f"{ASK} to let the provider sign the answer as well, or encrypt by AES-GCM",
        )
    if algorithm not in _GCM and algorithm not in _CBC:
        raise _unknown(where)
    paddings = [_padding(one, where) for one in wrapped]
    for one, padding in zip(wrapped, paddings, strict=True):
        for key in keys:
            plain = _opened(key, padding, one, algorithm, data)
            if plain is not None:
                return _assertion(plain, where)
    raise _damaged(where)


def _parts(encrypted: etree._Element, where: str) -> tuple[etree._Element, list[etree._Element]]:
    """Step 1."""
    found = children(encrypted, f"{XENC}EncryptedData")
    # Within the data's KeyInfo, or beside it.
    wrapped = list(encrypted.iter(f"{XENC}EncryptedKey"))
    if len(found) != 1 or len(list(encrypted.iter(f"{XENC}EncryptedData"))) != 1:
        raise _refuse("the answer is encrypted in a way that is not understood", where)
    if not 1 <= len(wrapped) <= _MOST_KEYS or list(encrypted.iter(f"{XENC}CipherReference")):
        raise _refuse("the answer is encrypted in a way that is not understood", where)
    return found[0], wrapped


def _padding(wrapped: etree._Element, where: str) -> OAEP:
    """Step 2, of the key."""
    method = wrapped.find(f"{XENC}EncryptionMethod")
    algorithm = attribute(method, "Algorithm")
    if method is None or algorithm not in _OAEP or method.find(f"{XENC}OAEPparams") is not None:
        raise _unknown(where)
    digest = attribute(method.find(f"{DS}DigestMethod"), "Algorithm") or f"{_DSIG}sha1"
    mask = f"{_XENC11}mgf1sha1"
    if algorithm == _OAEP[1]:
        mask = attribute(method.find(f"{{{_XENC11}}}MGF"), "Algorithm") or mask
    if digest not in _DIGESTS or mask not in _MASKS:
        raise _unknown(where)
    return OAEP(MGF1(_MASKS[mask]()), _DIGESTS[digest](), None)


def _opened(
    key: RSAPrivateKey, padding: OAEP, wrapped: etree._Element, algorithm: str, data: etree._Element
) -> bytes | None:
    """Steps 3 and 4; None where that key does not open it."""
    try:
        secret = key.decrypt(_cipher(wrapped), padding)
        content = _cipher(data)
        if len(secret) != (_GCM.get(algorithm) or _CBC[algorithm]):
            return None
        if algorithm in _GCM:
            return AESGCM(secret).decrypt(content[:_NONCE], content[_NONCE:], None)
        return _by_cbc(secret, content)
    except (InvalidTag, ValueError, binascii.Error):
        return None


def _by_cbc(secret: bytes, content: bytes) -> bytes:
    cipher = Cipher(AES(secret), CBC(content[:_BLOCK])).decryptor()
    padded = cipher.update(content[_BLOCK:]) + cipher.finalize()
    # Only the last byte of XML Encryption's padding means something.
    count = padded[-1] if padded else 0
    if not 1 <= count <= _BLOCK or count > len(padded):
        raise ValueError
    return padded[:-count]


def _cipher(node: etree._Element) -> bytes:
    text = text_of(node.find(f"{XENC}CipherData/{XENC}CipherValue"))
    return base64.b64decode("".join((text or "").split()), validate=True)


def _assertion(plain: bytes, where: str) -> etree._Element:
    """Step 5."""
    try:
        root = parse(plain, where=where)
    except SignInRefused:
        raise _damaged(where) from None
    names = [etree.QName(node).localname for node in root.iter(etree.Element)]
    hidden = [name for name in names if name.startswith("Encrypted")]
    if root.tag != f"{ASSERTION}Assertion" or names.count("Assertion") != 1 or hidden:
        raise _damaged(where)
    return root


def _damaged(where: str) -> SignInRefused:
    return _refuse(
        "the answer was encrypted for another key, or changed on its way",
        where,
        f"{ASK} to give the provider our metadata anew: `vallum sso metadata`",
    )


def _unknown(where: str) -> SignInRefused:
    return _refuse(
        "the provider encrypts by an algorithm that is not accepted",
        where,
        f"{ASK} to let the provider use AES-GCM with RSA-OAEP",
    )


def _refuse(what: str, where: str, fix: str | None = None) -> SignInRefused:
    return SignInRefused(what, reason="encrypted", where=where, **({"fix": fix} if fix else {}))
