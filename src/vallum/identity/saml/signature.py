"""Check the signature of an assertion or a message, and give back what was signed: nothing else may be read.

Pure. Steps: 1. one signature, a child of the element, and none deeper; 2. one reference, to that element,
by the two transforms SAML knows; 3. the algorithms we accept; 4. one of the certificates written down, within
its validity (what the message itself brings is not looked at); 5. the canonical bytes that were signed, read
anew.
Source: SAML 2.0 Core, section 5.4; XML Signature Best Practices.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from vallum.identity.saml.certificates import valid_certificates
from vallum.identity.saml.xml import DS, children
from vallum.identity.sso.errors import ASK, SignInRefused

__all__ = ["signed"]

_METHODS: Final = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
    }
)
_DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"


def signed(
    assertion: etree._Element, certificates: tuple[str, ...], now: datetime, where: str
) -> etree._Element:
    """The assertion as it was signed; or, likewise, an answer or a message of logout.

    Raises: SignInRefused, ProviderMisconfigured.
    """
    _check_form(assertion, where)
    valid = valid_certificates(certificates, now, where)
    # A document of its own, so that nothing outside the assertion can be referred to.
    content = etree.tostring(assertion, with_tail=False)
    for certificate in valid:
        found = _verified(content, certificate, now)
        if found is not None:
            if found.tag != assertion.tag or found.get("ID") != assertion.get("ID"):
                raise _refuse("the signature is over something else", where)
            return found
    raise _refuse("the provider's signature is wrong, or by another certificate", where)


def _check_form(assertion: etree._Element, where: str) -> None:
    direct = children(assertion, f"{DS}Signature")
    every = list(assertion.iter(f"{DS}Signature"))
    if not every:
        if etree.QName(assertion).localname != "Assertion":
            raise _refuse("the provider sent a message without a signature", where)
        raise SignInRefused(
            "the provider sent an assertion without a signature",
            reason="signature",
            where=where,
            fix=f"{ASK} to let the provider sign assertions, not only answers",
        )
    if len(every) != 1 or direct != every:
        raise _refuse("what the provider sent is not signed once, as a whole", where)
    references = list(direct[0].iter(f"{DS}Reference"))
    identifier = assertion.get("ID")
    if len(references) != 1 or not identifier or references[0].get("URI") != f"#{identifier}":
        raise _refuse("the signature is over something else", where)
    transforms = [node.get("Algorithm") for node in references[0].iter(f"{DS}Transform")]
    if transforms != [_ENVELOPED, _EXCLUSIVE]:
        raise _refuse("the signature transforms what it is over", where)
    method = direct[0].find(f"{DS}SignedInfo/{DS}CanonicalizationMethod")
    if method is None or method.get("Algorithm") != _EXCLUSIVE:
        raise _refuse("the signature is canonicalised in a way that is not accepted", where)
    if list(direct[0].iter(f"{DS}Object")):
        raise _refuse("the signature holds more than a signature", where)


def _verified(content: bytes, certificate: x509.Certificate, now: datetime) -> etree._Element | None:
    config = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=_METHODS,
        digest_algorithms=_DIGESTS,
        # Keys that the message brings are neither used nor compared.
        ignore_ambiguous_key_info=True,
        verification_time=now,
    )
    try:
        result = XMLVerifier().verify(content, x509_cert=certificate, id_attribute="ID", expect_config=config)
    except (
        SignXMLException,
        etree.LxmlError,
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        NotImplementedError,
    ):
        return None
    return None if isinstance(result, list) else result.signed_xml


def _refuse(what: str, where: str) -> SignInRefused:
    return SignInRefused(what, reason="signature", where=where)
