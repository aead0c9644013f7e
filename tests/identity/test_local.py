"""Accounts as the server asks for them: with each call, and never remembered past their end."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from vallum.identity.authenticator import Authenticator, Refusal
from vallum.identity.keys.scope import Scope
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


def test_password_shown_again_with_the_users_id_costs_one_statement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends both with every call is looked at once a call, and never hashed again."""
    world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    assert calls.again(3, GOOD) is None
    assert calls.password("Marie", GOOD, client()).user_id == 3
    monkeypatch.setattr(world.identity.hasher, "verify", None)
    asked: list[str] = []
    rows = world.store.rows

    def counted(statement: str, params: Any = None) -> list[Any]:
        asked.append(statement)
        return rows(statement, params)

    monkeypatch.setattr(world.store, "rows", counted)
    found = calls.again(3, GOOD)
    assert found is not None
    assert (found.user_id, len(asked)) == (3, 1)
    for user, password in ((3, "wrong-horse-battery"), (4, GOOD), (3, "")):
        assert calls.again(user, password) is None


@pytest.mark.parametrize(
    "end", ["deactivate", "password", "elsewhere", "factor", "tied", "renamed", "minute"]
)
def test_password_shown_again_is_asked_about_anew_once_something_has_changed(world: World, end: str) -> None:
    """Whatever has changed, and after a minute: then the name counts as it is now."""
    account = world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    assert calls.password("marie", GOOD, client()).accepted
    assert calls.again(3, GOOD) is not None
    if end == "deactivate":
        world.identity.deactivate(account, by=None)
    elif end == "password":
        world.identity.passwords.replace(account, "another-horse-staple", client())
    elif end == "elsewhere":
        world.identity.base.accounts.change(account.id, local_password=False)
    elif end == "factor":
        world.totp(account)
    elif end == "tied":
        world.identity.change_account(account, by=None, user_id=5)
    elif end == "renamed":
        world.store.rows(
            "UPDATE vallum.account SET login_key = 'maria' WHERE login_key = 'marie' RETURNING id"
        )
    else:
        world.go_on(seconds=61)
    assert calls.again(3, GOOD) is None
    if end == "renamed":
        assert calls.password("maria", GOOD, client()).accepted
        assert calls.again(3, GOOD) is not None


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


def test_grace_ends_for_those_who_come_by_programs_alone(new_world: Maker) -> None:
    """It begins with the first call, not anew with each."""
    world = new_world(factors={"required": "all", "grace_days": 7})
    world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    assert calls.password("marie", GOOD, client()).accepted
    world.go_on(days=6)
    assert calls.password("marie", GOOD, client()).accepted
    world.go_on(days=1, minutes=2)
    assert calls.password("marie", GOOD, client()).refusal is Refusal.FACTOR_NEEDED


def test_session_of_a_program_ends_with_a_new_second_factor(world: World) -> None:
    """It was opened by a password alone, which is not enough from then on; as with a factor in Odoo."""
    account = world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    before = calls.mark(3)
    world.totp(account)
    assert calls.password("marie", GOOD, client()).refusal is Refusal.KEY_NEEDED
    assert calls.mark(3) != before


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
    robot = world.service()
    with pytest.raises(psycopg.IntegrityError):
        world.store.rows("UPDATE vallum.account SET password_hash = 'x' WHERE id = %s", (robot.id,))


@pytest.mark.parametrize("key", ["", "x", "vlm_", "a" * 10_000, "\ud800", "vlm_" + "a" * 10 + "_" + "0" * 49])
def test_odd_keys_are_unknown(world: World, key: str) -> None:
    """Whatever a header holds."""
    assert LocalAuthenticator(world.identity).key(key, client()).refusal is Refusal.UNKNOWN


@pytest.mark.asvs("16.5.3")
def test_accounts_that_cannot_be_read_let_nobody_in(world: World) -> None:
    """An error is no verdict: whoever asked denies."""
    account = world.person(user_id=3)
    key = world.identity.make_key(world.service(), "k", Scope.parse(["a.b"], ["read"]), days=1, by=None).text
    calls = LocalAuthenticator(world.identity)
    assert calls.password("marie", GOOD, client()).accepted
    token = world.sign_in().token
    world.store.rows("ALTER TABLE vallum.account RENAME TO account_away")
    try:
        for ask in (
            lambda: calls.password("marie", GOOD, client()),
            lambda: calls.key(key, client()),
            lambda: world.identity.base.sessions.check(token, world.clock.now()),
            lambda: world.identity.sign_in.password("marie", GOOD, client()),
            lambda: world.identity.is_administrator(account) or world.identity.base.accounts.get(account.id),
        ):
            with pytest.raises(psycopg.errors.UndefinedTable):
                ask()
    finally:
        world.store.rows("ALTER TABLE vallum.account_away RENAME TO account")


def test_event_that_cannot_be_recorded_denies(world: World) -> None:
    """No session without its record."""
    world.person()

    def fail(_: object) -> None:
        raise RuntimeError("the trail is full")

    world.identity.base.events.sinks.append(fail)
    with pytest.raises(RuntimeError):
        world.identity.sign_in.password("marie", GOOD, client())
    assert world.store.rows("SELECT 1 FROM vallum.session") == []


@pytest.mark.asvs("16.3.1")
def test_every_attempt_is_recorded_without_a_secret(world: World) -> None:
    """Who, whence, when, and how it ended."""
    world.person()
    world.identity.sign_in.password("marie", "a-canary-in-the-mine", client("198.51.100.9"))
    world.identity.sign_in.password("nobody", "a-canary-in-the-mine", client("198.51.100.9"))
    world.sign_in()
    told = [
        (e.kind, e.account_id, e.address, e.request_id)
        for e in world.events
        if e.kind.startswith("se") or "sign-in" in e.kind
    ]
    assert told == [
        ("sign-in.refused", 1, "198.51.100.9", "r-1"),
        ("sign-in.refused", None, "198.51.100.9", "r-1"),
        ("session.started", 1, "192.0.2.10", "r-1"),
    ]
    assert "canary" not in repr(world.events)
