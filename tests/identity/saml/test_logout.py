"""Messages of logout: what is believed of a provider, and what it ends."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from lxml import etree

from tests.identity.saml.idp import IDP, NOW, certificate, provider, sign, stamp
from tests.support.sso_world import World
from vallum.identity.accounts_port import Person
from vallum.identity.saml.bindings import send
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.logout import logout_request
from vallum.identity.saml.logout_flow import SamlLogout
from vallum.identity.saml.message import Message
from vallum.identity.saml.xml import ASSERTION, PROTOCOL, parse
from vallum.identity.sso.errors import SignInRefused
from vallum.identity.sso.providers import dump
from vallum.identity.sso.store import Link, link
from vallum.kernel import FixedClock

BASE = "https://vallum.example"
URL = f"{BASE}/sso/corp/logout"
THERE = "https://idp.example/logout"
Said = tuple[str, str]


def service_key(name: str) -> ServiceKey:
    """A key of that name."""
    return ServiceKey(certificate(name).key_pem, certificate(name).pem)


class Site:
    """A provider, and one person with two of its sessions and one of another's."""

    def __init__(self, world: World, *, keys: tuple[ServiceKey, ...]) -> None:
        self.world = world
        self.write_down()
        self.flow = SamlLogout(world.store, world.accounts, FixedClock(NOW), BASE, lambda: keys)
        with world.store.transaction() as tx:
            self.account = world.accounts.create(tx, Person("marie"), "corp").id
            link(tx, Link("corp", IDP, "marie@example.com", self.account), NOW)
            for source, sid in (("corp", "one"), ("corp", "two"), ("other", "one")):
                world.accounts.open_session(tx, self.account, source, sid)

    def write_down(self, **given: Any) -> None:
        """The provider, but for what is given."""
        self.world.provider(**{**dump(provider(logout_url=THERE)), **given})

    @property
    def left(self) -> int:
        """How many sessions there are."""
        with self.world.store.transaction() as tx:
            return self.world.accounts.sessions(tx, self.account)

    def hears(self, said: Said) -> Any:
        """What becomes of a message."""
        return self.flow.receive("corp", *said)

    def refuses(self, said: Said) -> str:
        """Why it is refused; nothing has ended."""
        before = self.left
        with pytest.raises(SignInRefused) as caught:
            self.hears(said)
        assert self.left == before
        return caught.value.reason


@pytest.fixture
def site(world: World) -> Site:
    """With a key of ours."""
    return Site(world, keys=(service_key("ours"),))


def request(*sessions: str, **given: str | None) -> etree._Element:
    """A sound request of the provider, but for what is given."""
    root = logout_request(provider(logout_url=URL), "_request", IDP, "marie@example.com", {}, None, NOW)
    for session in sessions:
        etree.SubElement(root, f"{PROTOCOL}SessionIndex").text = session
    issuer = given.pop("issuer", None)
    if issuer is not None:
        root.find(f"{ASSERTION}Issuer").text = issuer  # type: ignore[union-attr]
    for name, value in given.items():
        if value is None:
            del root.attrib[name]
        else:
            root.set(name, value)
    return root


def by_redirect(message: etree._Element, name: str = "idp", relay: str | None = "r") -> Said:
    """As a browser brings it, signed by the key of that name."""
    sent = send(URL, "redirect", "SAMLRequest", message, relay, service_key(name))
    return "GET", urlsplit(sent.url).query


def by_form(message: etree._Element, name: str = "idp") -> Said:
    """Likewise."""
    sent = send(URL, "post", "SAMLRequest", message, "r", service_key(name))
    return "POST", urlencode(sent.fields or {})


@pytest.mark.parametrize("carry", [by_redirect, by_form])
@pytest.mark.parametrize(("sessions", "left"), [((), 1), (("one",), 2), (("one", "two"), 1), (("x",), 3)])
def test_request_ends_the_providers_sessions_it_names(
    site: Site, carry: Any, sessions: tuple[str, ...], left: int
) -> None:
    """All of the person's where it names none; never another provider's of the same name."""
    done = site.hears(carry(request(*sessions)))
    assert (site.left, done.everywhere, done.ended) == (left, True, 3 - left)
    answer = done.answer
    assert isinstance(answer, Message)
    assert answer.url.startswith(f"{THERE}?SAMLResponse=")
    assert dict(parse_qsl(urlsplit(answer.url).query))["RelayState"] == "r"
    assert site.refuses(carry(request(*sessions))) == "replay"


def test_request_is_obeyed_where_it_cannot_be_answered(world: World) -> None:
    """Whoever signed out is out, whether or not we have a key to say so."""
    site = Site(world, keys=())
    assert site.hears(by_redirect(request())).answer is None
    assert site.left == 1


@pytest.mark.parametrize("carry", [by_redirect, by_form])
@pytest.mark.asvs("6.8.2")
def test_request_of_a_stranger_is_refused(site: Site, carry: Any) -> None:
    """Signed by another key, or not at all."""
    assert site.refuses(carry(request(), "stranger")) == "signature"
    for binding in ("redirect", "post"):
        sent = send(URL, binding, "SAMLRequest", request(), None, None)
        said = ("GET", urlsplit(sent.url).query) if sent.fields is None else ("POST", urlencode(sent.fields))
        assert site.refuses(said) == "signature"


