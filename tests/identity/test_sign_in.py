"""Signing in: who is let in, by which steps, and what strangers learn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from vallum.identity.authenticator import Refusal
from vallum.identity.errors import LinkRefused
from vallum.identity.keys.scope import Scope
from vallum.identity.sign_in import Refused, SignedIn, Step
from vallum.identity.tickets import TicketKind
from vallum.kernel import SettingsError


def test_right_password_opens_a_session(world: World) -> None:
    """Whoever knows the password is let in, under a token that leads to the account."""
    account = world.person()
    signed = world.sign_in()
    session = world.identity.base.sessions.check(signed.token, world.clock.now())
    assert session is not None
    assert (session.account_id, session.methods) == (account.id, ("pwd",))
    assert "session.started" in world.kinds()


def test_login_is_compared_without_case_and_width(world: World) -> None:
    """Logins that look alike are the same."""
    world.person("marie@example.com")
    world.sign_in("  MARIE@Example.com ")
    world.sign_in("ｍarie@example.com")


@pytest.mark.parametrize("login", ["marie", "nobody"])
@pytest.mark.asvs("6.3.8")
def test_wrong_password_and_unknown_login_look_the_same(world: World, login: str) -> None:
    """Neither the outcome nor the work done tells whether there is such an account."""
    world.person()
    outcome = world.identity.sign_in.password(login, "wrong-horse-battery", client())
    assert isinstance(outcome, Refused)
    assert outcome.retry_after is None


@pytest.mark.parametrize("password", ["", " ", "\0", "x" * 100_000, "\ud800"])
def test_odd_passwords_are_refused_quietly(world: World, password: str) -> None:
    """What cannot be a password is a wrong one, not an error."""
    world.person()
    assert isinstance(world.identity.sign_in.password("marie", password, client()), Refused)


def test_account_without_password_lets_nobody_in(world: World) -> None:
    """An account that was only invited has no password to guess."""
    world.person(password=None)
    for password in ("", "None", GOOD):
        assert isinstance(world.identity.sign_in.password("marie", password, client()), Refused)


@pytest.mark.asvs("7.4.2")
def test_shut_account_is_refused_and_its_session_dead(world: World) -> None:
    """Deactivation holds from the next request on."""
    account = world.person()
    token = world.sign_in().token
    world.identity.deactivate(account, by=None)
    assert world.identity.base.sessions.check(token, world.clock.now()) is None
    outcome = world.identity.sign_in.password("marie", GOOD, client())
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.INACTIVE


def test_deactivation_ends_every_way_in_at_once(world: World) -> None:
    """Session, key, reset link, half-done sign-in and challenge are worth nothing after it."""
    account = world.person()
    identity, now = world.identity, world.clock.now()
    token = world.sign_in().token
    identity.passwords.send_link(account, by="admin")
    link = world.link_in_mail()
    enrolment = identity.factors.begin_totp(account)
    half = identity.base.tickets.issue(
        TicketKind.FACTOR,
        account.id,
        timedelta(minutes=9),
        now,
        {"methods": ["pwd"]},
    )
    robot = world.service()
    key = identity.make_key(robot, "sync", Scope.parse(["sale.order"], ["read"]), days=30, by=None)
    identity.deactivate(account, by=None)
    identity.deactivate(robot, by=None)
    assert identity.base.sessions.check(token, now) is None
    with pytest.raises(LinkRefused):
        identity.passwords.look(link)
    with pytest.raises(LinkRefused):
        identity.factors.finish_totp(account, enrolment.ticket, "000000", client())
    with pytest.raises(LinkRefused):
        identity.sign_in.code(half, "000000", client())
    found = identity.keys.find(key.text, now)
    assert found is not None
    assert not found.is_good(now)


@pytest.mark.asvs("7.2.4")
def test_signing_in_again_ends_the_session_there_was(world: World) -> None:
    """A session an attacker planted before is worth nothing after (fixation)."""
    world.person()
    first = world.sign_in().token
    second = world.sign_in(replaces=first).token
    check = world.identity.base.sessions.check
    assert check(first, world.clock.now()) is None
    assert check(second, world.clock.now()) is not None


def test_ticket_of_a_step_is_no_session(world: World) -> None:
    """What is held before the second factor opens nothing by itself."""
    account = world.person()
    ticket = world.identity.base.tickets.issue(
        TicketKind.FACTOR,
        account.id,
        timedelta(minutes=5),
        world.clock.now(),
        {"methods": ["pwd"]},
    )
    assert world.identity.base.sessions.check(ticket, world.clock.now()) is None


def test_expired_password_is_replaced_before_there_is_a_session(new_world: Maker) -> None:
    """Under the guide's policy, after 90 days only a new password opens a session."""
    world = new_world(passwords={"policy": "guide"}, factors={"required": "optional"})
    world.person(password="Valid-Horse-2-Go")
    world.go_on(days=91)
    step = world.identity.sign_in.password("marie", "Valid-Horse-2-Go", client())
    assert isinstance(step, Step)
    assert step.kind is TicketKind.RENEW
    done = world.identity.sign_in.renew(step.ticket, "Other-Horse-3-Went", client())
    assert isinstance(done, SignedIn)
    with pytest.raises(LinkRefused):
        world.identity.sign_in.renew(step.ticket, "Third-Horse-4-Comes", client())


