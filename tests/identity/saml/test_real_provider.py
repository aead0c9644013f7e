"""Sign-ins at a real identity provider (samlp on Node.js), by redirect and by form, signed."""

from __future__ import annotations

import html
import re
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.certificates import authority, self_signed, signed_by
from tests.support.node import node_program
from tests.support.sso_world import World
from vallum.identity.saml.flow import SamlFlow, Sent
from vallum.identity.saml.keys import ServiceKey
from vallum.identity.saml.metadata import read_provider
from vallum.identity.saml.xml import MD, parse
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused
from vallum.identity.sso.join import SignedIn
from vallum.identity.sso.pending import LIFETIME

pytestmark = pytest.mark.slow

BASE = "https://vallum.example"
GROUP = "http://schemas.passportjs.com/groups"
Form = list[tuple[str, str]]


@dataclass
class Real:
    """The provider that runs: where, its metadata, whom to trust, and the key with which we sign."""

    url: str
    metadata: bytes
    context: ssl.SSLContext
    key: ServiceKey


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """One for all tests; it takes signed requests only."""
    folder: Path = tmp_path_factory.mktemp("saml")
    ca = authority()
    ca_file, _ = ca.write(folder, "ca")
    certificate, key = signed_by(ca).write(folder, "server")
    sign_certificate, sign_key = self_signed().write(folder, "signing")
    ours = self_signed("vallum.example")
    our_certificate, _ = ours.write(folder, "ours")
    given = {
        "cert": str(certificate),
        "key": str(key),
        "signCert": str(sign_certificate),
        "signKey": str(sign_key),
        "signingCert": str(our_certificate),
        "issuer": "urn:real-provider",
        "acs": f"{BASE}/sso/corp/acs",
        "groups": {"marie": ["sales", "other"], "paul": []},
    }
    context = ssl.create_default_context(cafile=str(ca_file))
    with node_program("saml.mjs", given, folder / "log") as program:
        url = str(program.said["url"])
        with httpx.Client(verify=context, trust_env=False) as client:
            metadata = client.get(f"{url}/FederationMetadata/2007-06/FederationMetadata.xml").content
        yield Real(url, metadata, context, ServiceKey(ours.key_pem, ours.pem))


@dataclass
class SignOn:
    """A flow, and a browser to go through it."""

    world: World
    flow: SamlFlow
    real: Real

    def visit(self, sent: Sent, who: str = "marie") -> Form:
        """What the browser posts back."""
        with httpx.Client(verify=self.real.context, trust_env=False) as client:
            url = httpx.URL(sent.message.url).copy_add_param("who", who)
            if sent.message.fields is None:
                page = client.get(url)
            else:
                page = client.post(url, data=sent.message.fields)
        assert page.status_code == 200, page.text
        fields = re.findall(r'name="(\w+)"\s+value="([^"]*)"', page.text)
        return [(name, html.unescape(value)) for name, value in fields]

    def sign_in(self, who: str = "marie") -> SignedIn:
        """From the click to the account."""
        sent = self.flow.begin("corp")
        return self.flow.complete("corp", self.visit(sent, who), sent.browser)


@pytest.fixture
def sign_on(world: World, real: Real) -> SignOn:
    """The provider written down by its own metadata."""
    write_down(world, real)
    return SignOn(world, SamlFlow(world.store, world.accounts, world.clock, BASE, lambda: (real.key,)), real)


def write_down(world: World, real: Real, **given: Any) -> None:
    """The provider, by its metadata."""
    found = read_provider(real.metadata, world.clock.now())
    rules = [{"value": "sales", "groups": ["sales_team.group_sale_salesman"]}]
    described = {"kind": "saml", "id": "corp", "label": "Corp", "create": True, "groups_attribute": GROUP}
    world.provider(**{**described, **found, "sign_requests": True, "rules": rules, **given})


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_sign_in_makes_an_account_once_and_finds_it_again(sign_on: SignOn, real: Real, binding: str) -> None:
    """With groups by the rules; the provider has checked our signature, we have checked its."""
    write_down(sign_on.world, real, binding=binding)
    first = sign_on.sign_in()
    assert (first.created, first.account.login) == (True, "marie@example.com")
    assert first.identity.sid == "_session"
    again = sign_on.sign_in()
    assert (again.created, again.account.id) == (False, first.account.id)
    with sign_on.world.store.transaction() as tx:
        found = sign_on.world.accounts.groups(tx, first.account.id, "corp")
        assert found == {"sales_team.group_sale_salesman"}


def test_unsigned_request_is_not_taken_by_the_provider(sign_on: SignOn, real: Real) -> None:
    """So our signature was looked at in the other tests."""
    write_down(sign_on.world, real, sign_requests=False)
    with pytest.raises(AssertionError):
        sign_on.visit(sign_on.flow.begin("corp"))
    write_down(sign_on.world, real)
    other = self_signed("vallum.example")
    flow = SamlFlow(
        sign_on.world.store,
        sign_on.world.accounts,
        sign_on.world.clock,
        BASE,
        lambda: (ServiceKey(other.key_pem, other.pem),),
    )
    with pytest.raises(AssertionError):
        sign_on.visit(flow.begin("corp"))


@pytest.mark.asvs("6.8.3")
def test_answer_is_used_once(sign_on: SignOn) -> None:
    """Of ten that come together, one signs in."""
    sent = sign_on.flow.begin("corp")
    form = sign_on.visit(sent)

    def complete(_: int) -> str:
        try:
            sign_on.flow.complete("corp", form, sent.browser)
        except SignInRefused as error:
            return error.reason
        return "signed in"

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(complete, range(10))) == ["signed in"] + ["state"] * 9


