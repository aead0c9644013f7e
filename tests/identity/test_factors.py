"""Second factors: enrolled, shown once, lost, required; and what attackers do with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from tests.support.passkeys import SoftAuthenticator
from vallum.identity.accounts import Account
from vallum.identity.authenticator import Refusal
from vallum.identity.errors import FactorRefused, LinkRefused, NotPermitted
from vallum.identity.factors.recovery import looks_like_code, new_codes, recovery_digest
from vallum.identity.factors.totp import matching_step, new_secret
from vallum.identity.local import LocalAuthenticator
from vallum.identity.sign_in import Outcome, Refused, SignedIn, Step
from vallum.identity.tickets import TicketKind

ADMIN = "base.group_system"


def _step(outcome: Outcome, kind: TicketKind = TicketKind.FACTOR) -> Step:
    assert isinstance(outcome, Step), outcome
    assert outcome.kind is kind
    return outcome


def _first(world: World, login: str = "marie") -> Step:
    return _step(world.identity.sign_in.password(login, GOOD, client()))


# One-time codes


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    """RFC 6238, appendix B, the last six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert matching_step(secret, code, datetime.fromtimestamp(moment, UTC), 0) == moment // 30


@pytest.mark.parametrize(("drift", "accepted"), [(0, [0]), (1, [-1, 0, 1]), (2, [-2, -1, 0, 1, 2])])
@pytest.mark.asvs("6.5.5")
def test_code_is_good_for_its_step_and_the_drift_allowed(drift: int, accepted: list[int]) -> None:
    """Thirty seconds, and as many steps to either side as the setting says: one at most by default."""
    secret, now = new_secret(), datetime(2026, 3, 2, 9, 0, 10, tzinfo=UTC)
    app = pyotp.TOTP(secret)
    found = [
        n for n in range(-4, 5) if matching_step(secret, app.at(now + timedelta(seconds=30 * n)), now, drift)
    ]
    assert found == accepted


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "１２３４５６", "123456\n", "0" * 100_000]
)
def test_odd_codes_are_of_no_step(code: str) -> None:
    """Only six ASCII digits are looked at."""
    assert matching_step(new_secret(), code, datetime(2026, 3, 2, tzinfo=UTC), 1) is None


@pytest.mark.asvs("6.3.2", "6.5.8")
def test_password_and_code_open_a_session(world: World) -> None:
    """Neither alone does; the time is the server's."""
    app = world.totp(world.person())
    step = _first(world)
    assert step.choices == ("totp",)
    done = world.identity.sign_in.code(step.ticket, app.at(world.clock.now()), client())
    assert isinstance(done, SignedIn)
    session = world.identity.base.sessions.check(done.token, world.clock.now())
    assert session is not None
    assert session.methods == ("pwd", "otp")


@pytest.mark.asvs("6.5.1")
def test_code_is_good_once(world: World) -> None:
    """Not a second time in its thirty seconds, nor an older one after it."""
    app = world.totp(world.person())
    now = world.clock.now()
    sign_in = world.identity.sign_in
    assert isinstance(sign_in.code(_first(world).ticket, app.at(now), client()), SignedIn)
    for code in (app.at(now), app.at(now - timedelta(seconds=30))):
        assert isinstance(sign_in.code(_first(world).ticket, code, client()), Refused)
    assert isinstance(
        sign_in.code(_first(world).ticket, app.at(now + timedelta(seconds=30)), client()), SignedIn
    )


def test_code_of_the_enrolment_opens_no_session(world: World) -> None:
    """Whoever looked over the shoulder then has nothing."""
    account = world.person()
    new = world.identity.factors.begin_totp(account)
    code = pyotp.TOTP(new.secret).at(world.clock.now())
    world.identity.factors.finish_totp(account, new.ticket, code, client())
    assert isinstance(world.identity.sign_in.code(_first(world).ticket, code, client()), Refused)


@pytest.mark.asvs("6.5.1")
def test_two_processes_with_one_code_let_one_in(world: World) -> None:
    """The same step in eight workers at once: one session."""
    app = world.totp(world.person())
    steps = [_first(world) for _ in range(4)]
    others = [world.another() for _ in range(4)]
    code = app.at(world.clock.now())

    def finish(number: int) -> bool:
        return isinstance(others[number].sign_in.code(steps[number].ticket, code, client()), SignedIn)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(finish, range(4))) == 1


