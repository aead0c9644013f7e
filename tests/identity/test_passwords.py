"""Passwords: which may be chosen, how they are kept, changed and reset."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity.conftest import Maker
from tests.identity.world import CHEAP, GOOD, World, client
from vallum.identity.authenticator import Refusal
from vallum.identity.errors import LinkRefused, NotPermitted, PasswordRefused
from vallum.identity.keyring import Keyring
from vallum.identity.passwords.blocklist import Blocklist
from vallum.identity.passwords.hashing import Busy, Hasher
from vallum.identity.passwords.policy import PasswordPolicy, judge
from vallum.identity.settings import HashSettings, IdentitySettings, PasswordSettings
from vallum.identity.sign_in import Refused, SignedIn
from vallum.kernel import SettingsError

NIST = PasswordPolicy.of(PasswordSettings())
GUIDE = PasswordPolicy.of(PasswordSettings(policy="guide"))
KNOWN = Blocklist()


# Which may be chosen


@pytest.mark.asvs("6.2.1")
def test_length_is_fifteen_alone_and_eight_with_a_second_factor() -> None:
    """And no setting makes it less than eight."""
    assert judge("a" * 5 + "bcdefghiz", NIST)
    assert not judge("tqzvbkxwpm-rt7h", NIST)
    assert judge("tqzvbkx", NIST, has_factor=True)
    assert not judge("tqzvbkxw", NIST, has_factor=True)
    with pytest.raises(SettingsError):
        IdentitySettings.parse({"passwords": {"min_length": 7}})


@pytest.mark.asvs("6.2.5")
@settings(deadline=None)
@given(
    st.sampled_from(
        ["abcdefghij klmnop qrstuv", "éàüöß ñçøåæ œłđþ", "1839 2746 5610 7382", "пароль длинный это да"]
    )
)
def test_nist_asks_for_no_composition(password: str) -> None:
    """Any characters will do, so there are enough of them."""
    assert not [fault for fault in judge(password, NIST) if "lacks" in fault]


@pytest.mark.parametrize(
    ("password", "missing"),
    [
        ("abc-horse-staple-9", "an upper-case letter"),
        ("ABC-HORSE-STAPLE-9", "a lower-case letter"),
        ("Abc-Horse-Staple", "a digit"),
        ("AbcHorseStaple9", "a symbol"),
    ],
)
def test_guide_asks_for_four_classes(password: str, missing: str) -> None:
    """And says which one is missing."""
    [fault] = judge(password, GUIDE)
    assert missing in fault
    assert not judge("Abc-Horse-Staple-9", GUIDE)


@pytest.mark.parametrize("password", ["passwordpassword", "1234567890123456", "QWERTYUIOPASDFGHJKL"])
@pytest.mark.asvs("6.2.4", "6.2.12")
def test_password_known_from_breaches_is_refused_with_the_reason(password: str) -> None:
    """In whatever case, whole."""
    assert password in KNOWN
    assert any("breaches" in fault for fault in judge(password, NIST, known=KNOWN))


@pytest.mark.asvs("6.2.4")
def test_blocklist_holds_the_3000_most_common_that_match_the_policy() -> None:
    """Hundreds of thousands in all, and next to no false alarm."""
    assert len(KNOWN) > 400_000
    made_up = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(20_000)]
    assert sum(text in KNOWN for text in made_up) == 0


@pytest.mark.parametrize(
    "password",
    [
        "Odoo@2026admin!",
        "marie.laurent2026",
        "Limes-Trading-2025",
        "L1mesTr4ding!!2026",
        "vallum vallum vallum",
    ],
)
@pytest.mark.asvs("6.2.11")
def test_password_of_words_others_know_is_refused(password: str) -> None:
    """Company, product, login and year, in whatever spelling."""
    faults = judge(password, NIST, has_factor=True, words=("limes", "trading", "marie", "laurent"))
    assert any("others know" in fault for fault in faults)


def test_word_within_a_long_password_does_no_harm() -> None:
    """It is what is left that counts."""
    assert not judge("marie rides a purple bicycle", NIST, words=("marie",))


@pytest.mark.parametrize(
    "password",
    ["aaaaaaaaaaaaaaaaaaaa", "abababababababababab", "abcdefghijklmnopqrst", "98765432109876543210"],
)
def test_password_that_only_counts_on_is_refused(password: str) -> None:
    """Length alone is not enough."""
    assert any("repeats" in fault for fault in judge(password, NIST))


@pytest.mark.asvs("6.2.9")
@settings(deadline=None)
@given(st.text(min_size=64, max_size=256, alphabet=st.characters(exclude_categories=["Cs"])))
def test_sixty_four_characters_and_more_are_allowed(password: str) -> None:
    """Up to the limit there is no fault of length."""
    assert not [fault for fault in judge(password, NIST) if "longer" in fault or "needed" in fault]


def test_mixture_of_policies_takes_each_number_from_where_it_is_set() -> None:
    """A setting goes before the policy's name."""
    mixed = PasswordPolicy.of(PasswordSettings(policy="guide", classes=0, max_days=0, min_length=20))
    assert (mixed.min_length, mixed.classes, mixed.max_age, mixed.history) == (20, 0, None, 12)


