"""Guessing: how often anyone may, from where, and who keeps getting in meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from vallum.identity.authenticator import Refusal
from vallum.identity.local import LocalAuthenticator
from vallum.identity.sign_in import Refused, SignedIn

WRONG = "wrong-horse-battery"


def _try(
    world: World, login: str = "marie", password: str = WRONG, address: str = "192.0.2.10"
) -> Refusal | None:
    outcome = world.identity.sign_in.password(login, password, client(address))
    return outcome.reason if isinstance(outcome, Refused) else None


@pytest.mark.asvs("6.3.1")
def test_five_failures_shut_the_account_for_fifteen_minutes(world: World) -> None:
    """Then even the right password is refused, and afterwards it is not."""
    world.person()
    assert [_try(world) for _ in range(5)] == [Refusal.WRONG] * 5
    assert _try(world, password=GOOD) is Refusal.LOCKED
    world.go_on(minutes=14, seconds=59)
    assert _try(world, password=GOOD) is Refusal.LOCKED
    world.go_on(seconds=1)
    assert _try(world, password=GOOD) is None


def test_unknown_login_is_shut_like_a_known_one(world: World) -> None:
    """The lock does not tell whether there is such an account."""
    answers = [_try(world, "nobody") for _ in range(6)]
    assert answers == [Refusal.UNKNOWN] * 5 + [Refusal.LOCKED]


def test_success_begins_the_count_anew(world: World) -> None:
    """Four failures now and then never shut anyone out."""
    world.person()
    for _ in range(4):
        assert [_try(world) for _ in range(4)] == [Refusal.WRONG] * 4
        assert _try(world, password=GOOD) is None


def test_failures_of_long_ago_do_not_count(world: World) -> None:
    """The count is of a quarter of an hour."""
    world.person()
    for _ in range(4):
        _try(world)
    world.go_on(minutes=15)
    assert [_try(world) for _ in range(4)] == [Refusal.WRONG] * 4
    assert _try(world, password=GOOD) is None


@pytest.mark.asvs("6.3.1")
def test_known_device_gets_in_while_the_account_is_attacked(world: World) -> None:
    """Many addresses, one user: strangers are shut out, the owner's device is not (no denial of service)."""
    world.person()
    device = world.sign_in().device
    for number in range(30):
        _try(world, address=f"198.51.{number}.7")
    assert _try(world, password=GOOD, address="203.0.113.5") is Refusal.LOCKED
    assert isinstance(world.identity.sign_in.password("marie", GOOD, client(), device=device), SignedIn)


def test_known_device_is_counted_by_itself(world: World) -> None:
    """A stolen device cookie gives five guesses as well, not endless ones; and is no use for others."""
    world.person()
    world.person("paul")
    device = world.sign_in().device
    sign_in = world.identity.sign_in
    reasons = [sign_in.password("marie", WRONG, client(), device=device) for _ in range(6)]
    assert [r.reason for r in reasons if isinstance(r, Refused)] == [Refusal.WRONG] * 5 + [Refusal.LOCKED]
    for _ in range(5):
        sign_in.password("paul", WRONG, client("198.51.100.1"), device=device)
    assert _try(world, "paul", GOOD, "198.51.100.2") is Refusal.LOCKED


def test_one_address_that_tries_many_users_is_shut(world: World) -> None:
    """Stuffing: an address has twenty failures, whoever they are for."""
    world.person()
    answers = [_try(world, f"user{number}") for number in range(20)]
    assert set(answers) == {Refusal.UNKNOWN}
    assert _try(world, password=GOOD) is Refusal.LOCKED
    assert _try(world, password=GOOD, address="198.51.100.9") is None


def test_one_network_that_tries_many_users_is_shut(new_world: Maker) -> None:
    """A /64 of IPv6 is one attacker, however many addresses it has."""
    world = new_world(lockout={"network": {"failures": 10}})
    world.person()
    for number in range(10):
        assert _try(world, f"user{number}", address=f"2001:db8:1:2::{number + 1:x}") is Refusal.UNKNOWN
    assert _try(world, password=GOOD, address="2001:db8:1:2:ffff::1") is Refusal.LOCKED
    assert _try(world, password=GOOD, address="2001:db8:1:3::1") is None


@pytest.mark.asvs("6.3.1")
@pytest.mark.attacks("addresses: IPv4-mapped IPv6")
def test_address_written_as_ipv6_is_the_same_address(world: World) -> None:
    """`::ffff:192.0.2.10` gives no second set of attempts."""
    for number in range(20):
        _try(world, f"user{number}", address="192.0.2.10" if number % 2 else "::ffff:192.0.2.10")
    assert _try(world, "another", address="::ffff:c000:20a") is Refusal.LOCKED


def test_success_does_not_wipe_what_an_address_did(world: World) -> None:
    """An attacker with one account of its own cannot begin anew by signing in to it."""
    world.person()
    for number in range(19):
        _try(world, f"user{number}")
        assert _try(world, password=GOOD) is None
    assert _try(world, "one more") is Refusal.UNKNOWN
    assert _try(world, password=GOOD) is Refusal.LOCKED


def test_burst_gets_no_more_attempts_than_one_after_the_other(world: World) -> None:
    """Forty at once from everywhere: five passwords are looked at."""
    world.person()
    others = [world.another() for _ in range(4)]

    def attempt(number: int) -> Refusal | None:
        outcome = others[number % 4].sign_in.password("marie", WRONG, client(f"198.51.{number}.1"))
        return outcome.reason if isinstance(outcome, Refused) else None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(40)))
    assert answers.count(Refusal.WRONG) == 5
    assert answers.count(Refusal.LOCKED) == 35


def test_calls_with_a_password_are_counted_with_sign_ins(world: World) -> None:
    """The path of programs is no way around the lock, in either direction."""
    world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    for _ in range(3):
        assert calls.password("marie", WRONG, client()).refusal is Refusal.WRONG
    assert [_try(world) for _ in range(2)] == [Refusal.WRONG] * 2
    assert calls.password("marie", GOOD, client()).refusal is Refusal.LOCKED


@pytest.mark.asvs("6.3.4")
def test_holder_is_told_of_a_lock_once(world: World) -> None:
    """One mail a lock, however many come after."""
    world.person()
    world.read_mail()
    for _ in range(20):
        _try(world)
    assert [mail.subject for mail in world.read_mail()] == ["Vallum: Failed sign-ins"]


def test_lock_of_an_unknown_login_writes_to_nobody(world: World) -> None:
    """As much is written, and nothing is sent."""
    for _ in range(6):
        _try(world, "nobody")
    assert not world.read_mail()
    [row] = world.store.rows("SELECT kind, sent IS NOT NULL FROM vallum.outbox")
    assert row == ("decoy", True)


def test_administrator_unlocks_by_a_reset(world: World) -> None:
    """Who chooses a new password by the link in the mail is not kept out by others' failures."""
    account = world.person()
    for _ in range(6):
        _try(world)
    world.identity.passwords.send_link(account, by="admin")
    world.identity.passwords.finish_reset(world.link_in_mail(), "another-horse-staple", client())
    assert _try(world, password="another-horse-staple") is None
