"""An identity provider's answers, made by hand so that each part can be wrong."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureMethod
from signxml.signer import XMLSigner

from tests.support.certificates import Certificate, self_signed
from vallum.identity.saml.response import BEARER, SUCCESS, Assertion, Expected, check_response
from vallum.identity.saml.xml import ASSERTION, DS, PROTOCOL
from vallum.identity.sso.providers import SamlProvider, parse

NOW = datetime.now(UTC).replace(microsecond=0)
IDP = "https://idp.example/metadata"
SP = "https://vallum.example/sso/corp/metadata"
ACS = "https://vallum.example/sso/corp/acs"
EXPECTED = Expected(SP, ACS, "_request")
_NAMES = {"samlp": PROTOCOL.strip("{}"), "saml": ASSERTION.strip("{}")}


def certificate(name: str = "idp") -> Certificate:
    """The key of that name."""
    return _certificate(name)


@cache
def _certificate(name: str) -> Certificate:
    return self_signed(f"{name}.example")


def provider(**given: Any) -> SamlProvider:
    """The provider, as written down."""
    described = {
        "kind": "saml",
        "id": "corp",
        "label": "Corp",
        "entity_id": IDP,
        "sign_in_url": "https://idp.example/sign-in",
        "certificates": [certificate().pem],
        **given,
    }
    found = parse(described)
    assert isinstance(found, SamlProvider)
    return found


def stamp(moment: datetime) -> str:
    """As SAML writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Answer:
    """What goes into an answer; None leaves a part out."""

    name_id: str = "marie@example.com"
    identifier: str = "_assertion"
    issuer: str = IDP
    audience: str | None = SP
    recipient: str | None = ACS
    request: str | None = "_request"
    start: datetime | None = NOW - timedelta(seconds=5)
    end: datetime | None = NOW + timedelta(minutes=5)
    status: str = SUCCESS
    destination: str | None = ACS
    version: str = "2.0"
    method: str = BEARER
    format: str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    authenticated: bool = True
    attributes: dict[str, list[str]] = field(default_factory=lambda: {"groups": ["sales", "other"]})

    def assertion(self) -> etree._Element:
        """The assertion, unsigned."""
        root = etree.Element(
            f"{ASSERTION}Assertion",
            {"ID": self.identifier, "Version": self.version, "IssueInstant": stamp(NOW)},
            nsmap=_NAMES,
        )
        _add(root, "Issuer", self.issuer)
        subject = _add(root, "Subject")
        _add(subject, "NameID", self.name_id, Format=self.format)
        confirmation = _add(subject, "SubjectConfirmation", Method=self.method)
        end = stamp(self.end) if self.end else None
        _add(
            confirmation,
            "SubjectConfirmationData",
            Recipient=self.recipient,
            InResponseTo=self.request,
            NotOnOrAfter=end,
        )
        start = stamp(self.start) if self.start else None
        conditions = _add(root, "Conditions", NotBefore=start, NotOnOrAfter=end)
        if self.audience is not None:
            _add(_add(conditions, "AudienceRestriction"), "Audience", self.audience)
        if self.authenticated:
            statement = _add(root, "AuthnStatement", AuthnInstant=stamp(NOW), SessionIndex="_s")
            _add(_add(statement, "AuthnContext"), "AuthnContextClassRef", "urn:password")
        attributes = _add(root, "AttributeStatement")
        for name, values in self.attributes.items():
            one = _add(attributes, "Attribute", Name=name)
            for value in values:
                _add(one, "AttributeValue", value)
        return root

    def response(self, *assertions: etree._Element, identifier: str = "_response") -> etree._Element:
        """The answer around assertions."""
        root = etree.Element(
            f"{PROTOCOL}Response",
            {"ID": identifier, "Version": "2.0", "IssueInstant": stamp(NOW)},
            nsmap=_NAMES,
        )
        for name, value in (("Destination", self.destination), ("InResponseTo", self.request)):
            if value is not None:
                root.set(name, value)
        _add(root, "Issuer", self.issuer)
        status = etree.SubElement(root, f"{PROTOCOL}Status")
        etree.SubElement(status, f"{PROTOCOL}StatusCode", {"Value": self.status})
        root.extend(assertions)
        return root


def _add(parent: etree._Element, name: str, text: str | None = None, **given: str | None) -> etree._Element:
    node = etree.SubElement(parent, ASSERTION + name, {k: v for k, v in given.items() if v is not None})
    node.text = text
    return node


def sign(node: etree._Element, name: str = "idp", **given: Any) -> etree._Element:
    """The element, signed within, right behind its issuer."""
    key = certificate(name)
    options = {"key": key.key, "cert": key.pem, **given.pop("sign", {})}
    signer = XMLSigner(
        c14n_algorithm=given.pop("c14n", CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0),
        signature_algorithm=given.pop("algorithm", SignatureMethod.RSA_SHA256),
        **given,
    )
    unsigned = copy.deepcopy(node)
    unsigned.insert(1, etree.Element(f"{DS}Signature", {"Id": "placeholder"}, nsmap={"ds": DS.strip("{}")}))
    signed: etree._Element = signer.sign(
        unsigned, reference_uri=f"#{node.get('ID')}", id_attribute="ID", **options
    )
    return signed


def encoded(node: etree._Element | bytes) -> str:
    """As it is posted."""
    content = node if isinstance(node, bytes) else etree.tostring(node)
    return base64.b64encode(content).decode()


def answer(**given: Any) -> str:
    """A sound answer, but for what is given."""
    one = Answer(**given)
    return encoded(one.response(sign(one.assertion())))


def check(posted: str | etree._Element | bytes, who: SamlProvider | None = None, **given: Any) -> Assertion:
    """The assertion of what was posted."""
    text = posted if isinstance(posted, str) else encoded(posted)
    return check_response(text, who or provider(), EXPECTED, given.get("now", NOW))
