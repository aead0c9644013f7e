"""Check an answer of an identity provider.

Pure. The steps (SAML 2.0 Profiles 4.1.4.3, Core 2 and 3):
1. the form: XML without tricks, a Response, one assertion in it and in the whole document;
   where it is encrypted: the signature of the answer, if it has one, then `decrypt`;
2. the envelope: version, success, destination, issuer, the request it answers;
3. the signature of the assertion; from here on only what was signed is read;
4. its issuer; 5. its conditions: time and audience; 6. its subject: bearer, for this address, for this
request, still in time; 7. how somebody signed in.
That it is used once is the caller's to see to: `identifier`, `until`.
Invariant: nothing outside the signed assertion becomes part of who somebody is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from lxml import etree

from vallum.identity.saml.decrypt import decrypted
from vallum.identity.saml.signature import signed
from vallum.identity.saml.xml import ASSERTION, DS, PROTOCOL, attribute, children, parse, text_of
from vallum.identity.sso.errors import ASK, SignInRefused, cleaned
from vallum.identity.sso.providers import SamlProvider

__all__ = ["Assertion", "Expected", "check_response"]

SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_LONGEST: Final = 350_000


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must be for: our name, the address it comes to, the request it answers."""

    entity_id: str
    acs_url: str
    request: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What the provider vouches for. `identifier` is to be spent, and kept until `until`.

    `name_attributes`: of the NameID; they belong to it where the provider is told of a logout.
    """

    identifier: str
    issuer: str
    name_id: str | None
    name_format: str | None
    name_attributes: Mapping[str, str]
    attributes: dict[str, tuple[str, ...]]
    until: datetime
    session: str | None
    authenticated: datetime
    context: str | None


@dataclass(frozen=True, slots=True)
class _Check:
    provider: SamlProvider
    expected: Expected
    now: datetime
    keys: Sequence[RSAPrivateKey]

    def refuse(
        self, what: str, reason: str, fix: str | None = None, said: str | None = None
    ) -> SignInRefused:
        options = {"fix": fix} if fix else {}
        return SignInRefused(what, reason=reason, where=self.provider.id, said=said, **options)

    @property
    def skew(self) -> timedelta:
        return timedelta(seconds=self.provider.skew)


def check_response(
    encoded: str,
    provider: SamlProvider,
    expected: Expected,
    now: datetime,
    keys: Sequence[RSAPrivateKey] = (),
) -> Assertion:
    """What the provider vouches for. `keys`: ours, for which it may have encrypted.

    Raises: SignInRefused, ProviderMisconfigured.
    """
    check = _Check(provider, expected, now, keys)
    response = parse(_decoded(check, encoded), where=provider.id)
    enveloped = _only_assertion(check, response)
    _check_envelope(check, response)
    if enveloped.tag != f"{ASSERTION}Assertion":
        enveloped = _opened(check, response)
    assertion = signed(enveloped, provider.certificates, now, provider.id)
    if (
        text_of(assertion.find(f"{ASSERTION}Issuer")) != provider.entity_id
        or assertion.get("Version") != "2.0"
    ):
        raise check.refuse("the assertion is of another provider", "issuer")
    until = min(_check_conditions(check, assertion), _check_subject(check, assertion))
    return _read(check, assertion, until)


def _decoded(check: _Check, encoded: str) -> bytes:
    try:
        if len(encoded) > _LONGEST:
            raise ValueError
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise check.refuse("the answer cannot be read", "form") from None


def _only_assertion(check: _Check, response: etree._Element) -> etree._Element:
    """Step 1."""
    if response.tag != f"{PROTOCOL}Response":
        raise check.refuse("this is no answer to a sign-in", "form")
    names = [etree.QName(node).localname for node in response.iter(etree.Element)]
    if "EncryptedID" in names or "EncryptedAttribute" in names:
        raise check.refuse(
            "the provider encrypts parts of its assertions",
            "encrypted",
            f"{ASK} to let the provider encrypt assertions as a whole, or not at all",
        )
    found = [
        *children(response, f"{ASSERTION}Assertion"),
        *children(response, f"{ASSERTION}EncryptedAssertion"),
    ]
    count = names.count("Assertion") + names.count("EncryptedAssertion")
    if names.count("Response") != 1 or count > 1 or len(found) > 1:
        raise check.refuse("the answer holds more than one assertion", "wrapped")
    if not found:
        status = response.find(f"{PROTOCOL}Status/{PROTOCOL}StatusCode")
        if attribute(status, "Value") not in (None, SUCCESS):
            raise _not_signed_in(check, response)
        raise check.refuse("the answer holds no assertion", "wrapped")
    return found[0]


def _not_signed_in(check: _Check, response: etree._Element) -> SignInRefused:
    """In our own words; what the provider says of it is for those who look after it."""
    codes = [attribute(node, "Value") for node in response.iter(f"{PROTOCOL}StatusCode")][:2]
    names = [code.rpartition(":")[2] for code in codes if code]
    message = text_of(response.find(f"{PROTOCOL}Status/{PROTOCOL}StatusMessage"))
    return check.refuse("the provider did not sign you in", "status", said=cleaned(*names, message))


def _opened(check: _Check, response: etree._Element) -> etree._Element:
    """The assertion that was encrypted. The envelope's signature, where it has one, is checked before."""
    where = check.provider.id
    if not check.keys:
        raise check.refuse(
            "the provider encrypts its assertions, for which there is no key here",
            "encrypted",
            f"{ASK} to make one by `vallum sso key`, and to give the provider our metadata anew",
        )
    authentic = bool(children(response, f"{DS}Signature"))
    if authentic:
        response = signed(response, check.provider.certificates, check.now, where)
    found = children(response, f"{ASSERTION}EncryptedAssertion")
    if len(found) != 1:
        raise check.refuse("the answer holds no assertion", "wrapped")
    return decrypted(found[0], check.keys, authentic=authentic, where=where)