def test_codes_cannot_be_guessed_by_beginning_again(world: World) -> None:
    """Five wrong codes shut the second step, though each came after the password anew."""
    app = world.totp(world.person())
    sign_in = world.identity.sign_in
    for _ in range(5):
        assert isinstance(sign_in.code(_first(world).ticket, "000000", client()), Refused)
    ticket = _first(world).ticket
    with pytest.raises(FactorRefused, match="too many"):
        sign_in.code(ticket, app.at(world.clock.now()), client())
    world.go_on(minutes=16)
    assert isinstance(sign_in.code(_first(world).ticket, app.at(world.clock.now()), client()), SignedIn)


def test_locks_of_codes_grow(world: World) -> None:
    """A quarter of an hour, then half, then one: nobody tries a million codes."""
    world.totp(world.person())
    sign_in = world.identity.sign_in
    for minutes in (15, 30, 60):
        for _ in range(5):
            assert isinstance(sign_in.code(_first(world).ticket, "000000", client()), Refused)
        world.go_on(minutes=minutes, seconds=-1)
        with pytest.raises(FactorRefused):
            sign_in.code(_first(world).ticket, "000000", client())
        world.go_on(seconds=1)


@pytest.mark.asvs("6.3.4")
def test_holder_is_told_that_somebody_knows_the_password(world: World) -> None:
    """The right password and wrong codes: a mail, and it says what to do."""
    world.totp(world.person())
    world.read_mail()
    for _ in range(5):
        world.identity.sign_in.code(_first(world).ticket, "000000", client())
    assert "Somebody knows your password" in world.read_mail()[-1].subject


def test_half_done_sign_in_ends_after_ten_minutes(world: World) -> None:
    """The step is too old, and the message says to begin again."""
    app = world.totp(world.person())
    step = _first(world)
    world.go_on(minutes=10)
    with pytest.raises(LinkRefused, match="too old"):
        world.identity.sign_in.code(step.ticket, app.at(world.clock.now()), client())


def test_half_done_enrolment_shuts_nobody_out(world: World) -> None:
    """A factor counts once it was shown."""
    account = world.person()
    new = world.identity.factors.begin_totp(account)
    with pytest.raises(FactorRefused, match="clock"):
        world.identity.factors.finish_totp(account, new.ticket, "000000", client())
    world.sign_in()
    paul = world.person("paul")
    with pytest.raises(FactorRefused, match="somebody else"):
        world.identity.factors.finish_totp(
            paul, new.ticket, pyotp.TOTP(new.secret).at(world.clock.now()), client()
        )


@pytest.mark.asvs("6.5.3")
def test_secrets_are_random_long_and_sealed(world: World) -> None:
    """160 bits each, and neither the table nor a ticket holds one in the clear."""
    assert len({new_secret() for _ in range(500)}) == 500
    assert {len(new_secret()) for _ in range(10)} == {32}
    account = world.person()
    new = world.identity.factors.begin_totp(account)
    world.identity.factors.finish_totp(
        account, new.ticket, pyotp.TOTP(new.secret).at(world.clock.now()), client()
    )
    tables = [world.store.rows(f"SELECT * FROM vallum.{name}") for name in ("totp", "ticket", "outbox")]
    assert new.secret not in repr(tables) + repr(new) + repr(world.events)
    assert new.secret.encode() not in b"".join(
        bytes(row[0]) for row in world.store.rows("SELECT secret FROM vallum.totp")
    )
    assert "<svg" in new.svg
    assert new.secret in new.uri


# Recovery codes


@pytest.mark.asvs("6.5.2", "6.5.4")
def test_recovery_codes_have_120_bits_and_are_kept_as_digests(world: World) -> None:
    """More than the 112 from which a plain digest is enough."""
    [code] = new_codes(1)
    assert len(code.replace("-", "")) == 24
    assert len(set("".join(new_codes(200)))) == 33
    assert looks_like_code(code.lower().replace("-", " "))
    assert not looks_like_code("123456")
    account = world.person()
    world.totp(account)
    codes = world.identity.factors.new_recovery_codes(account, client())
    kept = {bytes(row[0]) for row in world.store.rows("SELECT digest FROM vallum.recovery_code")}
    assert kept == {recovery_digest(code) for code in codes}


@pytest.mark.asvs("6.5.1")
def test_recovery_code_is_good_once(world: World) -> None:
    """In place of the lost device, one sign-in each; the holder is told."""
    account = world.person()
    world.totp(account)
    first, second, *_ = world.identity.factors.new_recovery_codes(account, client())
    sign_in = world.identity.sign_in
    world.read_mail()
    assert isinstance(sign_in.code(_first(world).ticket, first.lower(), client()), SignedIn)
    assert any("recovery code was used" in mail.text for mail in world.read_mail())
    assert isinstance(sign_in.code(_first(world).ticket, first, client()), Refused)
    assert isinstance(sign_in.code(_first(world).ticket, second, client()), SignedIn)
    assert world.identity.factors.recovery_left(account.id) == 8


