"""Sign-ins at real providers: what works, what must not, and two providers against each other."""

from __future__ import annotations

import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.identity.oidc.conftest import BASE, Browser, Listener, RealProvider, SignOn
from vallum.identity.oidc.flow import OidcFlow
from vallum.identity.sso import store
from vallum.identity.sso.errors import ProviderMisconfigured, ProviderUnavailable, SignInRefused
from vallum.identity.sso.pending import LIFETIME
from vallum.identity.sso.providers import dump, parse
from vallum.kernel import VallumError

pytestmark = pytest.mark.slow


def refused(sign_on: SignOn, provider: str, answer: list[tuple[str, str]], cookie: str | None = None) -> str:
    """Why an answer is refused."""
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete(provider, answer, cookie or sign_on.browser.cookie)
    return caught.value.reason


def change(sign_on: SignOn, provider_id: str, **given: object) -> None:
    """Write a provider down otherwise."""
    with sign_on.world.store.transaction() as tx:
        found = parse({**dump(store.provider(tx, provider_id)), **given})
        store.save_provider(tx, found, sign_on.world.clock.now())


def test_sign_in_makes_an_account_once_and_finds_it_again(sign_on: SignOn) -> None:
    """The first time it is made, with groups by the rules; then it is the same one."""
    first = sign_on.sign_in()
    assert first.created
    assert (first.account.login, first.identity.person.email) == ("marie", "marie@example.com")
    again = sign_on.sign_in()
    assert (again.account.id, again.created) == (first.account.id, False)
    with sign_on.world.store.transaction() as tx:
        found = sign_on.world.accounts.groups(tx, first.account.id, "one")
        assert found == {"sales_team.group_sale_salesman"}
    events = sign_on.world.rows("SELECT name FROM plain_event ORDER BY id")
    assert [name for (name,) in events] == [
        "sso.account-created",
        "sso.linked",
        "sso.signed-in",
        "sso.signed-in",
    ]


@pytest.mark.asvs("10.1.2", "10.2.1", "10.5.1")
def test_request_carries_state_nonce_and_challenge_of_its_own(sign_on: SignOn) -> None:
    """Code flow and S256, always; no two sign-ins share a value."""
    queries = [parse_qs(urlsplit(sign_on.flow.begin("one").url).query) for _ in range(2)]
    for query in queries:
        assert query["response_type"] == ["code"]
        assert query["code_challenge_method"] == ["S256"]
        assert query["redirect_uri"] == [f"{BASE}/sso/one/callback"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(queries[0][name][0]) == 43
        assert queries[0][name] != queries[1][name]


@pytest.mark.asvs("10.2.1", "10.1.2")
def test_answer_in_another_browser_is_refused(sign_on: SignOn) -> None:
    """Who sends somebody a link with a code of their own signs nobody in; the sign-in is burned by it."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    victim = sign_on.flow.begin("one").browser
    assert refused(sign_on, "one", answer, victim) == "browser"
    assert refused(sign_on, "one", answer) == "state"


@pytest.mark.asvs("10.1.2", "10.2.1")
def test_answer_comes_once(sign_on: SignOn) -> None:
    """Of twenty that come together, one signs in; the text says what to do."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))

    def complete(_: int) -> str:
        try:
            sign_on.flow.complete("one", answer, sign_on.browser.cookie)
        except SignInRefused as error:
            return f"{error.reason}: {error.fix}"
        return "signed in"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(complete, range(20)))
    assert sorted(outcomes) == ["signed in"] + ["state: start the sign-in again"] * 19


@pytest.mark.asvs("10.1.2")
def test_code_injected_into_another_sign_in_is_refused(sign_on: SignOn) -> None:
    """The provider holds the code to the challenge it was asked with."""
    stolen = dict(sign_on.browser.visit(sign_on.flow.begin("one")))["code"]
    own = dict(sign_on.browser.visit(sign_on.flow.begin("one")))
    assert refused(sign_on, "one", list({**own, "code": stolen}.items())) == "code"