UNSOUND: tuple[tuple[dict[str, str | None], str], ...] = (
    ({"issuer": "https://other.example"}, "issuer"),
    ({"Destination": f"{BASE}/sso/other/logout"}, "destination"),
    ({"Destination": None}, "destination"),
    ({"IssueInstant": stamp(NOW - timedelta(minutes=7))}, "clock"),
    ({"IssueInstant": stamp(NOW + timedelta(minutes=2))}, "clock"),
    ({"IssueInstant": None}, "clock"),
    ({"IssueInstant": "yesterday"}, "clock"),
    ({"NotOnOrAfter": stamp(NOW - timedelta(minutes=2))}, "expired"),
    ({"NotOnOrAfter": "tomorrow"}, "expired"),
    ({"Version": "1.1"}, "form"),
)


def test_unsound_request_is_refused(site: Site) -> None:
    """Though it is signed: of another provider, for another address, not of now, without a time."""
    for given, reason in UNSOUND:
        assert site.refuses(by_redirect(request(**given))) == reason, given
        assert site.refuses(by_form(request(**given))) == reason, given


def test_request_that_names_nobody_in_the_clear_is_refused(site: Site) -> None:
    """None, two, or one that is encrypted."""
    for change in ("none", "two", "hidden"):
        message = request()
        name = message.find(f"{ASSERTION}NameID")
        assert name is not None
        if change == "two":
            etree.SubElement(message, f"{ASSERTION}NameID").text = "paul"
        else:
            message.remove(name)
        if change == "hidden":
            etree.SubElement(message, f"{ASSERTION}EncryptedID")
        assert site.refuses(by_form(message)) == "subject"


def test_signature_by_redirect_is_over_the_query_as_it_was_sent(site: Site) -> None:
    """Another RelayState, another order of what is signed, a parameter twice, an algorithm of old."""
    _, query = by_redirect(request())
    pairs = [part.partition("=")[::2] for part in query.split("&")]
    assert site.refuses(("GET", query.replace("RelayState=r", "RelayState=s"))) == "signature"
    assert site.refuses(("GET", query.replace("&RelayState=r", ""))) == "signature"
    assert site.refuses(("GET", f"{query}&RelayState=s")) == "form"
    assert site.refuses(("GET", query.replace("rsa-sha256", "rsa-sha1"))) == "signature"
    assert site.refuses(("GET", query.replace("SAMLRequest=", "SAMLResponse="))) == "signature"
    assert site.refuses(("GET", query.split("&Signature=")[0])) == "signature"
    # The order in the address is nobody's business: what is signed has one of its own.
    shuffled = "&".join(f"{name}={value}" for name, value in reversed(pairs))
    assert site.hears(("GET", shuffled)).ended == 2


def test_deflated_bomb_is_not_unpacked(site: Site) -> None:
    """A provider's own, even."""
    message = request()
    message.set("Consent", "x" * 3_000_000)
    assert site.refuses(by_redirect(message)) == "form"


@pytest.mark.asvs("6.8.2")
def test_signature_over_another_element_is_refused(site: Site) -> None:
    """A signed request within an unsigned one."""
    inner = sign(request())
    outer = request(ID="_outer")
    etree.SubElement(outer, f"{PROTOCOL}Extensions").append(inner)
    sent = send(URL, "post", "SAMLRequest", outer, None, None)
    assert site.refuses(("POST", urlencode(sent.fields or {}))) == "signature"


def test_subject_that_is_an_attribute_is_signed_out_by_its_sessions(site: Site) -> None:
    """Then the NameID says nothing here: what is named ends, and nothing else."""
    site.write_down(subject_attribute="uid")
    assert site.hears(by_redirect(request(ID="_a"))).ended == 0
    assert site.hears(by_redirect(request("two", ID="_b"))).ended == 1


def test_request_of_ours_says_whom_by_the_name_the_provider_gave(site: Site) -> None:
    """Signed, for its address, with the session; nothing is asked where that makes no sense."""
    hint = {
        "name_id": "marie@example.com",
        "name_attributes": {"Format": "f", "NameQualifier": "q", "onload": "x"},
        "session": "one",
    }
    sent = site.flow.begin("corp", hint)
    assert sent is not None
    assert sent.url.startswith(f"{THERE}?SAMLRequest=")
    assert "Signature=" in sent.url
    site.write_down(logout_binding="post")
    posted = site.flow.begin("corp", hint)
    assert posted is not None
    root = parse(base64.b64decode((posted.fields or {})["SAMLRequest"]), where="test")
    name = root.find(f"{ASSERTION}NameID")
    assert name is not None
    assert (name.text, dict(name.attrib)) == ("marie@example.com", {"Format": "f", "NameQualifier": "q"})
    assert root.findtext(f"{PROTOCOL}SessionIndex") == "one"
    assert site.flow.begin("corp", {}) is None
    site.write_down(single_logout=False)
    assert site.flow.begin("corp", hint) is None
    site.write_down(logout_url=None)
    assert site.flow.begin("corp", hint) is None
