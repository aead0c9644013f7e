"""Beneath PostgreSQL: rows that its own tool for surgery removes, and processes that are killed by force."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from random import Random

import psutil
import psycopg
import pytest

from tests.support.audit import Trail, trail
from tests.support.temporary import temporary_folder
from vallum.postgres import EmbeddedServer, connect

pytestmark = pytest.mark.slow


@pytest.fixture
def operated(log: Trail) -> Trail:
    """Some customers, all signed, in a database with `pg_surgery`."""
    log.execute("INSERT INTO customer SELECT i, 'x', i FROM generate_series(1, 30) i")
    log.sequence()
    try:
        log.execute("CREATE EXTENSION pg_surgery")
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(f"this PostgreSQL has no pg_surgery: {error}")
    return log


def _kill(log: Trail, table: str, where: str) -> None:
    """Remove rows as no statement does: nothing fires, nothing is written that replication would tell."""
    log.execute(f"SELECT heap_force_kill('{table}'::regclass, ARRAY(SELECT ctid FROM {table} WHERE {where}))")


@pytest.mark.tampering("row removed beneath PostgreSQL")
def test_row_removed_by_surgery_is_named_by_coverage_of_rows(operated: Trail) -> None:
    """Nothing was executed on it; the log knows it, and the table does not."""
    at = operated.index_of("key = '17'")
    _kill(operated, "public.customer", "id = 17")
    assert operated.one("SELECT count(*) FROM customer WHERE id = 17") == 0
    operated.sequence()
    assert operated.codes("gaps") == []
    assert operated.codes("coverage", "--rows") == [("row-differs", at)]


@pytest.mark.tampering("event removed beneath PostgreSQL")
def test_event_removed_by_surgery_is_named_by_verify_and_gaps(operated: Trail) -> None:
    """From the log's own partition."""
    at = operated.index_of("key = '17'")
    _kill(operated, "vallum.audit_leaf_000000000000", f"index = {at}")
    assert ("missing", at) in operated.codes("verify")
    assert ("missing", at) in operated.codes("gaps")


@pytest.mark.tampering("event removed beneath PostgreSQL")
def test_event_removed_by_surgery_before_it_is_sequenced_becomes_an_entry(operated: Trail) -> None:
    """The transaction says how many events it has."""
    operated.execute("UPDATE customer SET amount = -1 WHERE id < 4")
    _kill(operated, "vallum.audit_inbox", "who ^@ ('2' || chr(31))")
    operated.sequence()
    assert [alarm.code for alarm in operated.alarms] == ["events-missing"]
    assert [code for code, _ in operated.codes("gaps")] == ["events-missing"]


@pytest.mark.tampering("processes killed while events commit")
def test_processes_killed_by_force_while_events_commit_lose_and_double_nothing(tmp_path: Path) -> None:
    """PostgreSQL restarts itself; each row that is there has its event, and each event its row."""
    options = {"full_page_writes": "on"}
    with (
        temporary_folder() as folder,
        EmbeddedServer(_passable(folder) / "server", durable=False, options=options) as server,
    ):
        dsn = server.create_database("shop")
        with trail(dsn, tmp_path / "log"):
            pass
        random = Random(6)  # noqa: S311 - the same moments at every run
        for turn in range(3):
            _crash(dsn, random, first=turn * 1_000_000)
        with connect(dsn, readonly=False, autocommit=True) as connection:
            log = Trail(dsn, tmp_path / "log", connection)
            log.sequence()
            assert log.alarms == []
            rows = {i for (i,) in connection.execute("SELECT id FROM customer")}
            events = [row["key"]["id"] for row in log.rows()]
            assert len(rows) > 100
            assert len(events) == len(set(events))
            assert set(events) == rows
            for command in (("verify",), ("gaps",), ("coverage", "--rows")):
                assert log.codes(*command) == []


def _passable(folder: Path) -> Path:
    """The folder, which PostgreSQL's own system user can pass."""
    folder.chmod(0o711)
    return folder


def _crash(dsn: str, random: Random, first: int) -> None:
    """Four writers, one of whose processes is killed while they write; wait until the server is back."""
    processes: list[int] = []
    ready = threading.Barrier(5)

    def write(number: int) -> None:
        try:
            with psycopg.connect(dsn) as writer:
                processes.append(writer.info.backend_pid)
                ready.wait(30)
                for n in range(20_000):
                    at = first + number * 100_000 + 2 * n
                    # Two events a transaction: their count is written as well.
                    writer.execute("INSERT INTO customer VALUES (%s, 'a'), (%s, 'b')", (at, at + 1))
                    writer.commit()
        except psycopg.OperationalError:
            return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(30)
    time.sleep(0.3 + random.random() / 3)
    psutil.Process(random.choice(processes)).kill()
    for thread in threads:
        thread.join()
    end = time.monotonic() + 60
    while True:
        try:
            with psycopg.connect(dsn) as there:
                there.execute("SELECT 1")
            return
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.1)
