"""API keys: who makes them, what for, for how long, and how they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.identity.world import World, client
from vallum.identity.authenticator import Refusal
from vallum.identity.errors import KeyRefused, NotPermitted
from vallum.identity.keys.scope import Scope
from vallum.identity.keys.text import new_key, prefix_of
from vallum.identity.local import LocalAuthenticator
from vallum.kernel import Operation

READ = Scope.parse(["sale.order", "stock.*"], ["read"])


def test_key_lets_its_service_in_within_its_scope(world: World) -> None:
    """The verdict carries the scope, and the scope only narrows."""
    key = world.identity.make_key(world.service(), "sync", READ, days=30, by=None)
    verdict = LocalAuthenticator(world.identity).key(key.text, client())
    assert verdict.accepted
    assert verdict.user_id == 7
    assert verdict.covers("sale.order", Operation.READ)
    assert verdict.covers("stock.move.line", Operation.READ)
    assert not verdict.covers("sale.order", Operation.WRITE)
    assert not verdict.covers("sale.order.line", Operation.READ)
    assert not verdict.covers("stock", Operation.READ)
    assert not verdict.covers("res.users", Operation.READ)


@pytest.mark.parametrize(
    ("models", "operations"),
    [
        ([], ["read"]),
        (["*"], ["read"]),
        ([".*"], ["read"]),
        (["sale.*.x"], ["read"]),
        (["Sale"], ["read"]),
        (["sale.order; drop"], ["read"]),
        (["sale.order"], []),
        (["sale.order"], ["admin"]),
    ],
)
def test_key_without_a_scope_cannot_be_thought_of(models: list[str], operations: list[str]) -> None:
    """Neither all models, nor none, nor an unknown operation."""
    with pytest.raises(KeyRefused):
        Scope.parse(models, operations)


@pytest.mark.parametrize("days", [0, -1, 91, 10_000])
def test_key_without_an_end_within_ninety_days_is_refused(world: World, days: int) -> None:
    """Longer is not to be had."""
    with pytest.raises(KeyRefused):
        world.identity.make_key(world.service(), "sync", READ, days=days, by=None)


@pytest.mark.parametrize(
    "change",
    ["models = '{}'", "models = NULL", "models = '{*}'", "operations = '{}'", "operations = '{sudo}'",
     "expires = NULL", "expires = created", "expires = created + interval '91 days'", "expires = 'infinity'"],
)  # fmt: skip
def test_table_itself_refuses_a_key_without_scope_or_end(world: World, change: str) -> None:
    """Whatever program writes to it."""
    world.identity.make_key(world.service(), "sync", READ, days=30, by=None)
    with pytest.raises(psycopg.IntegrityError):
        world.store.rows(f"UPDATE vallum.api_key SET {change}")


def test_only_administrators_and_a_granted_group_make_keys(world: World) -> None:
    """Everyone else is refused, at making, rotating and revoking."""
    admin = world.person("admin", user_id=2, groups=["base.group_system"])
    marie = world.person(user_id=3, groups=["sales.group_manager"])
    robot = world.service()
    made = world.identity.make_key(robot, "sync", READ, days=30, by=admin)
    assert made.key.created_by == "admin"
    for act in (
        lambda: world.identity.make_key(robot, "sync", READ, days=30, by=marie),
        lambda: world.identity.rotate_key(made.key, days=30, by=marie),
        lambda: world.identity.revoke_key(made.key, "", by=marie),
    ):
        with pytest.raises(NotPermitted):
            act()


def test_group_of_key_managers_makes_keys(new_world: Any) -> None:
    """The setting names groups that may."""
    world = new_world(keys={"managers": ["it.group_keys"]})
    nina = world.person("nina", user_id=9, groups=["it.group_keys"])
    assert world.identity.make_key(world.service(), "sync", READ, days=30, by=nina)


def test_person_gets_no_key(world: World) -> None:
    """Keys are for services: who leaves takes none along."""
    with pytest.raises(KeyRefused, match="person"):
        world.identity.make_key(world.person(), "mine", READ, days=30, by=None)


def test_key_ends_at_its_instant(world: World) -> None:
    """A second before it is good, at the instant it is not."""
    calls = LocalAuthenticator(world.identity)
    text = world.identity.make_key(world.service(), "sync", READ, days=30, by=None).text
    world.clock.advance(timedelta(days=30) - timedelta(seconds=1))
    assert calls.key(text, client()).accepted
    world.go_on(seconds=1)
    assert calls.key(text, client()).refusal is Refusal.EXPIRED


@pytest.mark.attacks("addresses: IPv4-mapped IPv6")
def test_key_is_good_from_its_networks_only(world: World) -> None:
    """An IPv4 address written as IPv6 is the same; an unknown one is nowhere."""
    scope = Scope.parse(["sale.order"], ["read"], ["192.0.2.0/24", "2001:db8::/48"])
    text = world.identity.make_key(world.service(), "sync", scope, days=30, by=None).text
    calls = LocalAuthenticator(world.identity)
    for address in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::5"):
        assert calls.key(text, client(address)).accepted
    for address in ("198.51.100.1", "::ffff:198.51.100.1", "2001:db9::1", "", "unknown"):
        assert calls.key(text, client(address)).refusal is Refusal.ADDRESS


def test_rotated_key_goes_on_for_the_overlap(world: World) -> None:
    """A day for whoever uses it to change over; then it ends, and it cannot be rotated twice."""
    identity, calls = world.identity, LocalAuthenticator(world.identity)
    old = identity.make_key(world.service(), "sync", READ, days=60, by=None)
    new = identity.rotate_key(old.key, days=60, by=None)
    assert new.key.scope == old.key.scope
    with pytest.raises(KeyRefused):
        identity.rotate_key(old.key, days=60, by=None)
    world.go_on(hours=23)
    assert calls.key(old.text, client()).accepted
    world.go_on(hours=1)
    assert not calls.key(old.text, client()).accepted
    assert calls.key(new.text, client()).accepted


def test_leaked_key_is_revoked_by_whoever_pastes_it(world: World) -> None:
    """No rights are needed to end what is in the open already; a wrong text ends nothing."""
    identity, calls = world.identity, LocalAuthenticator(world.identity)
    text = identity.make_key(world.service(), "sync", READ, days=30, by=None).text
    assert identity.revoke_leaked(text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert calls.key(text, client()).accepted
    assert identity.revoke_leaked(f"  {text}\n")
    assert calls.key(text, client()).refusal is Refusal.EXPIRED
    assert "key.leaked" in world.kinds()


def test_revoked_key_and_shut_service_are_refused_at_the_next_call(world: World) -> None:
    """Nothing is remembered of a key."""
    identity, calls = world.identity, LocalAuthenticator(world.identity)
    robot = world.service()
    first = identity.make_key(robot, "one", READ, days=30, by=None)
    second = identity.make_key(robot, "two", READ, days=30, by=None)
    assert calls.key(first.text, client()).accepted
    identity.revoke_key(first.key, "lost", by=None)
    assert calls.key(first.text, client()).refusal is Refusal.EXPIRED
    identity.deactivate(robot, by=None)
    assert calls.key(second.text, client()).refusal is Refusal.INACTIVE
    identity.activate(robot, by=None)
    assert calls.key(second.text, client()).refusal is Refusal.EXPIRED


def test_last_use_is_kept(world: World) -> None:
    """When and from where, by the minute."""
    calls = LocalAuthenticator(world.identity)
    made = world.identity.make_key(world.service(), "sync", READ, days=30, by=None)
    assert made.key.used is None
    world.go_on(hours=1)
    calls.key(made.text, client("198.51.100.3"))
    found = world.identity.keys.get(made.key.id)
    assert (found.used, found.used_from) == (world.clock.now(), "198.51.100.3")


def test_text_of_a_key_shows_what_it_is_and_whether_it_is_whole() -> None:
    """A scanner finds it, a misprint is seen without a database."""
    keys = {new_key() for _ in range(200)}
    assert len({prefix_of(key) for key in keys}) == 200
    key = keys.pop()
    assert key.startswith("vlm_")
    for at in (4, 20, len(key) - 1):
        other = "a" if key[at] != "a" else "b"
        assert prefix_of(key[:at] + other + key[at + 1 :]) is None
    for odd in ("", "vlm_", key + "a", key[:-1], key.upper(), f" {key}", f"{key}\n"):
        assert prefix_of(odd) is None


def test_key_is_nowhere_but_on_the_screen(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the tables, nor in the log, events or representations."""
    caplog.set_level("DEBUG")
    made = world.identity.make_key(world.service(), "sync", READ, days=30, by=None)
    calls = LocalAuthenticator(world.identity)
    calls.key(made.text, client())
    world.identity.revoke_leaked(made.text)
    secret = made.text[15:]
    tables = "".join(str(row) for row in world.store.rows("SELECT * FROM vallum.api_key"))
    everywhere = [tables, caplog.text, repr(world.events), repr(made), str(made.key.as_dict())]
    assert not any(secret in text for text in everywhere)
    with pytest.raises(KeyRefused) as caught:
        world.identity.rotate_key(world.identity.keys.get(made.key.id), days=1, by=None)
    assert secret not in str(caught.value)