def test_new_recovery_codes_replace_the_old_ones(world: World) -> None:
    """And there are none without a factor to recover."""
    account = world.person()
    with pytest.raises(FactorRefused):
        world.identity.factors.new_recovery_codes(account, client())
    world.totp(account)
    old = world.identity.factors.new_recovery_codes(account, client())
    world.identity.factors.new_recovery_codes(account, client())
    assert isinstance(world.identity.sign_in.code(_first(world).ticket, old[0], client()), Refused)


@pytest.mark.asvs("6.5.6")
def test_lost_factor_is_revoked_by_its_holder_or_an_administrator(world: World) -> None:
    """Its codes are worth nothing, the recovery codes go with the last one, and the sessions end."""
    account = world.person(user_id=3)
    admin = world.person("admin", user_id=2, groups=[ADMIN])
    app = world.totp(account)
    codes = world.identity.factors.new_recovery_codes(account, client())
    done = world.identity.sign_in.code(_first(world).ticket, app.at(world.clock.now()), client())
    assert isinstance(done, SignedIn)
    [factor] = world.identity.factors.of(account.id)
    with pytest.raises(NotPermitted):
        world.identity.remove_factor(admin, "totp", factor.id, by=account)
    assert world.identity.remove_factor(account, "totp", factor.id, by=admin)
    assert not world.identity.remove_factor(account, "totp", factor.id, by=admin)
    assert world.identity.factors.recovery_left(account.id) == 0
    assert codes
    assert world.identity.base.sessions.check(done.token, world.clock.now()) is None


# Who must


def test_administrators_must_enrol_within_the_grace(world: World) -> None:
    """A week from the first sign-in; then nothing opens before a factor is there."""
    account = world.person(user_id=2, groups=[ADMIN])
    first = world.sign_in()
    assert first.enrol_by == world.clock.now() + timedelta(days=7)
    world.go_on(days=6, hours=23)
    assert world.sign_in().enrol_by == first.enrol_by
    world.go_on(hours=1)
    step = _step(world.identity.sign_in.password("marie", GOOD, client()), TicketKind.ENROL)
    with pytest.raises(FactorRefused):
        world.identity.sign_in.enrolled(step.ticket, client())
    new = world.identity.factors.begin_totp(world.identity.sign_in.enrolling(step.ticket))
    code = pyotp.TOTP(new.secret).at(world.clock.now())
    world.identity.factors.finish_totp(account, new.ticket, code, client(), step=step.ticket)
    assert isinstance(world.identity.sign_in.enrolled(step.ticket, client()), SignedIn)


def test_waiting_enrolment_of_a_stranger_is_worth_nothing_once_a_factor_is_there(world: World) -> None:
    """Who got as far as the enrolment before its holder has to show the holder's factor now."""
    account = world.person(user_id=2, groups=[ADMIN])
    world.sign_in()
    world.go_on(days=8)
    strangers = _step(world.identity.sign_in.password("marie", GOOD, client()), TicketKind.ENROL)
    owners = _step(world.identity.sign_in.password("marie", GOOD, client()), TicketKind.ENROL)
    new = world.identity.factors.begin_totp(account)
    code = pyotp.TOTP(new.secret).at(world.clock.now())
    world.identity.factors.finish_totp(account, new.ticket, code, client(), step=owners.ticket)
    with pytest.raises(LinkRefused):
        world.identity.sign_in.enrolled(strangers.ticket, client())
    assert isinstance(world.identity.sign_in.enrolled(owners.ticket, client()), SignedIn)


@pytest.mark.parametrize(
    ("required", "groups", "needed"),
    [
        ("optional", [ADMIN], False),
        ("groups", ["base.group_user"], False),
        ("groups", ["account.group_account_invoice"], True),
        ("groups", ["hr.group_hr_user"], True),
        ("all", [], True),
    ],
)
def test_setting_says_who_needs_a_second_factor(
    new_world: Maker, required: str, groups: list[str], needed: bool
) -> None:
    """Nobody, chosen groups (administrators, finance, HR by default), or everyone."""
    world = new_world(factors={"required": required, "grace_days": 0})
    world.person(user_id=3, groups=groups)
    outcome = world.identity.sign_in.password("marie", GOOD, client())
    assert isinstance(outcome, Step if needed else SignedIn)