@pytest.mark.asvs("6.8.3")
def test_assertion_is_spent_even_where_the_sign_in_is_not(sign_on: SignOn) -> None:
    """Whoever could write the table of sign-ins under way could still not replay."""
    sent = sign_on.flow.begin("corp")
    form = sign_on.visit(sent)
    kept = sign_on.world.rows("SELECT * FROM vallum.sso_pending")[0]
    sign_on.flow.complete("corp", form, sent.browser)
    marks = ", ".join(["%s"] * len(kept))
    sign_on.world.rows(f"INSERT INTO vallum.sso_pending VALUES ({marks})", *kept)
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete("corp", form, sent.browser)
    assert caught.value.reason == "replay"


@pytest.mark.asvs("6.8.3", "10.2.1")
def test_answer_in_another_browser_is_refused(sign_on: SignOn) -> None:
    """Nobody is signed in as somebody else by a form that a foreign page posts."""
    form = sign_on.visit(sign_on.flow.begin("corp"))
    for browser in (sign_on.flow.begin("corp").browser, None):
        with pytest.raises(SignInRefused):
            sign_on.flow.complete("corp", form, browser)


@pytest.mark.asvs("6.8.4", "7.5.1")
def test_proof_to_be_there_still_is_asked_and_checked(sign_on: SignOn) -> None:
    """Before a sensitive act: the same person, and signed in since it was asked for."""
    marie = sign_on.sign_in().account.id
    begun = sign_on.flow.begin("corp", account_id=marie, session_id=7, max_age=0)
    done = sign_on.flow.complete("corp", sign_on.visit(begun), begun.browser)
    assert (done.account.id, done.session_id) == (marie, 7)
    begun = sign_on.flow.begin("corp", account_id=marie, max_age=0)
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete("corp", sign_on.visit(begun, "paul"), begun.browser)
    assert caught.value.reason == "other-account"
    # To us it was asked for later than the provider says that somebody signed in.
    sign_on.world.clock.advance(timedelta(minutes=2))
    begun = sign_on.flow.begin("corp", account_id=marie, max_age=0)
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete("corp", sign_on.visit(begun), begun.browser)
    assert caught.value.reason == "auth-time"


def test_answer_that_was_not_asked_for_is_refused(sign_on: SignOn) -> None:
    """There is no sign-in begun by the provider: it could be anybody's."""
    sent = sign_on.flow.begin("corp")
    form = [(k, v) for k, v in sign_on.visit(sent) if k != "RelayState"]
    with pytest.raises(SignInRefused):
        sign_on.flow.complete("corp", form, sent.browser)


def test_answer_to_another_sign_in_of_the_same_browser_is_refused(sign_on: SignOn) -> None:
    """Each answers one request."""
    first = sign_on.flow.begin("corp")
    second = sign_on.flow.begin("corp", browser=first.browser)
    form = dict(sign_on.visit(first))
    assert second.message.url
    relay = httpx.URL(second.message.url).params["RelayState"]
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete("corp", list({**form, "RelayState": relay}.items()), first.browser)
    assert caught.value.reason == "in-response-to"


def test_sign_in_takes_ten_minutes_at_most(sign_on: SignOn) -> None:
    """A half-finished one is worth nothing later."""
    sent = sign_on.flow.begin("corp")
    form = sign_on.visit(sent)
    sign_on.world.clock.advance(LIFETIME)
    with pytest.raises(SignInRefused, match="too long"):
        sign_on.flow.complete("corp", form, sent.browser)


def test_several_providers_are_kept_apart(sign_on: SignOn, real: Real) -> None:
    """The answer of one is none of the other, even where both are the same machine."""
    write_down(sign_on.world, real, id="second")
    sent = sign_on.flow.begin("corp")
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete("second", sign_on.visit(sent), sent.browser)
    assert caught.value.reason == "mix-up"


def test_own_metadata_say_what_the_provider_needs(sign_on: SignOn, real: Real) -> None:
    """Name, address, certificate, and that assertions are to be signed."""
    root = parse(sign_on.flow.metadata("corp"), where="test")
    assert root.get("entityID") == f"{BASE}/sso/corp/metadata"
    service = root.find(f"{MD}SPSSODescriptor")
    assert service is not None
    assert service.get("WantAssertionsSigned") == "true"
    assert service.get("AuthnRequestsSigned") == "true"
    consumer = service.find(f"{MD}AssertionConsumerService")
    assert consumer is not None
    assert consumer.get("Location") == f"{BASE}/sso/corp/acs"


@pytest.mark.parametrize(
    "change",
    [
        (b"IDPSSODescriptor", b"SPSSODescriptor"),
        (b"X509Certificate>", b"X509Data2>"),
        (b"<EntityDescriptor ", b'<EntityDescriptor validUntil="2020-01-01T00:00:00Z" '),
        (b"<EntityDescriptor ", b"<!DOCTYPE x><EntityDescriptor "),
        (b"</EntityDescriptor>", b""),
        (b"SingleSignOnService", b"OtherService"),
    ],
)
def test_metadata_that_are_unsound_are_refused(world: World, real: Real, change: tuple[bytes, bytes]) -> None:
    """Before anything is written down."""
    assert change[0] in real.metadata
    with pytest.raises(ProviderMisconfigured):
        read_provider(real.metadata.replace(*change), world.clock.now())
