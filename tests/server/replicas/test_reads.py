"""Reads from a real standby over a real server: who answers, what a writer sees, what a failure changes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psutil
import pytest

from examples.trading import generate
from tests.support.accounts import People, people
from tests.support.company import METADATA, POLICY
from tests.support.replica import Pair, replicated
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder
from vallum.kernel import ConnectionFailed
from vallum.postgres import connect

pytestmark = pytest.mark.slow
LEADS = "/json/2/crm.lead"


@dataclass(frozen=True, slots=True)
class World:
    """A server with two workers over a primary and its standby."""

    server: Server
    pair: Pair
    people: People

    def client(self, login: str) -> httpx.Client:
        """A client with that user's key."""
        return self.server.client(headers={"Authorization": f"Bearer {self.people.keys[login]}"})

    def call(self, login: str, method: str, **arguments: Any) -> httpx.Response:
        """A call on a connection of its own, so that any worker may get it."""
        with self.client(login) as client:
            return client.post(f"{LEADS}/{method}", json=arguments)

    def count(self, login: str, name: str) -> int:
        """How many leads of that name the user finds."""
        answer = self.call(login, "search_count", domain=[["name", "=", name]])
        assert answer.status_code == 200, answer.text
        return int(answer.json())

    def replica_reads(self) -> float:
        """How many statements the standby has answered."""
        text = httpx.get(f"http://127.0.0.1:{self.server.metrics_port}/metrics", trust_env=False).text
        lines = [x for x in text.splitlines() if x.startswith('vallum_reads_total{server="replica 1"}')]
        return sum(float(line.split()[-1]) for line in lines)

    def events(self) -> list[str]:
        """What the log says of the replica."""
        return [x["event"] + x.get("reason", "") for x in self.server.lines() if "replica" in x]

    def reads_replica(self) -> bool:
        """Whether calls are answered by the standby now."""
        before = self.replica_reads()
        for _ in range(4):
            self.count("sofia", "none")
        return self.replica_reads() > before

    def until_read(self) -> None:
        """Wait until they are."""
        _until(self.reads_replica)