def test_who_may_make_keys_needs_a_second_factor(new_world: Maker) -> None:
    """The preset for holders of keys."""
    world = new_world(keys={"managers": ["it.group_keys"]}, factors={"grace_days": 0})
    world.person(user_id=3, groups=["it.group_keys"])
    assert isinstance(world.identity.sign_in.password("marie", GOOD, client()), Step)


def test_program_with_a_password_is_refused_where_there_is_a_second_factor(world: World) -> None:
    """It needs a key; and where one is required and overdue, it is refused as well."""
    account = world.person(user_id=3, groups=[ADMIN])
    calls = LocalAuthenticator(world.identity)
    assert calls.password("marie", GOOD, client()).user_id == 3
    world.sign_in()
    world.go_on(days=8)
    assert calls.password("marie", GOOD, client()).refusal is Refusal.FACTOR_NEEDED
    world.totp(account)
    assert calls.password("marie", GOOD, client()).refusal is Refusal.KEY_NEEDED


@pytest.mark.asvs("6.3.5")
def test_mail_is_no_factor(world: World) -> None:
    """There is no kind of factor, and no step, that a mail could fulfil."""
    account = world.person()
    world.totp(account)
    world.identity.passwords.start_reset("marie", client())
    link = world.link_in_mail()
    step = _first(world)
    assert set(step.choices) <= {"totp", "passkey"}
    for act in (world.identity.sign_in.renew, world.identity.sign_in.code):
        with pytest.raises(LinkRefused):
            act(link, "another-horse-staple", client())


# Passkeys


def _enrolled(world: World, account: Account, device: SoftAuthenticator | None = None) -> SoftAuthenticator:
    device = device or SoftAuthenticator()
    ticket, options = world.identity.factors.begin_passkey(account)
    world.identity.factors.finish_passkey(account, ticket, device.make(options), client(), name="Key")
    return device


@pytest.mark.asvs("6.3.7")
def test_passkey_is_two_factors_in_one(world: World) -> None:
    """No login, no password: the device knows who, and asks for a finger."""
    account = world.person()
    device = _enrolled(world, account)
    ticket, options = world.identity.sign_in.ask_passkey()
    assert options["userVerification"] == "required"
    done = world.identity.sign_in.passkey(ticket, device.show(options), client())
    assert isinstance(done, SignedIn)
    assert done.account.id == account.id


def test_passkey_is_a_second_factor_as_well(world: World) -> None:
    """After the password; it is asked for by name."""
    account = world.person()
    device = _enrolled(world, account, SoftAuthenticator(verifies=False))
    step = _first(world)
    challenge, options = world.identity.sign_in.ask_passkey(step.ticket)
    assert len(options["allowCredentials"]) == 1  # type: ignore[arg-type]
    done = world.identity.sign_in.second_passkey(step.ticket, challenge, device.show(options), client())
    assert isinstance(done, SignedIn)


def test_challenge_is_good_once(world: World) -> None:
    """An answer that was seen on the way cannot be played again."""
    device = _enrolled(world, world.person())
    ticket, options = world.identity.sign_in.ask_passkey()
    answer = device.show(options)
    assert isinstance(world.identity.sign_in.passkey(ticket, answer, client()), SignedIn)
    with pytest.raises(LinkRefused):
        world.identity.sign_in.passkey(ticket, answer, client())
    other, _ = world.identity.sign_in.ask_passkey()
    with pytest.raises(FactorRefused):
        world.identity.sign_in.passkey(other, answer, client())


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://vallum.example.evil.test"},
        {"origin": "http://vallum.example"},
        {"origin": "https://sub.vallum.example"},
        {"rp_id": "evil.test"},
        {"rp_id": "example"},
        {"verifies": False},
    ],
)
def test_passkey_shown_elsewhere_or_to_nobody_is_refused(world: World, lie: dict[str, object]) -> None:
    """Another origin, another relying party, nobody's finger: phishing and theft."""
    device = _enrolled(world, world.person())
    for name, value in lie.items():
        setattr(device, name, value)
    ticket, options = world.identity.sign_in.ask_passkey()
    with pytest.raises(FactorRefused):
        world.identity.sign_in.passkey(ticket, device.show(options), client())


@pytest.mark.parametrize("lie", [{"origin": "https://evil.test"}, {"rp_id": "evil.test"}])
def test_passkey_made_elsewhere_is_not_kept(world: World, lie: dict[str, str]) -> None:
    """Neither of another origin nor for another relying party."""
    account, device = world.person(), SoftAuthenticator()
    for name, value in lie.items():
        setattr(device, name, value)
    ticket, options = world.identity.factors.begin_passkey(account)
    with pytest.raises(FactorRefused):
        world.identity.factors.finish_passkey(account, ticket, device.make(options), client())
    assert not world.identity.factors.of(account.id)


