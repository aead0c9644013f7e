"""Encrypted assertions: what is opened, and that encryption proves nothing and tells nothing."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from lxml import etree

from tests.identity.saml.encryption import CBC_256, OAEP_11, OAEP_SHA1, PKCS1, encrypted
from tests.identity.saml.idp import EXPECTED, NOW, Answer, certificate, encoded, provider, sign
from vallum.identity.saml.decrypt import XENC
from vallum.identity.saml.response import Assertion, check_response
from vallum.identity.saml.xml import ASSERTION
from vallum.identity.sso.errors import SignInRefused

OURS = certificate("ours").key
NEXT = certificate("next").key


def check(response: etree._Element, *keys: RSAPrivateKey) -> Assertion:
    """The assertion in it, for those of our keys."""
    return check_response(encoded(response), provider(), EXPECTED, NOW, keys or (OURS,))


def refusal(response: etree._Element, *keys: RSAPrivateKey) -> SignInRefused:
    """Why it is refused."""
    with pytest.raises(SignInRefused) as caught:
        check(response, *keys)
    return caught.value


def sealed(*, signed: bool = True, **given: Any) -> etree._Element:
    """A sound answer whose assertion is encrypted for us. `signed`: the answer as well."""
    one = Answer()
    response = one.response(encrypted(sign(one.assertion()), OURS.public_key(), **given))
    return sign(response) if signed else response


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("transport", [OAEP_SHA1, OAEP_11])
@pytest.mark.parametrize("beside", [True, False])
def test_assertion_by_aes_gcm_is_opened(signed: bool, transport: str, beside: bool) -> None:
    """Its signature within is what counts; the envelope's is checked where there is one."""
    found = check(sealed(signed=signed, transport=transport, beside=beside))
    assert (found.name_id, found.session) == ("marie@example.com", "_s")
    assert found.attributes["groups"] == ("sales", "other")


def test_assertion_by_aes_cbc_is_opened_only_within_a_signed_answer() -> None:
    """What does not show changes could be read by trying them: so somebody must vouch for the answer."""
    assert check(sealed(algorithm=CBC_256)).name_id == "marie@example.com"
    refused = refusal(sealed(algorithm=CBC_256, signed=False))
    assert (refused.reason, "AES-GCM" in str(refused.fix)) == ("encrypted", True)


@pytest.mark.asvs("6.8.2")
def test_changed_answer_by_aes_cbc_is_refused_before_it_is_opened() -> None:
    """The signature over what is encrypted is checked first: no question can be asked of the padding."""
    response = sealed(algorithm=CBC_256)
    value = response.find(
        f"{ASSERTION}EncryptedAssertion/{XENC}EncryptedData/{XENC}CipherData/{XENC}CipherValue"
    )
    assert value is not None
    assert value.text is not None
    value.text = value.text[:-8] + ("AAAA" if value.text[-8:-4] != "AAAA" else "BBBB") + value.text[-4:]
    assert refusal(response).reason == "signature"


@pytest.mark.asvs("16.5.1")
def test_all_that_fails_inside_is_said_in_the_same_words() -> None:
    """Another key, a changed byte, a content that is no assertion, two of them: nothing can be learned."""
    one = Answer()
    inner = sign(one.assertion())
    twice = etree.Element(f"{ASSERTION}Advice")
    twice.extend([sign(one.assertion())])
    other = certificate("other").key
    found = {
        (str(refused), refused.reason)
        for refused in (
            refusal(sealed(signed=False), other),
            refusal(sealed(signed=False, flip=-1)),
            refusal(sealed(signed=False, flip=0)),
            refusal(sealed(signed=False, flip=40)),
            *(
                refusal(one.response(encrypted(content, OURS.public_key())))
                for content in (b"no XML", b"<a/>", b"<!DOCTYPE a><a/>", etree.tostring(twice))
            ),
            refusal(sign(one.response(encrypted(inner, OURS.public_key(), algorithm=CBC_256, flip=-1)))),
            refusal(sign(one.response(encrypted(inner, other.public_key(), algorithm=CBC_256)))),
        )
    }
    assert len(found) == 1
    assert {reason for _, reason in found} == {"encrypted"}


@pytest.mark.parametrize("name", ["idp", "stranger"])
@pytest.mark.asvs("6.8.2")
def test_unsigned_or_foreign_assertion_is_refused_inside_too(name: str) -> None:
    """Our key is public: whoever encrypts for us is nobody by that."""
    one = Answer()
    inner = one.assertion() if name == "idp" else sign(one.assertion(), name)
    assert refusal(one.response(encrypted(inner, OURS.public_key()))).reason == "signature"
    assert refusal(sign(one.response(encrypted(inner, OURS.public_key())))).reason == "signature"


def test_encrypted_assertion_beside_another_is_refused() -> None:
    """Whatever is read, it is the only one."""
    one = Answer()

    def hidden() -> etree._Element:
        return encrypted(sign(one.assertion()), OURS.public_key())

    for response in (
        one.response(sign(one.assertion()), hidden()),
        one.response(hidden(), sign(one.assertion())),
        one.response(hidden(), hidden()),
    ):
        assert refusal(response).reason == "wrapped"


@pytest.mark.parametrize(
    "given",
    [
        {"transport": PKCS1},
        {"algorithm": "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"},
        {"algorithm": "http://www.w3.org/2001/04/xmlenc#kw-aes256"},
    ],
)
def test_algorithm_that_is_not_accepted_is_refused(given: dict[str, Any]) -> None:
    """With what to use instead; however it is signed."""
    refused = refusal(sealed(**given))
    assert "not accepted" in refused.what
    assert "AES-GCM with RSA-OAEP" in str(refused.fix)


def test_key_is_replaced_without_a_day_without_sign_in() -> None:
    """Old and new are both understood; several recipients do no harm, a crowd is refused."""
    one = Answer()
    inner = sign(one.assertion())
    assert check(one.response(encrypted(inner, OURS.public_key())), NEXT, OURS).name_id
    assert check(one.response(encrypted(inner, OURS.public_key(), NEXT.public_key())), NEXT).name_id
    crowd = encrypted(inner, *[OURS.public_key()] * 5)
    assert refusal(one.response(crowd)).reason == "encrypted"


def test_part_that_is_encrypted_by_itself_is_refused() -> None:
    """Names and attributes within an assertion: it is all or nothing."""
    one = Answer()
    assertion = one.assertion()
    etree.SubElement(assertion, f"{ASSERTION}EncryptedID")
    for response in (
        one.response(sign(assertion)),
        one.response(encrypted(sign(assertion), OURS.public_key())),
    ):
        assert refusal(response).reason == "encrypted"


def test_reference_to_elsewhere_is_not_followed() -> None:
    """A ciphertext is in the message."""
    response = sealed(signed=False)
    data = response.find(f"{ASSERTION}EncryptedAssertion/{XENC}EncryptedData/{XENC}CipherData")
    assert data is not None
    data.clear()
    etree.SubElement(data, f"{XENC}CipherReference", {"URI": "https://elsewhere.example/"})
    assert refusal(response).reason == "encrypted"