def test_strength_knows_the_words_of_the_place(world: World) -> None:
    """What looks strong to a stranger's estimate is weak here."""
    account = world.person()
    passwords = world.identity.passwords
    assert (
        passwords.strength(account, "marie-vallum").score
        < passwords.strength(None, "ocelot-nimbus-quartz").score
    )
    assert passwords.strength(account, "").score == 0
    assert passwords.strength(account, "x" * 100_000).score <= 4


# How they are kept


@pytest.fixture(scope="module")
def hasher() -> Any:
    """A hasher of cheap hashes."""
    made = Hasher(Keyring.new(), HashSettings(**CHEAP))
    yield made
    made.close()


@pytest.mark.asvs("6.2.8")
@settings(deadline=None, max_examples=40)
@given(st.text(max_size=80), st.text(min_size=1, max_size=3))
def test_password_is_verified_exactly_as_typed(hasher: Hasher, password: str, more: str) -> None:
    """Nothing is cut, trimmed, folded or normalised."""
    kept = _hashed(hasher, password)
    assert hasher.verify(kept, password).right
    assert not hasher.verify(kept, password + more).right
    if password.swapcase() != password:
        assert not hasher.verify(kept, password.swapcase()).right


_KEPT: dict[str, str] = {}


def _hashed(hasher: Hasher, password: str) -> str:
    return _KEPT.setdefault(password, hasher.hash(password))


def test_passwords_that_differ_after_a_thousand_characters_differ(hasher: Hasher) -> None:
    """No limit of bytes cuts them silently."""
    kept = hasher.hash("x" * 1000 + "a")
    assert not hasher.verify(kept, "x" * 1000 + "b").right
    assert hasher.verify(kept, "x" * 1000 + "a").right


def test_default_cost_is_the_recommended_one() -> None:
    """19 MiB, two passes, one lane, Argon2id, behind a pepper."""
    made = Hasher(Keyring.new())
    try:
        assert "$argon2id$v=19$m=19456,t=2,p=1$" in made.hash("x")
    finally:
        made.close()


def test_hash_is_worth_nothing_without_the_secret() -> None:
    """Whoever has the database alone cannot try out a password."""
    ours, theirs = Hasher(Keyring.new(), HashSettings(**CHEAP)), Hasher(Keyring.new(), HashSettings(**CHEAP))
    try:
        kept = ours.hash(GOOD)
        assert ours.verify(kept, GOOD).right
        assert not theirs.verify(kept, GOOD).right
    finally:
        ours.close()
        theirs.close()


def test_new_secret_and_new_cost_hash_anew_at_sign_in(world: World) -> None:
    """The old secret is still understood; after one sign-in it is not needed any more."""
    account = world.person()
    old = world.identity.base.keyring
    newer = Keyring((Keyring.new().secrets[0], *old.secrets))
    hasher = Hasher(newer, HashSettings(**CHEAP))
    try:
        match = hasher.verify(account.password_hash, GOOD)
        assert (match.right, match.stale) == (True, True)
        again = hasher.verify(hasher.hash(GOOD), GOOD)
        assert (again.right, again.stale) == (True, False)
    finally:
        hasher.close()