@pytest.mark.asvs("10.1.2")
def test_sign_in_takes_ten_minutes_at_most(sign_on: SignOn) -> None:
    """A half-finished one is worth nothing later, and is swept away."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    sign_on.world.clock.advance(LIFETIME)
    assert refused(sign_on, "one", answer) == "expired"


@pytest.mark.asvs("10.2.2", "6.8.1")
def test_answer_of_one_provider_is_no_answer_of_the_other(sign_on: SignOn) -> None:
    """Mix-up: the code of one never reaches the other, whichever way it is tried."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    assert refused(sign_on, "two", answer) == "mix-up"
    # Begun at two, but the code and the issuer are of one.
    code_of_one = dict(sign_on.browser.visit(sign_on.flow.begin("one")))
    begun_at_two = sign_on.flow.begin("two", browser=sign_on.browser.cookie)
    state = parse_qs(urlsplit(begun_at_two.url).query)["state"][0]
    mixed = {**code_of_one, "state": state}
    assert refused(sign_on, "two", list(mixed.items()), begun_at_two.browser) == "mix-up"


@pytest.mark.asvs("10.2.2")
def test_answer_without_issuer_is_refused_where_the_provider_sends_it(sign_on: SignOn) -> None:
    """Leaving it out is no way around."""
    answer = [(k, v) for k, v in sign_on.browser.visit(sign_on.flow.begin("one")) if k != "iss"]
    assert refused(sign_on, "one", answer) == "mix-up"


@pytest.mark.asvs("6.8.1", "10.5.2")
def test_same_subject_at_two_providers_is_two_people(sign_on: SignOn) -> None:
    """`marie` of the second is not `marie` of the first, and does not get her account."""
    sign_on.sign_in("one", "marie")
    with pytest.raises(SignInRefused) as caught:
        sign_on.sign_in("two", "marie")
    assert caught.value.reason == "not-linked"
    assert "vallum sso link" in str(caught.value)
    assert sign_on.sign_in("two", "paul").account.login == "paul"


def test_parameter_given_twice_is_refused(sign_on: SignOn) -> None:
    """No reader takes the first and another the last."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    assert refused(sign_on, "one", [*answer, ("code", "x")]) == "form"


def test_tokens_in_the_answer_are_refused(sign_on: SignOn) -> None:
    """There is no implicit flow to fall back to."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    assert refused(sign_on, "one", [*answer, ("id_token", "a.b.c")]) == "flow"


def test_error_of_the_provider_is_told_without_its_text(sign_on: SignOn) -> None:
    """Anybody can send one: only the known word is shown."""
    state = parse_qs(urlsplit((begun := sign_on.flow.begin("one")).url).query)["state"][0]
    issuer = sign_on.world.rows("SELECT config->>'issuer' FROM vallum.sso_provider WHERE id = 'one'")
    answer = [("state", state), ("iss", str(issuer[0][0])), ("error", "<b>call 555</b>")]
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.complete("one", answer, begun.browser)
    assert "555" not in str(caught.value)
    assert caught.value.said == "<b>call 555</b>"


def test_replaced_keys_are_fetched_and_only_once_a_minute(
    sign_on: SignOn, real_providers: tuple[RealProvider, RealProvider]
) -> None:
    """Key rollover needs nobody's help; tokens with unknown keys cannot make us ask again and again."""
    sign_on.sign_in("two", "paul")
    sign_on.world.clock.advance(timedelta(minutes=2))
    real_providers[1].program.tell("roll")
    assert sign_on.sign_in("two", "paul").account.login == "paul"
    real_providers[1].program.tell("roll")
    with pytest.raises(SignInRefused) as caught:
        sign_on.sign_in("two", "paul")
    assert caught.value.reason == "key"
    sign_on.world.clock.advance(timedelta(minutes=1))
    assert sign_on.sign_in("two", "paul").account.login == "paul"


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_that_is_wrong_is_named(sign_on: SignOn, hours: int) -> None:
    """Clock skew beyond the limit: nobody comes in, and the text says what to compare."""
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    sign_on.world.clock.advance(timedelta(hours=hours))
    if hours > 0:
        # The sign-in itself would be too old by then.
        sign_on.world.rows("UPDATE vallum.sso_pending SET expires = expires + interval '2 hours'")
    with pytest.raises(SignInRefused, match="clocks"):
        sign_on.flow.complete("one", answer, sign_on.browser.cookie)


