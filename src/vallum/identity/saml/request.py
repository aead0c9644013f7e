"""Ask an identity provider to sign somebody in.

Pure. How the request travels is `bindings`' to know.
Source: SAML 2.0 Core, section 3.4.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from lxml import etree

from vallum.identity.saml.bindings import POST_BINDING, require_key, send
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.message import Message
from vallum.identity.saml.xml import ASSERTION, PROTOCOL
from vallum.identity.sso.providers import SamlProvider

__all__ = ["NAMES", "ask", "authn_request"]

NAMES: Final = {"samlp": PROTOCOL.strip("{}"), "saml": ASSERTION.strip("{}")}


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
        nsmap=NAMES,
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
    signing = require_key(key, provider.id) if provider.sign_requests else None
    return send(provider.sign_in_url, provider.binding, "SAMLRequest", request, relay, signing)
