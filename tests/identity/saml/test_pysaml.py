"""Held against pysaml2 and xmlsec1: as a provider that we sign in at, and as another reader of answers."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from lxml import etree

from tests.identity.saml import test_response as attacks
from tests.identity.saml.encryption import CBC_256, GCM
from tests.identity.saml.idp import ACS, EXPECTED, IDP, NOW, SP, Answer, certificate, encoded, provider, sign
from tests.support.debian import program
from tests.support.environment import environment
from tests.support.sso_world import World
from vallum.identity.saml.flow import SamlFlow
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.logout_flow import SamlLogout
from vallum.identity.saml.metadata import read_provider
from vallum.identity.saml.response import check_response
from vallum.identity.saml.xml import ASSERTION
from vallum.identity.sso.errors import SignInRefused

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parents[2] / "support"
BASE = "https://vallum.example"


@dataclass
class Pysaml:
    """The program, with a key of a provider."""

    python: Path
    common: dict[str, Any]

    def ask(self, *asked: dict[str, Any], fails: bool = False) -> list[Any]:
        """What came of each. `fails`: the first of them is refused, and with it all."""
        done = subprocess.run(
            [str(self.python), "-W", "ignore", str(SUPPORT / "pysaml.py")],
            input=json.dumps([{**self.common, **one} for one in asked]),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr[-2000:]
        return [] if fails else list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def pysaml(tmp_path_factory: pytest.TempPathFactory) -> Pysaml:
    """With the key of the provider in `idp`."""
    xmlsec = program("xmlsec1", "xmlsec1")
    folder = tmp_path_factory.mktemp("pysaml")
    cert, key = certificate().write(folder, "idp")
    python = environment("pysaml", SUPPORT / "pysaml-requirements.txt")
    return Pysaml(python, {"xmlsec": xmlsec, "key": str(key), "cert": str(cert), "idp": IDP})


@dataclass
class Site:
    """We, with the provider written down by its own metadata, and it with ours."""

    world: World
    pysaml: Pysaml
    flow: SamlFlow
    logout: SamlLogout

    def ask(self, **asked: Any) -> Any:
        """One question, with our metadata known to the provider."""
        return self.pysaml.ask({"metadata": [self.flow.metadata("corp").decode()], **asked})[0]


@pytest.fixture
def site(world: World, pysaml: Pysaml) -> Site:
    """Requests are signed, assertions encrypted."""
    ours = ServiceKey(certificate("ours").key_pem, certificate("ours").pem)
    (found,) = pysaml.ask({"do": "idp_metadata"})
    read = read_provider(found["metadata"].encode(), world.clock.now())
    given = {"kind": "saml", "id": "corp", "label": "Corp", "create": True, "encrypt": True}
    world.provider(**{**read, **given})
    return Site(
        world,
        pysaml,
        SamlFlow(world.store, world.accounts, world.clock, BASE, lambda: (ours,)),
        SamlLogout(world.store, world.accounts, world.clock, BASE, lambda: (ours,)),
    )


def _query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"encrypt": GCM},
        {"encrypt": GCM, "sign_response": True},
        {"encrypt": CBC_256, "sign_response": True},
    ],
    ids=["signed", "gcm", "gcm-signed", "cbc-signed"],
)
def test_somebody_signs_in_at_a_provider_of_pysaml2(site: Site, given: dict[str, Any]) -> None:
    """Our request is checked by xmlsec1, its answer by us: signed there, encrypted there for our key."""
    sent = site.flow.begin("corp")
    assert urlsplit(sent.message.url).path == "/metadata/sso"
    query = _query(sent.message.url)
    read = site.ask(do="request", query=query)
    assert (read["issuer"], read["destination"]) == (SP, ACS)
    made = site.ask(do="answer", who="paul", request=read["id"], acs=ACS, sp=SP, **given)["answer"]
    assert ("EncryptedAssertion" in made) == bool(given.get("encrypt"))
    posted = base64.b64encode(made.encode()).decode()
    form = [("SAMLResponse", posted), ("RelayState", query["RelayState"])]
    signed = site.flow.complete("corp", form, sent.browser)
    assert (signed.account.login, signed.identity.subject) == ("paul", "paul")
    assert signed.identity.person.email == "paul@example.com"


def test_request_that_was_changed_is_refused_by_the_provider(site: Site) -> None:
    """So it has looked at our signature."""
    query = _query(site.flow.begin("corp").message.url)
    site.pysaml.ask(
        {
            "do": "request",
            "metadata": [site.flow.metadata("corp").decode()],
            "query": {**query, "RelayState": "changed"},
        },
        fails=True,
    )


def test_request_for_logout_is_understood_by_the_provider(site: Site) -> None:
    """Who, and which session; signed."""
    hint = {"name_id": "paul", "name_attributes": {}, "session": "s1"}
    sent = site.logout.begin("corp", hint)
    assert sent is not None
    read = site.ask(do="logout", query=_query(sent.url))
    assert read == {"name_id": "paul", "sessions": ["s1"], "issuer": SP}


# Two readers of the same answers.


def _unsigned() -> etree._Element:
    return Answer().response(Answer().assertion())


def _changed() -> etree._Element:
    assertion = sign(Answer().assertion())
    name = assertion.find(f"{ASSERTION}Subject/{ASSERTION}NameID")
    assert name is not None
    name.text = attacks.ROOT
    return Answer().response(assertion)


def _foreign() -> etree._Element:
    return Answer().response(sign(Answer().assertion(), "stranger"))


def _commented() -> etree._Element:
    one = Answer(name_id="root@example.com.evil.example")
    assertion = sign(one.assertion())
    name = assertion.find(f"{ASSERTION}Subject/{ASSERTION}NameID")
    assert name is not None
    name.text = "root@example.com"
    comment = etree.Comment("x")
    comment.tail = ".evil.example"
    name.append(comment)
    return one.response(assertion)


def _of(**given: Any) -> Callable[[], etree._Element]:
    def made() -> etree._Element:
        one = Answer(**given)
        return one.response(sign(one.assertion()))

    return made


def _both() -> etree._Element:
    return sign(Answer().response(sign(Answer().assertion())))


CORPUS: dict[str, Callable[[], etree._Element]] = {
    "sound": _of(),
    "sound, signed twice": _both,
    "other attributes": _of(attributes={"mail": ["a@example.com"], "groups": ["x", "y"]}),
    "unsigned": _unsigned,
    "changed": _changed,
    "foreign key": _foreign,
    "commented": _commented,
    "other audience": _of(audience="https://other.example"),
    "no audience": _of(audience=None),
    "other recipient": _of(recipient="https://other.example/acs"),
    "other request": _of(request="_other"),
    "other issuer": _of(issuer="https://other.example"),
    "other destination": _of(destination="https://other.example/acs"),
    "expired": _of(end=NOW - timedelta(hours=1)),
    "not yet": _of(start=NOW + timedelta(hours=1)),
    "failed": _of(status="urn:oasis:names:tc:SAML:2.0:status:Responder"),
    "nobody signed in": _of(authenticated=False),
    **{name: getattr(attacks, name) for name in (f"xsw{number}" for number in range(1, 9))},
}


def test_nothing_is_accepted_that_pysaml2_refuses(pysaml: Pysaml) -> None:
    """And of what both accept, both read the same. Where we are stricter is written down here."""
    answers = {name: encoded(copy.deepcopy(made())) for name, made in CORPUS.items()}
    metadata = pysaml.ask({"do": "idp_metadata"})[0]["metadata"]
    common = {"do": "consume", "sp": SP, "acs": ACS, "metadata": [metadata], "now": int(NOW.timestamp())}
    asked = [{**common, "answer": text, "request": "_request"} for text in answers.values()]
    theirs = dict(zip(answers, pysaml.ask(*asked), strict=True))
    stricter = set()
    for name, text in answers.items():
        try:
            found = check_response(text, provider(), EXPECTED, NOW)
        except SignInRefused:
            stricter |= {name} if "refused" not in theirs[name] else set()
            continue
        assert theirs[name].get("name_id") == found.name_id, (name, theirs[name])
        assert {k: list(v) for k, v in found.attributes.items()} == theirs[name]["attributes"], name
    accepted = {name for name, found in theirs.items() if "refused" not in found}
    assert {"sound", "sound, signed twice", "other attributes"} <= accepted
    assert stricter <= {"no audience", "other destination", "nobody signed in", "other recipient"}, stricter
