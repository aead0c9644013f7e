"""Messages of logout: somebody signs out here, or the provider says that they did there.

Pure. Steps of a provider's request, whose signature was checked (`bindings`): 1. the form and version;
2. its issuer; 3. that it is for this address; 4. that it is of now; 5. whom it is about: one NameID in the
clear, and sessions, if it names some. That it is used once is the caller's to see to.
Invariant: a provider ends sessions that it has opened, and no others (the caller looks for its own alone).
Source: SAML 2.0 Core, section 3.7; Profiles, section 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lxml import etree

from vallum.identity.saml.request import NAMES
from vallum.identity.saml.response import SUCCESS
from vallum.identity.saml.xml import ASSERTION, PROTOCOL, attribute, children, text_of
from vallum.identity.sso.errors import SignInRefused
from vallum.identity.sso.providers import SamlProvider

__all__ = ["LogoutRequest", "check_logout_request", "is_success", "logout_request", "logout_response"]

_KEPT: Final = timedelta(minutes=5)
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """Whom it is about. `sessions`: all of the person's, where none are named. To be spent until `until`."""

    identifier: str
    name_id: str
    sessions: tuple[str, ...]
    until: datetime


def logout_request(
    provider: SamlProvider,
    identifier: str,
    entity_id: str,
    name_id: str,
    name_attributes: Mapping[str, str],
    session: str | None,
    now: datetime,
) -> etree._Element:
    """Ask a provider to sign somebody out. `name_attributes`: as they came with the NameID."""
    root = _message("LogoutRequest", identifier, entity_id, provider.logout_url or "", now)
    root.set("NotOnOrAfter", _stamp(now + _KEPT))
    known = {key: name_attributes[key] for key in _NAME_ATTRIBUTES if key in name_attributes}
    etree.SubElement(root, f"{ASSERTION}NameID", known).text = name_id
    if session is not None:
        etree.SubElement(root, f"{PROTOCOL}SessionIndex").text = session
    return root


_NAME_ATTRIBUTES: Final = ("Format", "NameQualifier", "SPNameQualifier", "SPProvidedID")


def logout_response(
    provider: SamlProvider, identifier: str, entity_id: str, answers: str, now: datetime
) -> etree._Element:
    """Tell a provider that it was done."""
    url = provider.logout_response_url or provider.logout_url or ""
    root = _message("LogoutResponse", identifier, entity_id, url, now)
    root.set("InResponseTo", answers)
    status = etree.SubElement(root, f"{PROTOCOL}Status")
    etree.SubElement(status, f"{PROTOCOL}StatusCode", {"Value": SUCCESS})
    return root


def check_logout_request(
    message: etree._Element, provider: SamlProvider, address: str, now: datetime
) -> LogoutRequest:
    """What the provider asks. `address`: ours, for which it must be. Raises: SignInRefused."""
    where, skew = provider.id, timedelta(seconds=provider.skew)
    identifier = message.get("ID")
    if message.tag != f"{PROTOCOL}LogoutRequest" or message.get("Version") != "2.0" or not identifier:
        raise _refuse("this is no request for logout", "form", where)
    if text_of(message.find(f"{ASSERTION}Issuer")) != provider.entity_id:
        raise _refuse("the request is of another provider", "issuer", where)
    if message.get("Destination") != address:
        raise _refuse("the request was meant for another address", "destination", where)
    issued, ends = _moment(message.get("IssueInstant")), _moment(message.get("NotOnOrAfter"))
    if issued is None or issued > now + skew or issued <= now - _KEPT - skew:
        raise _refuse("the request is not of now: compare the clocks of both servers", "clock", where)
    if message.get("NotOnOrAfter") is not None and (ends is None or ends <= now - skew):
        raise _refuse("the request is expired: compare the clocks of both servers", "expired", where)
    names = children(message, f"{ASSERTION}NameID")
    name_id = text_of(names[0]) if len(names) == 1 else None
    if name_id is None:
        raise _refuse("the request does not say in the clear who signed out", "subject", where)
    found = children(message, f"{PROTOCOL}SessionIndex")
    if len(found) > _MOST:
        raise _refuse("the request names too many sessions", "form", where)
    sessions = tuple(text for one in found if (text := text_of(one)) is not None)
    return LogoutRequest(identifier, name_id, sessions, issued + _KEPT + 2 * skew)


def is_success(message: etree._Element, provider: SamlProvider) -> bool:
    """Whether the provider says that somebody was signed out everywhere."""
    status = message.find(f"{PROTOCOL}Status/{PROTOCOL}StatusCode")
    issuer = text_of(message.find(f"{ASSERTION}Issuer"))
    return issuer == provider.entity_id and attribute(status, "Value") == SUCCESS


def _message(kind: str, identifier: str, entity_id: str, url: str, now: datetime) -> etree._Element:
    root = etree.Element(
        f"{PROTOCOL}{kind}",
        {"ID": identifier, "Version": "2.0", "IssueInstant": _stamp(now), "Destination": url},
        nsmap=NAMES,
    )
    etree.SubElement(root, f"{ASSERTION}Issuer").text = entity_id
    return root


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(value: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if value is not None else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None


def _refuse(what: str, reason: str, where: str) -> SignInRefused:
    return SignInRefused(what, reason=reason, where=where)
