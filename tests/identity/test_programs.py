"""Sessions of programs: whose they are, who sees and ends them, and when they are over."""

from __future__ import annotations

import pytest

from tests.identity.world import World, client
from vallum.identity.local import LocalAuthenticator
from vallum.identity.programs import ProgramSession
from vallum.postgres import connect
from vallum.postgres.migrations import migrate
from vallum.server.sessions import Sessions


@pytest.fixture
def programs(world: World) -> Sessions:
    """What the server opens and checks them with."""
    with connect(world.dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "server")
    return Sessions(world.store, world.clock, LocalAuthenticator(world.identity).mark)


def test_session_of_a_program_is_shown_beside_those_of_browsers(world: World, programs: Sessions) -> None:
    """With kind, times, address and program; nobody else's."""
    account, other = world.person(user_id=3), world.person("paul", user_id=4)
    world.sign_in()
    programs.open(3, client("2001:db8::7", "nightly-export/2 " + "x" * 1000))
    world.go_on(minutes=6)
    browser, program = world.identity.base.signed_in(account.id)
    assert (browser.kind, browser.user_agent) == ("browser", "Firefox")
    assert isinstance(program, ProgramSession)
    assert program.as_dict() | {"id": 0, "user_agent": ""} == {
        "kind": "program",
        "id": 0,
        "account_id": account.id,
        "login": "marie",
        "created": "2026-03-02T09:00:00+00:00",
        "seen": "2026-03-02T09:00:00+00:00",
        "expires": "2026-03-09T09:00:00+00:00",
        "methods": ["pwd"],
        "address": "2001:db8::7",
        "user_agent": "",
    }
    assert program.user_agent.startswith("nightly-export/2 x")
    assert len(program.user_agent) == 400
    assert set(program.as_dict()) == set(browser.as_dict())
    assert world.identity.base.signed_in(other.id) == []


def test_use_is_shown_and_so_many_at_most(world: World, programs: Sessions) -> None:
    """The one used last first."""
    account = world.person(user_id=3)
    first, _ = programs.open(3, client(agent="a")), programs.open(3, client(agent="b"))
    world.go_on(minutes=6)
    assert programs.user_of(first) == 3
    shown = world.identity.base.programs.of(account.id, world.clock.now())
    assert [one.user_agent for one in shown] == ["a", "b"]
    assert (shown[0].seen, shown[0].created < shown[0].seen) == (world.clock.now(), True)
    assert world.identity.base.programs.of(account.id, world.clock.now(), most=1) == shown[:1]


def test_one_session_of_a_program_ends_alone_and_is_told(world: World, programs: Sessions) -> None:
    """At once, the other goes on; an event says so, once."""
    account = world.person(user_id=3)
    hers, other = programs.open(3, client(agent="hers")), programs.open(3, client(agent="other"))
    which = {one.user_agent: one.id for one in world.identity.base.signed_in(account.id)}["hers"]
    assert world.identity.end_session(account, which, by=None, kind="program")
    assert (programs.user_of(hers), programs.user_of(other)) == (None, 3)
    assert not world.identity.end_session(account, which, by=None, kind="program")
    told = [event for event in world.events if event.kind == "session.ended"]
    assert [(e.account_id, e.by, dict(e.facts)) for e in told] == [
        (account.id, "server", {"session_kind": "program"})
    ]


def test_all_that_ended_are_counted(world: World, programs: Sessions) -> None:
    """Browsers and programs, of one and of everyone."""
    account, _ = world.person(user_id=3), world.person("paul", user_id=4)
    mine = world.sign_in().token
    for user in (3, 3, 4):
        programs.open(user, client())
    assert world.identity.base.sessions.end_all(account.id, keep=mine) == 2
    assert [one.kind for one in world.identity.base.signed_in(account.id)] == ["browser"]
    assert world.identity.end_sessions(None, by=None) == 2


@pytest.mark.parametrize("kind", ["program", "browser", "", "PROGRAM"])
def test_session_of_somebody_else_is_not_ended(world: World, programs: Sessions, kind: str) -> None:
    """By its number, under whatever kind: numbers are no secret."""
    account, other = world.person(user_id=3), world.person("paul", user_id=4)
    token = programs.open(3, client())
    [hers] = world.identity.base.signed_in(account.id)
    assert not world.identity.base.end_session(other.id, kind, hers.id)
    assert kind == "program" or not world.identity.base.end_session(account.id, kind, hers.id)
    assert programs.user_of(token) == 3


def test_session_goes_with_the_account_it_was_opened_by(world: World, programs: Sessions) -> None:
    """Whoever is tied to the user afterwards neither sees it nor is seen by it."""
    account, other = world.person(user_id=3), world.person("paul", user_id=4)
    token = programs.open(3, client())
    world.identity.change_account(account, by=None, user_id=5)
    world.identity.change_account(other, by=None, user_id=3)
    for one in (account, other):
        assert world.identity.base.signed_in(one.id) == []
    assert programs.user_of(token) is None


@pytest.mark.parametrize("hours", [13, 24 * 8])
def test_session_that_is_over_is_not_shown(world: World, programs: Sessions, hours: int) -> None:
    """Unused for too long, or too old: it is none any more."""
    account = world.person(user_id=3)
    token = programs.open(3, client())
    [kept] = world.identity.base.signed_in(account.id)
    for _ in range(hours // 11 if hours > 24 else 0):
        world.go_on(hours=11)
        programs.user_of(token)
    world.go_on(hours=13 if hours < 24 else 1)
    assert world.identity.base.programs.of(account.id, world.clock.now()) == []
    assert not world.identity.base.end_session(account.id, "program", kept.id)
    assert programs.user_of(token) is None


@pytest.mark.parametrize("version", [None, "0001"])
def test_without_the_table_of_a_server_there_are_none(pg_dsn: str, version: str | None) -> None:
    """Where none has served yet, or one before: nothing breaks, and all of them can be ended."""
    from datetime import UTC, datetime

    from vallum.identity.accounts import Accounts
    from vallum.identity.programs import Programs, end_of_programs
    from vallum.postgres import Database, migrations

    now = datetime(2026, 3, 2, tzinfo=UTC)
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "identity")
        if version is not None:
            migrations._run(connection, "server", version)
            connection.execute(
                b"INSERT INTO vallum.rpc_session (token, user_id, mark, created, used)"
                b" VALUES ('a', 3, 'b', %s, %s)",
                (now, now),
            )
    with Database(pg_dsn, readonly=False) as store:
        account = Accounts(store).create("marie", now, user_id=3)
        assert Programs(store).of(account.id, now) == []
        assert not Programs(store).end_one(account.id, 1, now)
        with store.transaction() as tx:
            assert end_of_programs(tx, account.id) == (version is not None)


def test_new_tables_of_the_server_end_sessions_nobody_could_see(pg_dsn: str) -> None:
    """Of those there is no telling where they come from; and the tables go as they came."""
    from vallum.postgres import migrations

    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrations._run(connection, "server", "0001")
        connection.execute(b"INSERT INTO vallum.rpc_session VALUES ('a', 3, 'b', now(), now())")
        migrate(connection, "server")
        assert connection.execute(b"SELECT count(*) FROM vallum.rpc_session").fetchall() == [(0,)]
        migrations.unmigrate(connection, "server")
        assert migrations.version_of(connection, "server") is None