def test_copied_passkey_is_noticed_by_its_counter(world: World) -> None:
    """A count that does not go up was shown by a copy."""
    device = _enrolled(world, world.person())
    for count, accepted in ((5, True), (5, False), (3, False), (6, True)):
        device.counter = count - 1
        ticket, options = world.identity.sign_in.ask_passkey()
        answer = device.show(options)
        if accepted:
            assert isinstance(world.identity.sign_in.passkey(ticket, answer, client()), SignedIn)
        else:
            with pytest.raises(FactorRefused):
                world.identity.sign_in.passkey(ticket, answer, client())


def test_passkey_without_a_counter_goes_on_working(world: World) -> None:
    """Those of phones and browsers stay at nought."""
    device = _enrolled(world, world.person(), SoftAuthenticator(counts=False))
    for _ in range(2):
        ticket, options = world.identity.sign_in.ask_passkey()
        assert isinstance(world.identity.sign_in.passkey(ticket, device.show(options), client()), SignedIn)


def test_foreign_passkey_is_refused(world: World) -> None:
    """Somebody else's, an unknown one, or one that claims to be another account's."""
    marie, paul = world.person(), world.person("paul")
    maries, pauls = _enrolled(world, marie), _enrolled(world, paul)
    step = _first(world)
    challenge, options = world.identity.sign_in.ask_passkey(step.ticket)
    with pytest.raises(FactorRefused):
        world.identity.sign_in.second_passkey(step.ticket, challenge, pauls.show(options), client())
    for device, handle in ((SoftAuthenticator(handle=marie.handle), None), (pauls, marie.handle)):
        ticket, options = world.identity.sign_in.ask_passkey()
        with pytest.raises(FactorRefused):
            world.identity.sign_in.passkey(ticket, device.show(options, handle=handle), client())
    # A challenge to sign in is none for the second step, and the other way round.
    ticket, options = world.identity.sign_in.ask_passkey()
    with pytest.raises(FactorRefused):
        world.identity.sign_in.second_passkey(step.ticket, ticket, maries.show(options), client())
    challenge, options = world.identity.sign_in.ask_passkey(step.ticket)
    with pytest.raises(FactorRefused):
        world.identity.sign_in.passkey(challenge, maries.show(options), client())


def test_passkey_of_one_account_cannot_become_anothers(world: World) -> None:
    """It is known already."""
    device = _enrolled(world, world.person())
    paul = world.person("paul")
    ticket, options = world.identity.factors.begin_passkey(paul)
    with pytest.raises(FactorRefused, match="known already"):
        world.identity.factors.finish_passkey(paul, ticket, device.make(options), client())


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"id": 1}',
        '{"id":"x","rawId":"x","response":{},"type":"public-key"}',
        "\ud800",
    ],
)
def test_odd_answers_are_refused_quietly(world: World, answer: str) -> None:
    """Whatever a client sends, it is a refusal and not a crash."""
    account = world.person()
    ticket, _ = world.identity.sign_in.ask_passkey()
    with pytest.raises(FactorRefused):
        world.identity.sign_in.passkey(ticket, answer, client())
    ticket, _ = world.identity.factors.begin_passkey(account)
    with pytest.raises(FactorRefused):
        world.identity.factors.finish_passkey(account, ticket, answer, client())


def test_passkey_of_a_shut_account_opens_nothing(world: World) -> None:
    """Nor does a passkey make a session of another account fresh."""
    marie = world.person()
    device = _enrolled(world, marie)
    world.person("paul")
    token = world.sign_in("paul").token
    ticket, options = world.identity.sign_in.ask_passkey()
    assert world.identity.confirming.passkey(token, ticket, device.show(options), client()) is None
    world.identity.deactivate(marie, by=None)
    ticket, options = world.identity.sign_in.ask_passkey()
    with pytest.raises(FactorRefused):
        world.identity.sign_in.passkey(ticket, device.show(options), client())


def test_required_factor_that_was_removed_is_asked_for_at_once(world: World) -> None:
    """No new week of grace for whoever had it taken away."""
    account = world.person(user_id=2, groups=[ADMIN])
    world.totp(account)
    [factor] = world.identity.factors.of(account.id)
    assert world.identity.remove_factor(account, "totp", factor.id, by=None)
    _step(world.identity.sign_in.password("marie", GOOD, client()), TicketKind.ENROL)