@pytest.mark.asvs("10.5.3")
def test_issuer_that_is_not_to_the_letter_is_refused(sign_on: SignOn) -> None:
    """A provider that calls itself otherwise is another one."""
    (issuer,) = sign_on.world.rows("SELECT config->>'issuer' FROM vallum.sso_provider WHERE id = 'one'")[0]
    change(sign_on, "one", issuer=f"{issuer}/")
    with pytest.raises(ProviderMisconfigured, match="another issuer"):
        sign_on.flow.begin("one")


def test_wrong_secret_is_named_and_not_shown(sign_on: SignOn, tmp_path: Path) -> None:
    """An expired client secret is the commonest failure: the text leads to it."""
    (tmp_path / "secret").write_text("wrong-canary")
    answer = sign_on.browser.visit(sign_on.flow.begin("one"))
    with pytest.raises(ProviderMisconfigured, match="client id and secret") as caught:
        sign_on.flow.complete("one", answer, sign_on.browser.cookie)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_provider_whose_certificate_nobody_vouches_for_is_not_asked(sign_on: SignOn) -> None:
    """TLS is checked against the given authority, or the system's."""
    change(sign_on, "one", ca_file=None)
    with pytest.raises(ProviderUnavailable, match="certificate"):
        sign_on.flow.begin("one")


def test_provider_that_is_down_signs_nobody_in(sign_on: SignOn) -> None:
    """The text says so; nothing else than this provider's sign-ins is touched."""
    change(sign_on, "one", issuer="https://localhost:1")
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        sign_on.flow.begin("one")
    assert sign_on.sign_in("two", "paul").account.active


