"""Sessions: how long they last, who ends them, and when credentials are asked for again."""

from __future__ import annotations

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from vallum.identity.cookies import cleared, device_cookie, read, session_cookie
from vallum.identity.directories import DirectoryAccounts
from vallum.identity.errors import FreshSignInNeeded
from vallum.identity.tokens import digest, new_token


def _alive(world: World, token: str) -> bool:
    return world.identity.base.sessions.check(token, world.clock.now()) is not None


def _signed_in(world: World) -> str:
    """The token of somebody's only session."""
    world.person()
    return world.sign_in().token


@pytest.mark.asvs("7.2.3")
def test_tokens_are_long_random_and_kept_as_digests(world: World) -> None:
    """256 bits each, no two alike, and none of them in the database."""
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {43}
    token = _signed_in(world)
    [(kept,)] = world.store.rows("SELECT digest FROM vallum.session")
    assert bytes(kept) == digest(token)
    dump = "".join(str(row) for row in world.store.rows("SELECT * FROM vallum.session"))
    assert token not in dump


@pytest.mark.parametrize("token", ["", "x", "\0", "\ud800", "x" * 10_000_000])
def test_odd_tokens_are_nobodys(world: World, token: str) -> None:
    """Whatever a cookie holds, the answer is no."""
    world.person()
    world.sign_in()
    assert not _alive(world, token)


@pytest.mark.asvs("7.3.1")
def test_unused_session_ends(world: World) -> None:
    """After an hour without a request; each request begins the hour anew."""
    token = _signed_in(world)
    for _ in range(3):
        world.go_on(minutes=59)
        assert _alive(world, token)
    world.go_on(minutes=60)
    assert not _alive(world, token)


@pytest.mark.asvs("7.3.2")
def test_used_session_ends_too(world: World) -> None:
    """After a day, however much it was used."""
    token = _signed_in(world)
    for _ in range(47):
        world.go_on(minutes=30)
        assert _alive(world, token)
    world.go_on(minutes=30)
    assert not _alive(world, token)


@pytest.mark.asvs("7.4.1")
def test_signing_out_ends_the_session(world: World) -> None:
    """The token is worth nothing afterwards."""
    token = _signed_in(world)
    assert world.identity.base.sessions.end(token)
    assert not _alive(world, token)
    assert not world.identity.base.sessions.end(token)


@pytest.mark.asvs("7.4.3")
def test_new_password_ends_all_other_sessions(world: World) -> None:
    """The one it was chosen in goes on."""
    account = world.person()
    mine, other = world.sign_in().token, world.sign_in().token
    world.identity.passwords.change(account, GOOD, "another-horse-staple", client(), session=mine)
    assert _alive(world, mine)
    assert not _alive(world, other)


@pytest.mark.asvs("7.4.5")
def test_administrator_ends_sessions_of_one_and_of_all(world: World) -> None:
    """At once, and nobody else may."""
    from vallum.identity.errors import NotPermitted

    marie, paul = world.person(user_id=3), world.person("paul", user_id=4)
    admin = world.person("admin", user_id=2, groups=["base.group_system"])
    tokens = [world.sign_in(login).token for login in ("marie", "paul", "admin")]
    with pytest.raises(NotPermitted):
        world.identity.end_sessions(marie, by=paul)
    assert world.identity.end_sessions(marie, by=admin) == 1
    assert [_alive(world, token) for token in tokens] == [False, True, True]
    assert world.identity.end_sessions(None, by=None) == 2
    assert not any(_alive(world, token) for token in tokens)


@pytest.mark.asvs("7.5.2")
def test_holder_lists_and_ends_sessions(world: World) -> None:
    """One's own, and nobody else's."""
    marie = world.person()
    paul = world.person("paul")
    world.sign_in(client=client("192.0.2.10", "Firefox"))
    token = world.sign_in(client=client("198.51.100.4", "Chrome")).token
    sessions = world.identity.base.sessions
    listed = sessions.of(marie.id, world.clock.now())
    assert [(s.address, s.user_agent) for s in listed] == [
        ("198.51.100.4", "Chrome"),
        ("192.0.2.10", "Firefox"),
    ]
    assert not sessions.end_one(paul.id, listed[0].id)
    assert _alive(world, token)
    assert sessions.end_one(marie.id, listed[0].id)
    assert not _alive(world, token)


