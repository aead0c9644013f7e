"""Vallum's own tables: made once, brought up to date, dropped without a trace."""

from __future__ import annotations

import threading

import psycopg
import pytest

from vallum.kernel import SettingsError
from vallum.postgres import connect
from vallum.postgres.migrations import AREAS, migrate, unmigrate, version_of


@pytest.mark.parametrize("area", AREAS)
def test_area_is_made_and_dropped_without_a_trace(pg_dsn: str, area: str) -> None:
    """After dropping, the database is as it was."""
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        assert version_of(connection, area) is None
        head = migrate(connection, area)
        assert version_of(connection, area) == head
        assert migrate(connection, area) == head
        unmigrate(connection, area)
        assert version_of(connection, area) is None
        assert connection.execute("SELECT to_regnamespace('vallum')").fetchone() == (None,)


def test_processes_that_start_together_migrate_once(pg_dsn: str) -> None:
    """None of them fails, and the tables are there once."""
    failures: list[BaseException] = []

    def start() -> None:
        try:
            with connect(pg_dsn, readonly=False, autocommit=True) as connection:
                migrate(connection, AREAS[0])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_migration_within_a_transaction_that_fails_leaves_nothing(pg_dsn: str) -> None:
    """The caller's transaction decides."""
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:

        def fail() -> None:
            with connection.transaction():
                migrate(connection, AREAS[0])
                connection.execute("SELECT 1/0")

        with pytest.raises(psycopg.errors.DivisionByZero):
            fail()
        assert connection.execute("SELECT to_regnamespace('vallum')").fetchone() == (None,)


def test_tables_of_a_newer_vallum_are_refused(pg_dsn: str) -> None:
    """An old program does not touch tables it does not know."""
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, AREAS[0])
        connection.execute(f"UPDATE vallum.{AREAS[0]}_version SET version_num = '9999'".encode())
        with pytest.raises(SettingsError, match="newest Vallum"):
            migrate(connection, AREAS[0])


def test_unknown_area_is_refused(pg_dsn: str) -> None:
    """The error names the areas there are."""
    with (
        connect(pg_dsn, readonly=False, autocommit=True) as connection,
        pytest.raises(SettingsError, match=AREAS[0]),
    ):
        migrate(connection, "nonsense")
