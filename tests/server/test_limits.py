"""How many requests, how fast, by whom: exact, wherever the counters are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.conftest import Odoo
from tests.support.accounts import odoo_key
from tests.support.odoo import OdooReference
from tests.support.serving import Server, free_port, serving
from tests.support.temporary import temporary_folder
from tests.support.valkey import valkey
from vallum.kernel import ConnectionFailed, FixedClock
from vallum.postgres import ThreadDatabase, connect
from vallum.postgres.migrations import migrate
from vallum.server.limits import Counters, MemoryCounters, PostgresCounters, Rate, ValkeyCounters, take

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@given(
    per_minute=st.integers(1, 1000),
    burst=st.integers(1, 50),
    waits=st.lists(st.floats(0, 10), min_size=1, max_size=80),
)
def test_never_more_than_burst_and_rate(per_minute: int, burst: int, waits: list[float]) -> None:
    """Whatever the times of arrival, in no span is more let through than the burst and what the rate adds."""
    rate, now, kept, passed = Rate(per_minute, burst), 1_000_000.0, None, []
    for wait in waits:
        now += wait
        taken = take(rate, kept, now)
        kept = taken.arrival
        if taken.retry_after is None:
            passed.append(now)
        else:
            assert taken.retry_after > 0
            assert take(rate, kept, now + taken.retry_after + 1e-6).retry_after is None
    for i, start in enumerate(passed):
        for count, end in enumerate(passed[i:], 1):
            assert count <= burst + (end - start) / rate.interval + 1e-6


@pytest.fixture(params=["memory", "postgres", pytest.param("valkey", marks=pytest.mark.slow)])
def counters(request: pytest.FixtureRequest) -> Iterator[Counters]:
    """Counters of each kind."""
    if request.param == "memory":
        yield MemoryCounters(FixedClock(START))
        return
    if request.param == "valkey":
        with temporary_folder() as folder, valkey(folder) as url:
            yield ValkeyCounters(url)
        return
    dsn = request.getfixturevalue("pg_dsn")
    with connect(dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "server")
    with ThreadDatabase(dsn, readonly=False) as database:
        yield PostgresCounters(database)


def test_burst_is_let_through_and_no_more(counters: Counters) -> None:
    """Three at once; the fourth waits; another key has its own."""
    rate = Rate(1, 3)
    assert [counters.take(("a", rate)) for _ in range(3)] == [None] * 3
    wait = counters.take(("a", rate))
    assert wait is not None
    assert 50 < wait <= 60
    assert counters.take(("b", rate)) is None


def test_parallel_burst_is_counted_exactly(counters: Counters) -> None:
    """Of forty at once from eight threads, exactly the burst is let through."""
    rate = Rate(1, 10)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: counters.take(("a", rate)), range(40)))
    assert answers.count(None) == 10


def test_request_counts_under_each_key_by_its_own_rate(counters: Counters) -> None:
    """One key that refuses is enough, and the longest wait is told; the other has counted all the same."""
    narrow, wide, slow = Rate(60, 1), Rate(1, 3), Rate(1, 1)
    assert counters.take(("whose", narrow), ("where", wide)) is None
    wait = counters.take(("whose", narrow), ("where", wide))
    assert wait is not None
    assert 0 < wait <= 1
    assert counters.take(("where", wide)) is None
    assert counters.take(("where", wide)) is not None
    assert counters.take(("slow", slow)) is None
    wait = counters.take(("whose", narrow), ("slow", slow))
    assert wait is not None
    assert 50 < wait <= 60


def test_requests_with_keys_in_common_do_not_stop_each_other(counters: Counters) -> None:
    """Two keys each, in either order, from eight threads: none waits for ever, and none is lost."""
    rate = Rate(1, 30)
    orders = [(("a", rate), ("b", rate)), (("b", rate), ("a", rate))] * 40
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda wanted: counters.take(*wanted), orders))
    assert answers.count(None) == 30


def test_counters_that_cannot_be_reached_refuse() -> None:
    """No counter is no leave to pass."""
    with pytest.raises(ConnectionFailed):
        ValkeyCounters(f"valkey://127.0.0.1:{free_port()}/0").take(("a", Rate(60, 1)))


def test_waiting_lets_the_next_through() -> None:
    """After the time told, one more, and only one."""
    clock = FixedClock(START)
    counters, rate = MemoryCounters(clock), Rate(60, 1)
    assert counters.take(("a", rate)) is None
    assert counters.take(("a", rate)) == pytest.approx(1.0)
    clock.advance(timedelta(seconds=1))
    assert counters.take(("a", rate)) is None
    assert counters.take(("a", rate)) is not None


@pytest.fixture(scope="module")
def limited(request: pytest.FixtureRequest, odoo18: OdooReference, store: str) -> Iterator[Odoo]:
    """A server with the limits that are the default, two workers, and address lists."""
    server = request.getfixturevalue("pg_server")
    name = f"limited_{os.getpid()}"
    dsn = server.create_database(name, template=odoo18.template)
    key = odoo_key(dsn, "demo")
    settings = {
        "registry": odoo18.registry,
        "login_rate": 5,
        "login_burst": 3,
        "api_rate": 60,
        "api_burst": 20,
        "trusted_proxies": "127.0.0.1",
        "addresses": "user admin 192.0.2.0/24 127.0.0.1,group base.group_portal !203.0.113.9",
    }
    with (
        temporary_folder() as folder,
        serving(folder, dsn=dsn, store=store, settings=settings, workers=2) as running,
    ):
        yield Odoo(running, key)
    server.drop_database(name)


def _sign_in(server: Server, client: httpx.Client, login: str, password: str, address: str) -> httpx.Response:
    args = [server.database, login, password, {}]
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "params": {"service": "common", "method": "authenticate", "args": args},
    }
    return client.post("/jsonrpc", json=body, headers={"X-Forwarded-For": address})


@pytest.mark.slow
@pytest.mark.attacks("addresses: chains of proxies")
def test_guessing_is_limited_over_all_workers(limited: Odoo) -> None:
    """One address and many names, one name and many addresses; a known address gets in all the same."""
    server = limited.server
    with server.client() as client:
        assert _sign_in(server, client, "demo", "demo", "198.51.100.1").json()["result"] == 6
        answers = [_sign_in(server, client, f"user{n}", "guess", "198.51.100.2") for n in range(8)]
        assert [a.status_code for a in answers].count(429) == 5
        assert all(int(a.headers["retry-after"]) >= 1 for a in answers if a.status_code == 429)
        many = [_sign_in(server, client, "demo", "guess", f"198.51.100.{n}") for n in range(10, 20)]
        assert 429 in [a.status_code for a in many]
        forged = _sign_in(server, client, "x", "y", "203.0.113.50, 198.51.100.2")
        assert forged.status_code == 429, "what a client puts in front of the chain is not believed"


@pytest.mark.slow
def test_calls_are_limited_over_all_workers(limited: Odoo) -> None:
    """Twenty at once with one key, from whatever address; then one a second."""
    headers = {"Authorization": f"Bearer {limited.key}"}
    with limited.server.client(headers=headers) as client:
        statuses = [
            client.post(
                "/json/2/crm.lead/check_access_rights",
                json={"operation": "read"},
                headers={"X-Forwarded-For": f"198.51.100.{100 + n}"},
            ).status_code
            for n in range(40)
        ]
    assert 20 <= statuses.count(200) <= 25
    assert statuses.count(200) + statuses.count(429) == 40


@pytest.mark.slow
@pytest.mark.asvs("4.1.3")
@pytest.mark.attacks("addresses: IPv4-mapped IPv6", "addresses: chains of proxies")
def test_addresses_are_allowed_and_denied(limited: Odoo) -> None:
    """By user and group; an IPv4 address in the form of IPv6 is that address."""
    server = limited.server
    with server.client() as client:

        def call(uid: int, login: str, address: str) -> httpx.Response:
            args = [server.database, uid, login, "res.users", "context_get", [], {}]
            body = {
                "jsonrpc": "2.0",
                "id": 1,
                "params": {"service": "object", "method": "execute_kw", "args": args},
            }
            return client.post("/jsonrpc", json=body, headers={"X-Forwarded-For": address})

        assert "result" in call(2, "admin", "192.0.2.7").json()
        assert (
            call(2, "admin", "198.51.100.77").json()["error"]["data"]["name"] == "odoo.exceptions.AccessError"
        )
        for denied in ("203.0.113.9", "::ffff:203.0.113.9", "::ffff:cb00:7109"):
            answer = call(7, "portal", denied).json()
            assert answer["error"]["data"]["name"] == "odoo.exceptions.AccessError", denied