@pytest.mark.asvs("7.5.1", "7.5.3")
def test_sensitive_act_needs_fresh_credentials(world: World) -> None:
    """Ten minutes after signing in they are asked for again; then the session has a new token."""
    token = _signed_in(world)
    sessions, confirming = world.identity.base.sessions, world.identity.confirming
    world.go_on(minutes=11)
    session = sessions.check(token, world.clock.now())
    assert session is not None
    with pytest.raises(FreshSignInNeeded):
        sessions.require_fresh(session, world.clock.now())
    assert confirming.password(token, client(), password="wrong-horse-battery") is None
    fresh = confirming.password(token, client(), password=GOOD)
    assert fresh is not None
    assert not _alive(world, token)
    renewed = sessions.check(fresh, world.clock.now())
    assert renewed is not None
    sessions.require_fresh(renewed, world.clock.now())


def test_confirming_needs_the_second_factor_as_well(world: World) -> None:
    """A password alone does not make a session fresh that two factors began."""
    account = world.person()
    token = world.sign_in().token
    app = world.totp(account)
    assert world.identity.confirming.password(token, client(), password=GOOD) is None
    code = app.at(world.clock.now())
    assert world.identity.confirming.password(token, client(), password=GOOD, code=code) is not None


def test_confirming_with_somebody_elses_password_fails(world: World) -> None:
    """The credentials must be those of the session's own account."""
    world.person()
    world.person("paul", password="quite-another-secret")
    token = world.sign_in().token
    assert world.identity.confirming.password(token, client(), password="quite-another-secret") is None


def test_known_device_confirms_while_the_account_is_attacked(world: World) -> None:
    """Strangers' failures keep nobody from what needs fresh credentials."""
    world.person()
    signed = world.sign_in()
    for number in range(6):
        world.identity.sign_in.password("marie", "wrong-horse-battery", client(f"198.51.{number}.7"))
    confirm = world.identity.confirming.password
    assert confirm(signed.token, client(), password=GOOD) is None
    assert confirm(signed.token, client(), password=GOOD, device=signed.device) is not None


def test_too_many_sessions_end_the_oldest(new_world: Maker) -> None:
    """So many at once as the setting says."""
    world = new_world(sessions={"most": 2})
    world.person()
    tokens = []
    for _ in range(3):
        tokens.append(world.sign_in().token)
        world.go_on(seconds=1)
    assert [_alive(world, token) for token in tokens] == [False, True, True]


def test_provider_ends_its_sessions(world: World) -> None:
    """Back-channel logout: what one session at the provider began, and nothing else."""
    account = world.person()
    outcome = world.identity.sign_in.external(
        account, client(), provider="oidc:x", methods=["sso", "mfa"], provider_session="sid-1"
    )
    other = world.sign_in().token
    token = outcome.token  # type: ignore[union-attr]  # let in
    directories = DirectoryAccounts(world.identity.base)
    with world.store.transaction() as tx:
        assert directories.end_provider_session(tx, "oidc:y", "sid-1", "sso.logout") == 0
    assert _alive(world, token)
    with world.store.transaction() as tx:
        assert directories.end_provider_session(tx, "oidc:x", "sid-1", "sso.logout") == 1
    assert not _alive(world, token)
    assert _alive(world, other)


def test_sweeping_drops_only_what_has_expired(world: World) -> None:
    """Live sessions stay."""
    world.person()
    world.sign_in()
    world.go_on(hours=25)
    token = world.sign_in().token
    assert world.identity.sweep().sessions == 1
    assert _alive(world, token)
    for _ in range(6):
        world.identity.sign_in.password("nobody", "wrong-horse-battery", client())
    world.go_on(days=200)
    swept = world.identity.sweep()
    assert (swept.sessions, swept.devices, swept.attempts > 0) == (1, 2, True)
    assert world.store.rows("SELECT kind FROM vallum.outbox WHERE kind = 'decoy'") == []


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4")
def test_cookies_are_bound_to_the_host_and_hidden_from_scripts() -> None:
    """`__Host-`, Secure, HttpOnly, SameSite, for the whole site; cleared under the same name."""
    for text in (session_cookie("abc"), device_cookie("abc", days=180), cleared(session_cookie("x"))):
        name, _, rest = text.partition("=")
        attributes = {part.strip().lower() for part in rest.split(";")[1:]}
        assert name.startswith("__Host-")
        assert {"secure", "httponly", "path=/"} <= attributes
        assert {"samesite=lax", "samesite=strict"} & attributes
        assert not any(attribute.startswith("domain") for attribute in attributes)
    header = "a=b; __Host-vallum=tok-en_1; __Host-vallum-device=dev"
    assert read(header).session == "tok-en_1"
    assert read(header).device == "dev"


@pytest.mark.parametrize(
    "header", ["__Host-vallum=a; __Host-vallum=b", "__Host-vallum=", "=;;=", "x" * 100_000]
)
def test_doubled_and_broken_cookies_are_no_session(header: str) -> None:
    """Two cookies of one name may be an attacker's: neither counts."""
    assert read(header).session is None