@pytest.mark.asvs("6.3.4")
def test_new_device_is_noticed_known_one_is_not(world: World) -> None:
    """The holder is told of a sign-in from a device not seen before."""
    world.person()
    device = world.sign_in().device
    assert device is not None
    world.read_mail()
    again = world.sign_in(device=device)
    assert again.device is None
    assert not world.read_mail()
    world.sign_in(client=client("198.51.100.7", "Unknown\r\nBcc: x"))
    [mail] = world.read_mail()
    assert "new device" in mail.subject
    assert "198.51.100.7" in mail.text
    assert "\r" not in mail.text


def test_two_that_finish_one_step_get_one_session(world: World) -> None:
    """Of two who come with one ticket and a right code each, one goes on."""
    account = world.person()
    world.totp(account)
    codes = world.identity.factors.new_recovery_codes(account, client())
    step = world.identity.sign_in.password("marie", GOOD, client())
    assert isinstance(step, Step)
    others = [world.another() for _ in range(4)]

    def finish(number: int) -> bool:
        try:
            return isinstance(others[number].sign_in.code(step.ticket, codes[number], client()), SignedIn)
        except LinkRefused:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(finish, range(4))) == 1


@pytest.mark.parametrize("login", ["", "\0", "marie\0", "\ud800", "x" * 100_000, "ma rie", "\u202emarie"])
def test_odd_logins_are_unknown_quietly(world: World, login: str) -> None:
    """What cannot be a login is nobody's; and nobody gets one like that."""
    world.person()
    assert isinstance(world.identity.sign_in.password(login, GOOD, client()), Refused)
    if login != "ma rie":
        with pytest.raises(SettingsError):
            world.identity.create_account(login, by=None)


@pytest.mark.asvs("6.8.4", "7.5.1")
def test_session_is_no_fresher_than_the_provider_says(world: World) -> None:
    """Who comes in silently, by a session at the provider, has shown nothing; a factor shown here counts."""
    account = world.person(password=None)
    earlier = world.clock.now() - timedelta(hours=1)
    sign_in, sessions = world.identity.sign_in, world.identity.base.sessions

    def enter() -> SignedIn | Step | Refused:
        return sign_in.external(account, client(), provider="one", methods=["sso"], authenticated=earlier)

    signed = enter()
    assert isinstance(signed, SignedIn)
    session = sessions.check(signed.token, world.clock.now())
    assert session is not None
    assert session.fresh == earlier
    app = world.totp(account)
    step = enter()
    assert isinstance(step, Step)
    shown = sign_in.code(step.ticket, app.at(world.clock.now()), client())
    assert isinstance(shown, SignedIn)
    session = sessions.check(shown.token, world.clock.now())
    assert session is not None
    assert session.fresh == world.clock.now()


def test_grace_is_had_once_by_those_who_have_a_group_now_and_then(new_world: Maker) -> None:
    """Who is an administrator by the hour does not put the second factor off for ever."""
    world = new_world(factors={"required": "groups", "groups": ["x.admins"], "grace_days": 7})
    account = world.person()
    for _ in range(2):
        world.identity.give_group(
            account, "x.admins", by=None, expires=world.clock.now() + timedelta(hours=1)
        )
        world.sign_in()
        world.go_on(days=3)
        assert world.sign_in().enrol_by is None
    world.go_on(days=2)
    world.identity.give_group(account, "x.admins", by=None, expires=world.clock.now() + timedelta(hours=1))
    outcome = world.identity.sign_in.password("marie", GOOD, client())
    assert isinstance(outcome, Step)
    assert outcome.kind is TicketKind.ENROL


@pytest.mark.parametrize("grace", [0, 7])
def test_session_of_one_factor_ends_where_a_group_asks_for_two(new_world: Maker, grace: int) -> None:
    """A group given while a session is open: after the grace, which begins with it, one signs in anew."""
    world = new_world(factors={"required": "groups", "groups": ["x.admins"], "grace_days": grace})
    account, other = world.person(), world.person("paul")
    token, its = world.sign_in().token, world.sign_in("paul").token
    session = world.identity.sign_in.session
    assert session(token) is not None
    world.identity.give_group(account, "x.admins", by=None)
    assert (session(token) is not None) is (grace > 0)
    if grace:
        world.go_on(days=7)
        token = world.sign_in("paul").token
        outcome = world.identity.sign_in.password("marie", GOOD, client())
        assert isinstance(outcome, Step)
        return
    assert session(its) is not None
    world.totp(other)
    world.identity.give_group(other, "x.admins", by=None)
    assert session(its) is not None
    world.identity.take_group(account, "x.admins", by=None)
    assert session(token) is not None
