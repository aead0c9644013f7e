"""Accounts as the server asks for them: with each call, and never remembered past their end."""

from __future__ import annotations

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from vallum.identity.authenticator import Authenticator, Refusal
from vallum.identity.local import LocalAuthenticator


def test_password_is_hashed_once_and_asked_about_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends it with every call costs one look at the account a call."""
    world.person(user_id=3)
    calls: Authenticator = LocalAuthenticator(world.identity)
    assert calls.password("marie", GOOD, client()).user_id == 3
    monkeypatch.setattr(world.identity.hasher, "verify", None)
    for _ in range(3):
        verdict = calls.password("Marie", GOOD, client())
        assert (verdict.user_id, verdict.remember) == (3, 0.0)


@pytest.mark.parametrize("end", ["deactivate", "password", "elsewhere"])
def test_what_was_accepted_is_refused_at_the_next_call_once_it_has_ended(world: World, end: str) -> None:
    """A shut account, a new password, a sign-in that moved to a provider."""
    account = world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    mark = calls.mark(3)
    assert calls.password("marie", GOOD, client()).accepted
    if end == "deactivate":
        world.identity.deactivate(account, by=None)
    elif end == "password":
        world.identity.passwords.replace(account, "another-horse-staple", client())
    else:
        world.identity.base.accounts.change(account.id, local_password=False)
    assert not calls.password("marie", GOOD, client()).accepted
    assert (calls.mark(3) != mark) is (end != "elsewhere")


def test_expired_password_is_refused_to_programs(new_world: Maker) -> None:
    """They cannot choose another."""
    world = new_world(passwords={"policy": "guide"})
    world.person(user_id=3, password="Valid-Horse-Go-00")
    calls = LocalAuthenticator(world.identity)
    assert calls.password("marie", "Valid-Horse-Go-00", client()).accepted
    world.go_on(days=90)
    assert calls.password("marie", "Valid-Horse-Go-00", client()).refusal is Refusal.EXPIRED


def test_account_of_no_user_may_do_nothing(world: World) -> None:
    """An account that is tied to nobody is refused, even with the right password."""
    world.person()
    assert LocalAuthenticator(world.identity).password("marie", GOOD, client()).refusal is Refusal.UNKNOWN


def test_service_has_no_password(world: World) -> None:
    """Not even where somebody wrote one into the table: it refuses."""
    import psycopg

    robot = world.service()
    with pytest.raises(psycopg.IntegrityError):
        world.store.rows("UPDATE vallum.account SET password_hash = 'x' WHERE id = %s", (robot.id,))


@pytest.mark.parametrize("key", ["", "x", "vlm_", "a" * 10_000, "\ud800", "vlm_" + "a" * 10 + "_" + "0" * 49])
def test_odd_keys_are_unknown(world: World, key: str) -> None:
    """Whatever a header holds."""
    assert LocalAuthenticator(world.identity).key(key, client()).refusal is Refusal.UNKNOWN