def _check_envelope(check: _Check, response: etree._Element) -> None:
    """Step 2. None of it is signed, perhaps: what counts is said in the assertion again."""
    status = response.find(f"{PROTOCOL}Status/{PROTOCOL}StatusCode")
    if response.get("Version") != "2.0" or attribute(status, "Value") != SUCCESS:
        raise _not_signed_in(check, response)
    if response.get("Destination") not in (None, check.expected.acs_url):
        raise check.refuse("the answer was meant for another address", "destination")
    issuer = response.find(f"{ASSERTION}Issuer")
    if issuer is not None and text_of(issuer) != check.provider.entity_id:
        raise check.refuse("the answer is of another provider", "issuer")
    if response.get("InResponseTo") != check.expected.request:
        raise check.refuse("the answer is not to this sign-in", "in-response-to")


def _check_conditions(check: _Check, assertion: etree._Element) -> datetime:
    """Step 5; until when the assertion holds."""
    found = children(assertion, f"{ASSERTION}Conditions")
    if len(found) != 1:
        raise check.refuse("the assertion has no conditions", "conditions")
    known = {f"{ASSERTION}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")}
    if any(node.tag not in known for node in found[0].iterchildren(etree.Element)):
        raise check.refuse("the assertion has a condition that is not understood", "conditions")
    _check_start(check, found[0])
    restrictions = children(found[0], f"{ASSERTION}AudienceRestriction")
    audiences = [{text_of(n) for n in children(one, f"{ASSERTION}Audience")} for one in restrictions]
    if not audiences or not all(check.expected.entity_id in some for some in audiences):
        raise check.refuse("the assertion is for another application", "audience")
    return _check_end(check, found[0], needed=False) or check.now + timedelta(days=1)


def _check_subject(check: _Check, assertion: etree._Element) -> datetime:
    """Step 6; until when it may be delivered."""
    refused = check.refuse("the assertion does not say whom it was handed to", "subject")
    for confirmation in assertion.findall(f"{ASSERTION}Subject/{ASSERTION}SubjectConfirmation"):
        data = confirmation.find(f"{ASSERTION}SubjectConfirmationData")
        if confirmation.get("Method") != BEARER or data is None:
            continue
        if data.get("Recipient") != check.expected.acs_url:
            refused = check.refuse("the assertion was handed out for another address", "recipient")
        elif data.get("InResponseTo") != check.expected.request:
            refused = check.refuse("the assertion is not for this sign-in", "in-response-to")
        elif data.get("NotBefore") is not None:
            refused = check.refuse("the assertion is not valid yet", "subject")
        else:
            end = _check_end(check, data, needed=True)
            return end if end is not None else check.now
    raise refused


def _check_start(check: _Check, node: etree._Element) -> None:
    start = _moment(check, node.get("NotBefore"))
    if start is not None and start > check.now + check.skew:
        raise check.refuse("the assertion is not valid yet: compare the clocks of both servers", "clock")


def _check_end(check: _Check, node: etree._Element, *, needed: bool) -> datetime | None:
    end = _moment(check, node.get("NotOnOrAfter"))
    if end is None:
        if needed:
            raise check.refuse("the assertion has no end", "expired")
        return None
    if end <= check.now - check.skew:
        raise check.refuse("the assertion is expired: compare the clocks of both servers", "expired")
    return end


def _moment(check: _Check, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise check.refuse("the assertion holds a time that is none", "form") from None
    if moment.tzinfo is None:
        raise check.refuse("the assertion holds a time without a zone", "form")
    return moment.astimezone(UTC)


def _read(check: _Check, assertion: etree._Element, until: datetime) -> Assertion:
    """Step 7, and what is left to be read."""
    statements = children(assertion, f"{ASSERTION}AuthnStatement")
    instant = _moment(check, attribute(statements[0], "AuthnInstant")) if statements else None
    if instant is None:
        raise check.refuse("the assertion does not say that somebody signed in", "statement")
    ends = _moment(check, statements[0].get("SessionNotOnOrAfter"))
    if ends is not None and ends <= check.now - check.skew:
        raise check.refuse("your session at the provider is over", "expired")
    context = text_of(statements[0].find(f"{ASSERTION}AuthnContext/{ASSERTION}AuthnContextClassRef"))
    if check.provider.acr and context not in check.provider.acr:
        raise check.refuse("you signed in there in a weaker way than is asked for here", "acr")
    name = assertion.find(f"{ASSERTION}Subject/{ASSERTION}NameID")
    return Assertion(
        identifier=str(assertion.get("ID")),
        issuer=check.provider.entity_id,
        name_id=text_of(name),
        name_format=attribute(name, "Format"),
        name_attributes={str(k): str(v) for k, v in name.attrib.items()} if name is not None else {},
        attributes=_attributes(assertion),
        until=until + check.skew,
        session=statements[0].get("SessionIndex"),
        authenticated=instant,
        context=context,
    )


def _attributes(assertion: etree._Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node in assertion.findall(f"{ASSERTION}AttributeStatement/{ASSERTION}Attribute"):
        values = [text_of(value) for value in children(node, f"{ASSERTION}AttributeValue")]
        name = node.get("Name")
        if name:
            found[name] = found.get(name, ()) + tuple(value for value in values if value is not None)
    return found