def test_queue_of_hashes_is_bounded() -> None:
    """Whoever comes when it is full is told so at once."""
    import threading

    hasher = Hasher(Keyring.new(), HashSettings(**{**CHEAP, "parallel": 1, "waiting": 1}))
    hold, started = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        hold.wait(30)

    threads = [threading.Thread(target=lambda: hasher._run(wait)) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        started.wait(30)
        while hasher._places._value:  # the second is in the queue once no place is left
            pass
        with pytest.raises(Busy):
            hasher.hash("x")
    finally:
        hold.set()
        for thread in threads:
            thread.join()
        hasher.close()


# Odoo's hashes


def _odoo_hash(password: str, rounds: int = 1000) -> str:
    def encoded(raw: bytes) -> str:
        return b64encode(raw).decode().rstrip("=").replace("+", ".")

    salt = b"sixteen bytes ok"
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$pbkdf2-sha512${rounds}${encoded(salt)}${encoded(made)}"


def test_odoo_hash_is_taken_over_and_upgraded_at_the_first_sign_in(world: World) -> None:
    """The person notices nothing; afterwards the hash is ours."""
    line = {"id": "3", "login": "demo", "name": "Demo", "email": "", "password": _odoo_hash("demo")}
    assert world.identity.import_person(line) is None
    assert isinstance(world.identity.sign_in.password("demo", "wrong", client()), Refused)
    assert isinstance(world.identity.sign_in.password("demo", "demo", client()), SignedIn)
    kept = world.identity.base.accounts.find("demo").password_hash or ""
    assert "$argon2id$" in kept
    assert isinstance(world.identity.sign_in.password("demo", "demo", client()), SignedIn)


@pytest.mark.parametrize(
    "kept",
    ["demo", "$pbkdf2-sha512$0$abc$def", "$pbkdf2-sha512$99999999$YWJj$" + "a" * 86, "$6$rounds=1$x$y", "*"],
)
def test_odd_hashes_let_nobody_in(world: World, kept: str) -> None:
    """What is no hash of Odoo's is not taken over, and matches nothing where it is there all the same."""
    assert world.identity.import_person({"login": "x", "password": kept}) is not None
    account = world.person("y", password=None)
    world.store.rows("UPDATE vallum.account SET password_hash = %s WHERE id = %s", (kept, account.id))
    for guess in ("demo", "", kept):
        outcome = world.identity.sign_in.password("y", guess, client())
        assert isinstance(outcome, Refused)


def test_passwords_of_real_odoo_databases_are_taken_over(world: World, odoo18: Any) -> None:
    """`admin` and `demo` sign in with the passwords they have in Odoo."""
    from vallum.postgres import Database

    with Database(odoo18.dsn) as odoo:
        lines = odoo.rows("SELECT id, login, password FROM res_users WHERE active AND password IS NOT NULL")
    for number, login, kept in lines:
        assert world.identity.import_person({"id": str(number), "login": login, "password": kept}) is None
    assert lines
    assert isinstance(world.identity.sign_in.password(lines[0][1], "surely not", client()), Refused)


# Changed


@pytest.mark.asvs("6.2.2", "6.2.3")
def test_change_needs_the_current_password(world: World) -> None:
    """Without it nothing changes."""
    account = world.person()
    change = world.identity.passwords.change
    with pytest.raises(PasswordRefused):
        change(account, "wrong-horse-battery", "another-horse-staple", client())
    world.sign_in()
    change(account, GOOD, "another-horse-staple", client())
    world.sign_in(password="another-horse-staple")
    assert isinstance(world.identity.sign_in.password("marie", GOOD, client()), Refused)


def test_current_password_cannot_be_guessed_by_changing(world: World) -> None:
    """From a stolen session: five tries, and even the right one is refused."""
    account = world.person()
    for _ in range(5):
        with pytest.raises(PasswordRefused):
            world.identity.passwords.change(account, "wrong-horse-battery", "another-horse-staple", client())
    with pytest.raises(PasswordRefused):
        world.identity.passwords.change(account, GOOD, "another-horse-staple", client())


@pytest.mark.asvs("6.2.10")
def test_nist_never_asks_for_another_password(world: World) -> None:
    """It stays good for years, and no history is kept."""
    world.person()
    world.go_on(days=3000)
    world.sign_in()
    assert not world.store.rows("SELECT 1 FROM vallum.password_history")


def test_guide_refuses_the_last_twelve_and_no_more(new_world: Maker) -> None:
    """The thirteenth back may be used again: none of the twelve, the current one among them."""
    world = new_world(passwords={"policy": "guide", "min_hours": 0})
    account = world.person(password="Valid-Horse-Go-00")
    for number in range(1, 12):
        world.go_on(seconds=1)
        world.identity.passwords.replace(
            world.identity.base.accounts.get(account.id), f"Valid-Horse-Go-{number:02}", client()
        )
    for number in (0, 5, 11):
        with pytest.raises(PasswordRefused, match="last 12"):
            world.identity.passwords.replace(
                world.identity.base.accounts.get(account.id), f"Valid-Horse-Go-{number:02}", client()
            )
    world.go_on(seconds=1)
    world.identity.passwords.replace(
        world.identity.base.accounts.get(account.id), "Valid-Horse-Go-12", client()
    )
    world.identity.passwords.replace(
        world.identity.base.accounts.get(account.id), "Valid-Horse-Go-00", client()
    )


def test_guide_keeps_a_password_for_a_day_at_least(new_world: Maker) -> None:
    """So that nobody runs through twelve to come back to the first."""
    world = new_world(passwords={"policy": "guide"})
    account = world.person(password="Valid-Horse-Go-00")
    with pytest.raises(PasswordRefused, match="too short a while"):
        world.identity.passwords.change(account, "Valid-Horse-Go-00", "Valid-Horse-Go-01", client())
    world.go_on(hours=24)
    world.identity.passwords.change(account, "Valid-Horse-Go-00", "Valid-Horse-Go-01", client())


# Forgotten


@pytest.mark.asvs("6.4.1", "6.4.3")
def test_reset_link_is_good_once_for_an_hour_and_opens_no_session(world: World) -> None:
    """It lets choose a password, and nothing else."""
    world.person()
    before = world.sign_in().token
    world.identity.passwords.start_reset("marie", client())
    link = world.link_in_mail()
    assert world.identity.base.sessions.check(link, world.clock.now()) is None
    with pytest.raises(PasswordRefused):
        world.identity.passwords.finish_reset(link, "short", client())
    world.identity.passwords.finish_reset(link, "another-horse-staple", client())
    with pytest.raises(LinkRefused):
        world.identity.passwords.finish_reset(link, "third-horse-stapled", client())
    assert world.identity.base.sessions.check(before, world.clock.now()) is None
    world.identity.passwords.start_reset("marie", client())
    late = world.link_in_mail()
    world.go_on(minutes=60)
    with pytest.raises(LinkRefused):
        world.identity.passwords.look(late)


@pytest.mark.asvs("6.4.3")
def test_reset_does_not_get_around_the_second_factor(world: World) -> None:
    """After it one signs in as always."""
    account = world.person()
    world.totp(account)
    world.identity.passwords.start_reset("marie", client())
    world.identity.passwords.finish_reset(world.link_in_mail(), "another-horse-staple", client())
    outcome = world.identity.sign_in.password("marie", "another-horse-staple", client())
    assert type(outcome).__name__ == "Step"


@pytest.mark.asvs("6.3.8")
def test_reset_for_a_stranger_looks_the_same_and_sends_nothing(world: World) -> None:
    """As many rows are written, and no mail leaves."""
    world.person()
    world.read_mail()
    written: list[tuple[int, int]] = []
    for login in ("marie", "nobody", "marie@example.com"):
        before = world.store.rows(
            "SELECT (SELECT count(*) FROM vallum.ticket), (SELECT count(*) FROM vallum.outbox)"
        )
        assert world.identity.passwords.start_reset(login, client(f"192.0.2.{len(written)}")) is None  # type: ignore[func-returns-value]
        after = world.store.rows(
            "SELECT (SELECT count(*) FROM vallum.ticket), (SELECT count(*) FROM vallum.outbox)"
        )
        written.append((after[0][0] - before[0][0], after[0][1] - before[0][1]))
    assert set(written) == {(1, 1)}
    assert [mail.recipient for mail in world.read_mail()] == ["marie@example.com"] * 2


def test_nobody_is_flooded_with_reset_mails(world: World) -> None:
    """Three an hour; the answer stays the same."""
    world.person()
    world.read_mail()
    for _ in range(10):
        world.identity.passwords.start_reset("marie", client())
    assert len(world.read_mail()) == 3


def test_link_leads_to_the_host_of_the_settings(world: World) -> None:
    """Whatever host a request named: it is not even asked; and the token is where no server sees it."""
    world.person()
    world.identity.passwords.start_reset("marie", client())
    [mail] = [m for m in world.read_mail() if "new password" in m.subject]
    [link] = re.findall(r"https?://\S+", mail.text)
    assert link.startswith("https://vallum.example/account/reset#")


@pytest.mark.asvs("6.4.6")
def test_administrator_starts_a_reset_and_learns_nothing(world: World) -> None:
    """The link goes to the holder; no act of an administrator takes or gives a password."""
    import inspect

    from vallum.identity.identity import Identity

    account = world.person()
    admin = world.person("admin", user_id=2, groups=["base.group_system"])
    world.read_mail()
    assert world.identity.start_reset(account, by=admin) is None  # type: ignore[func-returns-value]
    assert [mail.recipient for mail in world.read_mail()] == ["marie@example.com"]
    with pytest.raises(NotPermitted):
        world.identity.start_reset(admin, by=account)
    acts = [act for name, act in inspect.getmembers(Identity, inspect.isfunction) if not name.startswith("_")]
    assert not [a for a in acts if {"password", "new"} & set(inspect.signature(a).parameters)]


def test_reset_by_an_administrator_needs_an_address(world: World) -> None:
    """The error says what to do where there is none."""
    account = world.person(email=None)
    with pytest.raises(SettingsError, match="mail address") as caught:
        world.identity.start_reset(account, by=None)
    assert "vallum user link" in (caught.value.fix or "")


@pytest.mark.asvs("6.4.1")
def test_first_administrator_chooses_a_password_by_a_link_that_is_good_once(world: World) -> None:
    """Printed at the first start; a new one makes the one before worthless, and none is made afterwards."""
    first = world.identity.first_link()
    second = world.identity.first_link()
    assert first is not None
    assert second is not None
    token = second.partition("#")[2]
    with pytest.raises(LinkRefused):
        world.identity.passwords.look(first.partition("#")[2])
    account = world.identity.passwords.finish_reset(token, GOOD, client())
    assert world.identity.is_administrator(account)
    assert world.identity.first_link() is None


def test_no_first_administrator_where_there_are_accounts(world: World) -> None:
    """The door is shut for good once anyone is in."""
    world.person("paul")
    assert world.identity.first_link() is None


def test_inactive_account_is_sent_no_link(world: World) -> None:
    """Who has left does not come back by the back door."""
    account = world.person()
    world.identity.deactivate(account, by=None)
    world.read_mail()
    world.identity.passwords.start_reset("marie", client())
    assert not world.read_mail()
    assert world.identity.base.accounts.get(account.id).active is False


def test_account_that_signs_in_elsewhere_has_no_password(world: World) -> None:
    """Where the provider's word is asked for, a password neither works nor is reset."""
    account = world.person()
    world.identity.base.accounts.change(account.id, local_password=False)
    world.read_mail()
    world.identity.passwords.start_reset("marie", client())
    assert not world.read_mail()
    outcome = world.identity.sign_in.password("marie", GOOD, client())
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.WRONG


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("login", ["marie", "nobody", "shut"])
def test_link_that_is_asked_for_is_recorded_whoever_is_named(world: World, login: str) -> None:
    """Within the same time, so that it tells nothing; as an act of nobody, for whoever asks is not known."""
    known = world.person()
    shut = world.person("shut")
    world.identity.deactivate(shut, by=None)
    before = len(world.kinds())
    world.identity.passwords.start_reset(login, client())
    [event] = world.events[before:]
    assert (event.kind, event.by, event.facts["sent"]) == ("password.link-asked", "", login == "marie")
    assert event.account_id == {"marie": known.id, "shut": shut.id}.get(login)