def _until(asked: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not asked():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with replicated("trading") as pair:
        generate(pair.dsn, rows=2_000)
        with temporary_folder() as folder:
            known = people(folder, pair.dsn, ("marie", "sofia", "bruno", "admin"))
            settings = {"metadata": METADATA, "policy": POLICY, "replicas": pair.replica}
            with serving(
                folder, dsn=pair.dsn, store=None, settings=settings, secure=False, workers=2
            ) as server:
                yield World(server, pair, known)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The server, whose standby is well and read from."""
    shared.until_read()
    yield shared
    shared.pair.standby.start()
    if shared.pair.ask(shared.pair.replica, "SELECT pg_is_wal_replay_paused()"):
        shared.pair.resume()


def test_reads_are_answered_by_the_standby(world: World) -> None:
    """All kinds of them; its connections are there to be seen."""
    before = world.replica_reads()
    lead = world.call("sofia", "search", domain=[], limit=1).json()
    calls: dict[str, dict[str, Any]] = {
        "read": {"ids": lead, "fields": ["name"]},
        "search_read": {"domain": [], "fields": ["name"], "limit": 3},
        "name_search": {"name": "a", "limit": 3},
        "fields_get": {},
        "read_group": {"domain": [], "fields": ["__count"], "groupby": ["stage_id"]},
    }
    for method, arguments in calls.items():
        answer = world.call("sofia", method, **arguments)
        assert answer.status_code == 200, answer.text
    assert world.replica_reads() > before
    seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vallum-server'"
    assert world.pair.ask(world.pair.replica, seen) > 0


def test_writer_sees_own_writes_whichever_worker_answers(world: World) -> None:
    """Each write is looked for at once, many times, on connections of their own."""
    for n in range(10):
        made = world.call("marie", "create", vals_list=[{"name": f"own {n}"}])
        assert made.status_code == 200, made.text
        assert [world.count("marie", f"own {n}") for _ in range(4)] == [1] * 4


def test_writer_sees_own_writes_while_the_standby_lags(world: World) -> None:
    """Others may be answered from before for a second, and not longer."""
    world.pair.pause()
    made = world.call("marie", "create", vals_list=[{"name": "paused"}])
    assert made.status_code == 200, made.text
    assert [world.count("marie", "paused") for _ in range(6)] == [1] * 6
    assert world.pair.ask(world.pair.replica, "SELECT count(*) FROM crm_lead WHERE name = 'paused'") == 0
    time.sleep(1.1)
    assert world.count("admin", "paused") == 1
    assert not world.reads_replica()
    _until(lambda: world.events()[-1].endswith("it lags"))
    world.pair.resume()
    world.until_read()
    assert world.count("admin", "paused") == 1


def test_revoked_right_holds_though_the_standby_lags(world: World) -> None:
    """A group taken, a user archived: as soon as workers notice, though the standby knows neither."""
    links = "res_groups_users_rel WHERE uid = (SELECT id FROM res_users WHERE login = 'marie')"
    assert world.call("marie", "search_count", domain=[]).status_code == 200
    world.pair.pause()
    with connect(world.pair.dsn, readonly=False, autocommit=True) as database:

        def statuses() -> set[int]:
            return {world.call("marie", "search_count", domain=[]).status_code for _ in range(8)}

        def after(statement: str, expected: int) -> None:
            database.execute(statement.encode())
            # Both workers notice within a second; calls take theirs on a machine that others use as well.
            _until(lambda: statuses() == {expected}, 5)
            assert statuses() == {expected}

        database.execute(f"CREATE TABLE links AS SELECT * FROM {links}".encode())
        try:
            after(f"DELETE FROM {links}", 403)
            assert world.pair.ask(world.pair.replica, f"SELECT count(*) FROM {links}") > 0
        finally:
            after("INSERT INTO res_groups_users_rel SELECT * FROM links", 200)
            database.execute("DROP TABLE links")
        try:
            after("UPDATE res_users SET active = false WHERE login = 'marie'", 401)
        finally:
            after("UPDATE res_users SET active = true WHERE login = 'marie'", 200)


def test_standby_killed_while_asked_is_not_noticed_by_clients(world: World) -> None:
    """Every call is answered; it is read from again when it is back."""
    stop = time.monotonic() + 4
    statuses: list[int] = []

    def ask(_: int) -> None:
        with world.client("sofia") as client:
            while time.monotonic() < stop:
                answer = client.post(f"{LEADS}/search_read", json={"domain": [], "limit": 40})
                statuses.append(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, n) for n in range(4)]
        time.sleep(1)
        number = (world.pair.standby.data / "postmaster.pid").read_text().split()[0]
        parent = psutil.Process(int(number))
        for process in (parent, *parent.children()):
            process.send_signal(signal.SIGKILL)
        for one in asking:
            one.result()
    assert len(statuses) > 8
    assert set(statuses) == {200}
    assert not world.reads_replica()
    _until(lambda: world.events()[-1].endswith("does not answer"))
    with suppress(ConnectionFailed):  # there is nothing to stop
        world.pair.standby.stop()
    world.pair.standby.start()
    world.until_read()
    _until(lambda: world.events()[-1] == "a replica is read from")


def test_conflict_with_recovery_is_answered_by_the_primary(world: World) -> None:
    """A table that is locked in the log: the standby ends whoever reads it, or lags; nobody gets an error."""
    for _ in range(3):
        with connect(world.pair.dsn, readonly=False, autocommit=True) as database:
            database.execute("ALTER TABLE crm_lead SET (fillfactor = 90)")
            database.execute("VACUUM FULL crm_lead")
        assert world.count("sofia", "none") == 0


def test_log_names_replicas_by_number_alone(world: World) -> None:
    """Nothing of their DSN."""
    assert world.events()
    text = world.server.log.read_text(errors="replace")
    assert str(world.pair.standby.socket_dir) not in text


def test_standby_of_another_database_is_not_read(world: World) -> None:
    """A server that is no standby of the primary is told, and the calls are answered."""
    with temporary_folder() as folder:
        settings = {"metadata": METADATA, "policy": POLICY, "replicas": world.pair.dsn}
        with serving(folder, dsn=world.pair.dsn, store=None, settings=settings, secure=False) as server:
            wrong = replace(world, server=server)
            assert wrong.count("sofia", "none") == 0
            _until(lambda: any(x.endswith("it is no standby") for x in wrong.events()))
