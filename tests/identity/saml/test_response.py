"""Answers of identity providers: what is believed, and every attack that is known."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureMethod
from signxml.signer import XMLSigner

from tests.identity.saml.idp import (
    IDP,
    NOW,
    Answer,
    answer,
    certificate,
    check,
    encoded,
    provider,
    sign,
)
from tests.support.certificates import self_signed
from vallum.identity.saml.claims import identity_of
from vallum.identity.saml.xml import ASSERTION, DS, PROTOCOL
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused
from vallum.identity.sso.providers import SamlProvider

ROOT = "root@example.com"


def reason(posted: str | etree._Element | bytes, who: SamlProvider | None = None, **given: Any) -> str:
    """Why an answer is refused."""
    with pytest.raises(SignInRefused) as caught:
        check(posted, who, **given)
    return caught.value.reason


def test_sound_answer_is_accepted() -> None:
    """Its parts come out."""
    found = check(answer())
    assert (found.name_id, found.session, found.issuer) == ("marie@example.com", "_s", IDP)
    assert found.attributes == {"groups": ("sales", "other")}
    assert found.until == NOW + timedelta(minutes=5, seconds=60)


def test_answer_that_is_signed_as_well_is_accepted() -> None:
    """The signature of the envelope adds nothing, and is not in the way."""
    one = Answer()
    assert check(sign(one.response(sign(one.assertion())))).name_id == "marie@example.com"


# Wrapping: a signed assertion stays in the document, another one is to be read.


def evil() -> etree._Element:
    """What the attacker wants to be read."""
    return Answer(name_id=ROOT, identifier="_evil").assertion()


def signed() -> etree._Element:
    """What the provider has signed."""
    return sign(Answer().assertion())


def xsw1() -> etree._Element:
    """A forged answer, the signed one within its signature."""
    original = sign(Answer().response(signed()))
    forged = Answer().response(evil(), identifier="_forged")
    signature = copy.deepcopy(original[1])
    kept = copy.deepcopy(original)
    kept.remove(kept[1])
    signature.append(kept)
    forged.insert(1, signature)
    return forged


def xsw2() -> etree._Element:
    """A forged answer, the signed one before its signature."""
    original = sign(Answer().response(signed()))
    forged = Answer().response(evil(), identifier="_forged")
    signature = copy.deepcopy(original[1])
    kept = copy.deepcopy(original)
    kept.remove(kept[1])
    forged.insert(1, kept)
    forged.insert(2, signature)
    return forged


def xsw3() -> etree._Element:
    """A forged assertion before the signed one."""
    return Answer().response(evil(), signed())


def xsw4() -> etree._Element:
    """The signed one within a forged one."""
    forged = evil()
    forged.append(signed())
    return Answer().response(forged)


def xsw5() -> etree._Element:
    """The signed one with its content replaced, its copy at the end."""
    forged, kept = signed(), Answer().assertion()
    forged.set("ID", "_evil")
    _name(forged).text = ROOT
    return Answer().response(forged, kept)


def xsw6() -> etree._Element:
    """The same, the copy within the signature."""
    forged, kept = signed(), Answer().assertion()
    forged.set("ID", "_evil")
    _name(forged).text = ROOT
    forged[1].append(kept)
    return Answer().response(forged)


def xsw7() -> etree._Element:
    """A forged one in an extension, with the same identifier."""
    response = Answer().response(signed())
    forged = evil()
    forged.set("ID", "_assertion")
    extensions = etree.Element(f"{PROTOCOL}Extensions")
    extensions.append(forged)
    response.insert(1, extensions)
    return response


def xsw8() -> etree._Element:
    """The signed one in an object of the signature, which the forged one has."""
    forged = signed()
    _name(forged).text = ROOT
    forged.set("ID", "_evil")
    holder = etree.SubElement(forged[1], f"{DS}Object")
    holder.append(Answer().assertion())
    return Answer().response(forged)


def _name(assertion: etree._Element) -> etree._Element:
    found = assertion.find(f"{ASSERTION}Subject/{ASSERTION}NameID")
    assert found is not None
    return found


@pytest.mark.asvs("6.8.2")
@pytest.mark.parametrize("attack", [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8])
def test_wrapped_signature_is_refused(attack: Callable[[], etree._Element]) -> None:
    """Eight ways to have one assertion checked and another one read."""
    assert reason(attack()) in ("wrapped", "signature", "form")


@pytest.mark.asvs("6.8.2")
def test_forged_assertion_with_the_identifier_of_the_signed_one_is_refused() -> None:
    """No identifier means two elements."""
    forged = evil()
    forged.set("ID", "_assertion")
    assert reason(Answer().response(forged, signed())) == "form"


@pytest.mark.asvs("6.8.2")
def test_unsigned_assertion_is_refused() -> None:
    """Also within an answer that is signed: the text says what the provider is to be told."""
    one = Answer()
    for response in (one.response(one.assertion()), sign(one.response(one.assertion()))):
        with pytest.raises(SignInRefused, match="sign assertions"):
            check(response)


@pytest.mark.asvs("6.8.2", "9.1.1")
def test_changed_assertion_is_refused() -> None:
    """Every part that counts is under the signature."""
    for change in (f"{ASSERTION}Subject/{ASSERTION}NameID", f"{ASSERTION}Issuer"):
        one = signed()
        found = one.find(change)
        assert found is not None
        found.text = ROOT
        assert reason(Answer().response(one)) == "signature"


@pytest.mark.asvs("6.8.2", "9.1.3")
def test_certificate_within_the_message_is_not_believed() -> None:
    """Whoever signs with a key of their own, and says so, is nobody."""
    one = Answer()
    assert reason(one.response(sign(one.assertion(), "mallory"))) == "signature"
    both = provider(certificates=[certificate("old").pem, certificate().pem])
    assert check(answer(), both).name_id == "marie@example.com"


@pytest.mark.asvs("9.1.2")
def test_shared_secret_is_no_signature() -> None:
    """HMAC with the public certificate as the secret."""
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.HMAC_SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    one = Answer()
    made = signer.sign(
        one.assertion(), key=certificate().pem.encode(), reference_uri="#_assertion", id_attribute="ID"
    )
    assert reason(one.response(made)) == "signature"


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize(
    "given",
    [
        {"c14n": CanonicalizationMethod.CANONICAL_XML_1_0},
        {"c14n": CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0_WITH_COMMENTS},
    ],
)
def test_other_canonicalisation_is_refused(given: dict[str, Any]) -> None:
    """One way to read a signed text, so that nobody reads it in two."""
    one = Answer()
    assert reason(one.response(sign(one.assertion(), **given))) == "signature"


def test_signature_over_the_whole_document_or_nothing_is_refused() -> None:
    """The reference names the assertion."""
    for uri in ("", "#_other", "#xpointer(/)"):
        one = signed()
        reference = next(one.iter(f"{DS}Reference"))
        reference.set("URI", uri)
        assert reason(Answer().response(one)) == "signature"


@pytest.mark.asvs("6.8.2")
@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"marie@example.com<!-- -->.evil.example", "marie@example.com.evil.example"),
        (b"mar<!-- x -->ie@example.com", "marie@example.com"),
    ],
)
def test_comment_does_not_cut_a_name(text: bytes, name: str) -> None:
    """Comments are not under the signature: the name is what stands around them."""
    one = Answer(name_id=name)
    content = etree.tostring(one.response(sign(one.assertion())))
    changed = content.replace(name.encode(), text)
    assert changed != content
    assert check(changed).name_id == name


@pytest.mark.parametrize(
    "prefix",
    [
        b'<!DOCTYPE x [<!ENTITY e "marie">]>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        b"<!DOCTYPE x>",
        b"<?xml-stylesheet href='x'?>",
    ],
)
def test_doctype_is_refused(prefix: bytes) -> None:
    """No entities, no files, no laughs."""
    content = etree.tostring(Answer().response(signed()))
    expected = "form" if b"DOCTYPE" in prefix else None
    if expected:
        assert reason(prefix + content) == expected
    else:
        assert check(prefix + content).name_id == "marie@example.com"


def test_instruction_within_is_refused() -> None:
    """What stands in the tree and is no element."""
    content = etree.tostring(Answer().response(signed()))
    assert reason(content.replace(b"marie@", b"marie<?x?>@")) == "form"


@pytest.mark.parametrize(
    "posted", ["", "!", "PHg+", "é", "A" * 400_000, encoded(b"<a>" * 500 + b"</a>" * 500)]
)
def test_what_is_no_answer_is_refused(posted: str) -> None:
    """Whatever it is."""
    assert reason(posted) == "form"


@pytest.mark.asvs("9.2.3", "6.8.3")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"audience": "https://other.example"}, "audience"),
        ({"audience": None}, "audience"),
        ({"recipient": "https://evil.example/acs"}, "recipient"),
        ({"recipient": None}, "recipient"),
        ({"request": "_other"}, "in-response-to"),
        ({"request": None}, "in-response-to"),
        ({"issuer": "https://evil.example"}, "issuer"),
        ({"destination": "https://evil.example/acs"}, "destination"),
        ({"status": "urn:oasis:names:tc:SAML:2.0:status:Responder"}, "status"),
        ({"version": "1.1"}, "issuer"),
        ({"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}, "subject"),
        ({"authenticated": False}, "statement"),
        ({"end": None}, "expired"),
        ({"end": NOW - timedelta(seconds=60)}, "expired"),
        ({"start": NOW + timedelta(seconds=61)}, "clock"),
    ],
)
def test_answer_that_is_not_for_us_is_refused(change: dict[str, Any], why: str) -> None:
    """Audience, recipient, request, issuer, status and time: each alone is enough."""
    assert reason(answer(**change)) == why


def test_request_within_the_assertion_counts() -> None:
    """What stands around it can be changed by anybody."""
    one = Answer(request="_other")
    response = one.response(sign(one.assertion()))
    response.set("InResponseTo", "_request")
    assert reason(response) == "in-response-to"


def test_clocks_may_differ_by_the_skew() -> None:
    """A minute, unless said otherwise; the text says what to compare."""
    assert check(answer(start=NOW + timedelta(seconds=60), end=NOW + timedelta(minutes=5))).name_id
    assert reason(answer(start=NOW + timedelta(seconds=6)), provider(skew=5)) == "clock"
    with pytest.raises(SignInRefused, match="clocks"):
        check(answer(end=NOW - timedelta(hours=1)))


def test_expired_certificate_is_named() -> None:
    """Nobody comes in by it; the text says when it ended and what to do."""
    old = self_signed(start=NOW - timedelta(days=10), end=NOW - timedelta(days=1))
    with pytest.raises(ProviderMisconfigured, match="metadata anew") as caught:
        check(answer(), provider(certificates=[old.pem]))
    assert f"{NOW - timedelta(days=1):%Y-%m-%d}" in str(caught.value)
    assert check(answer(), provider(certificates=[old.pem, certificate().pem])).name_id


def test_encrypted_assertion_is_named() -> None:
    """It cannot be read; the text says what to switch off."""
    response = Answer().response(etree.Element(f"{ASSERTION}EncryptedAssertion"))
    with pytest.raises(SignInRefused, match="encrypts"):
        check(response)


def test_unknown_condition_is_refused() -> None:
    """A condition that is not understood is not fulfilled."""
    one = Answer()
    assertion = one.assertion()
    conditions = assertion.find(f"{ASSERTION}Conditions")
    assert conditions is not None
    etree.SubElement(conditions, f"{ASSERTION}Condition")
    assert reason(one.response(sign(assertion))) == "conditions"


@pytest.mark.asvs("6.8.4")
def test_asked_context_that_is_not_shown_is_refused() -> None:
    """How somebody signed in is what was asked for."""
    assert check(answer(), provider(acr=["urn:password"])).context == "urn:password"
    assert reason(answer(), provider(acr=["urn:two-factors"])) == "acr"


def test_name_that_does_not_last_is_refused() -> None:
    """A transient name is another one tomorrow; an attribute can take its place."""
    transient = check(answer(format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"))
    with pytest.raises(SignInRefused, match="persistent"):
        identity_of(transient, provider())
    by_attribute = provider(subject_attribute="employee")
    lasting = check(answer(attributes={"employee": ["e-1"]}))
    assert identity_of(lasting, by_attribute).subject == "e-1"
    with pytest.raises(SignInRefused):
        identity_of(check(answer(attributes={"employee": ["e-1", "e-2"]})), by_attribute)


def test_person_is_read_from_common_attributes() -> None:
    """As Entra ID, Shibboleth and others call them, or as written down."""
    soap = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
    given = {f"{soap}emailaddress": ["m@example.com"], f"{soap}name": ["Marie"], "uid": ["marie"]}
    who = identity_of(check(answer(attributes=given)), provider())
    assert (who.person.login, who.person.name, who.person.email) == ("marie", "Marie", "m@example.com")
    own = provider(login_attribute="badge")
    assert identity_of(check(answer(attributes={"badge": ["b7"]})), own).person.login == "b7"


@pytest.mark.asvs("16.5.1")
def test_what_the_provider_says_of_a_failure_is_kept_apart() -> None:
    """Whoever signs in reads our words; the codes and the message are cleaned, and for administrators."""
    status = "urn:oasis:names:tc:SAML:2.0:status:"
    node = etree.fromstring(
        f'<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" Version="2.0"><p:Status>'
        f'<p:StatusCode Value="{status}Responder"><p:StatusCode Value="{status}AuthnFailed"/></p:StatusCode>'
        "<p:StatusMessage>Call\n<![CDATA[<b>555</b>]]>\u202e now</p:StatusMessage></p:Status></p:Response>"
    )
    with pytest.raises(SignInRefused) as caught:
        check(node)
    assert caught.value.what == "the provider did not sign you in"
    assert "555" not in str(caught.value)
    assert caught.value.said == "Responder: AuthnFailed: Call <b>555</b> now"