def test_provider_that_is_silent_is_waited_for_once(sign_on: SignOn) -> None:
    """Of many who ask together one waits; the others do not wait one after the other, each a whole time."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(8) as pool:
        silent.settimeout(0.2)
        change(sign_on, "one", issuer=f"https://127.0.0.1:{silent.getsockname()[1]}")

        def begin(_: int) -> type[BaseException] | None:
            try:
                sign_on.flow.begin("one")
            except ProviderUnavailable as error:
                return type(error)
            return None

        begun = [pool.submit(begin, n) for n in range(8)]
        met = 0
        while not all(one.done() for one in begun):
            with suppress(TimeoutError):
                silent.accept()[0].close()
                met += 1
        assert [one.result() for one in begun] == [ProviderUnavailable] * 8
        assert met == 1
        sign_on.world.clock.advance(timedelta(seconds=6))
        again = pool.submit(begin, 0)
        silent.settimeout(5)
        silent.accept()[0].close()
        assert again.result() is ProviderUnavailable


@pytest.mark.asvs("6.8.4")
def test_proof_to_be_there_still_is_asked_and_checked(sign_on: SignOn) -> None:
    """Before a sensitive act: the same person, just now."""
    first = sign_on.sign_in()
    begun = sign_on.flow.begin("one", account_id=first.account.id, max_age=0)
    assert parse_qs(urlsplit(begun.url).query)["prompt"] == ["login"]
    fresh = sign_on.flow.complete("one", sign_on.browser.visit(begun), sign_on.browser.cookie)
    assert fresh.identity.authenticated is not None
    other = Browser(_ca(sign_on))
    begun = sign_on.flow.begin("one", account_id=first.account.id, max_age=0)
    answer = other.visit(begun, "paul")
    other.client.close()
    assert refused(sign_on, "one", answer, begun.browser) == "other-account"


def _ca(sign_on: SignOn) -> Path:
    rows = sign_on.world.rows("SELECT config->>'ca_file' FROM vallum.sso_provider WHERE id = 'one'")
    return Path(str(rows[0][0]))


def test_account_that_is_switched_off_is_not_signed_in(sign_on: SignOn) -> None:
    """Whatever the provider says."""
    first = sign_on.sign_in()
    with sign_on.world.store.transaction() as tx:
        sign_on.world.accounts.deactivate(tx, first.account.id, "admin")
    with pytest.raises(SignInRefused) as caught:
        sign_on.sign_in()
    assert caught.value.reason == "inactive"


def test_nobody_gets_an_account_where_none_are_made(sign_on: SignOn) -> None:
    """Just-in-time creation is a setting, off unless asked for."""
    change(sign_on, "one", create=False)
    with pytest.raises(SignInRefused) as caught:
        sign_on.sign_in()
    assert caught.value.reason == "no-account"
    assert sign_on.world.rows("SELECT 1 FROM plain_account") == []


@pytest.mark.asvs("10.5.5")
@pytest.mark.parametrize("claim", ["sub", "preferred_username"])
def test_sign_out_at_the_provider_ends_sessions_here(sign_on: SignOn, listener: Listener, claim: str) -> None:
    """Back-channel logout: the real token of the real provider, once, for that session."""
    # By the session alone, where people are known by something else than the token's subject.
    change(sign_on, "one", subject_claim=claim)
    signed = sign_on.sign_in()
    with sign_on.world.store.transaction() as tx:
        sign_on.world.accounts.open_session(tx, signed.account.id, "one", signed.identity.sid)
        sign_on.world.accounts.open_session(tx, signed.account.id, "local", None)
    before = len(listener.tokens)
    url = sign_on.flow.logout_url("one", signed.identity.hint or {})
    assert url is not None
    _confirm_logout(sign_on.browser.client, url)
    for _ in range(100):
        if len(listener.tokens) > before:
            break
        time.sleep(0.05)
    token = listener.tokens[before]
    assert sign_on.flow.back_channel("one", token) == 1
    with pytest.raises(SignInRefused) as caught:
        sign_on.flow.back_channel("one", token)
    assert caught.value.reason == "replay"
    with pytest.raises(SignInRefused):
        sign_on.flow.back_channel("two", token)
    with sign_on.world.store.transaction() as tx:
        assert sign_on.world.accounts.sessions(tx, signed.account.id) == 1


def _confirm_logout(client: httpx.Client, url: str) -> None:
    """Say yes to the provider's question."""
    page = client.get(url)
    action = page.text.split('action="')[1].split('"')[0]
    token = page.text.split('name="xsrf" value="')[1].split('"')[0]
    done = client.post(action, data={"xsrf": token, "logout": "yes"})
    assert done.headers["location"].startswith(f"{BASE}/")


def test_flows_of_two_processes_share_what_is_under_way(sign_on: SignOn) -> None:
    """Begun at one, completed at another: nothing is kept in memory that matters."""
    other = OidcFlow(sign_on.world.store, sign_on.world.accounts, sign_on.world.clock, BASE)
    answer = sign_on.browser.visit(other.begin("one"))
    assert sign_on.flow.complete("one", answer, sign_on.browser.cookie).account.active


def test_unknown_or_switched_off_provider_is_an_error(sign_on: SignOn) -> None:
    """Whatever is typed into the address."""
    change(sign_on, "two", enabled=False)
    for name in ("two", "three", "'; DROP TABLE x", "x" * 500):
        with pytest.raises(VallumError, match="no identity provider"):
            sign_on.flow.begin(name)
