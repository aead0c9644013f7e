"""Connections: read-only by default, patient with a lost one, silent about passwords."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import psycopg
import pytest

from vallum.kernel import ConnectionFailed
from vallum.postgres import Database, ThreadDatabase, connect, redact


@pytest.fixture
def database(pg_dsn: str) -> Iterator[Database]:
    with Database(pg_dsn) as opened:
        yield opened


def cut_off(dsn: str) -> None:
    """End the server's side of all other connections to this database, as a restart would."""
    with connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://marie:s3cret@db/odoo", "user=marie dbname=odoo host=db"),
        ("postgresql+psycopg://marie:s3cret@db/odoo", "user=marie dbname=odoo host=db"),
        ("host=db password='s3cret' sslpassword=s3cret", "host=db"),
        ("postgresql://db/odoo?password=s3cret", "dbname=odoo host=db"),
        ("postgresql:///odoo", "dbname=odoo"),
        ("nonsense s3cret", "(unreadable DSN)"),
        ("postgresql://marie:s3@cret@db/odoo", "(unreadable DSN)"),
    ],
)
def test_redacted_dsn_shows_no_password(dsn: str, shown: str) -> None:
    """What is left says where, as whom and which, and nothing that opens a door."""
    assert redact(dsn) == shown


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://marie:s3cret@127.0.0.1:1/odoo",
        "host=127.0.0.1 port=1 user=marie password=s3cret dbname=odoo",
        "postgresql://marie:s3cret@127.0.0.1:port/odoo",
        "marie:s3cret@127.0.0.1/odoo",
        "postgresql://marie:s3@s3cret@127.0.0.1:1/odoo",
    ],
)
def test_failed_connection_shows_no_password(dsn: str) -> None:
    """Neither the error nor anything it is chained to repeats the password."""
    with pytest.raises(ConnectionFailed) as caught:
        connect(dsn)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in f"{error!s} {error!r} {getattr(error, 'where', '')}"
        error = error.__cause__ if error.__suppress_context__ else error.__context__


def test_connection_says_who_it_is(pg_dsn: str) -> None:
    """Whoever looks at the server's connections knows ours; a DSN may say otherwise."""
    with connect(pg_dsn) as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("vallum",)
    with connect(f"{pg_dsn}&application_name=drill") as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("drill",)


def test_readonly_connection_refuses_to_write(database: Database) -> None:
    """Nothing is written by accident, in a transaction or out of one."""
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        database.rows("CREATE TABLE t (a int)")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), database.transaction() as connection:
        connection.execute("CREATE TABLE t (a int)")


def test_transaction_with_exception_leaves_nothing(pg_dsn: str) -> None:
    """All of it, or none of it."""

    def fail_halfway(database: Database) -> None:
        with database.transaction():
            database.rows("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with Database(pg_dsn, readonly=False) as database:
        database.rows("CREATE TABLE t (a int)")
        with pytest.raises(ZeroDivisionError):
            fail_halfway(database)
        with database.transaction():
            database.rows("INSERT INTO t VALUES (%s)", (2,))
        assert database.rows("SELECT a FROM t") == [(2,)]


def test_snapshot_sees_one_instant(pg_dsn: str) -> None:
    """What others commit in the meantime stays out, in a nested snapshot as well."""
    with Database(pg_dsn, readonly=False) as writer, Database(pg_dsn) as reader:
        writer.rows("CREATE TABLE t (a int)")
        with reader.snapshot():
            assert reader.rows("SELECT a FROM t") == []
            writer.rows("INSERT INTO t VALUES (1)")
            with reader.snapshot():
                assert reader.rows("SELECT a FROM t") == []
        assert reader.rows("SELECT a FROM t") == [(1,)]


def test_snapshot_of_writable_database_refuses_to_write(pg_dsn: str) -> None:
    """A snapshot is for reading."""
    refused = pytest.raises(psycopg.errors.ReadOnlySqlTransaction)
    with Database(pg_dsn, readonly=False) as database, refused, database.snapshot():
        database.rows("CREATE TABLE t (a int)")


def test_lost_idle_connection_is_opened_anew(database: Database) -> None:
    """A server that was restarted overnight is no reason to fail."""
    database.rows("SELECT 1")
    cut_off(database.dsn)
    assert database.rows("SELECT 2") == [(2,)]


def test_lost_connection_of_a_writer_is_an_error_once(pg_dsn: str) -> None:
    """What may have been written is not sent twice; the statement after it finds a new connection."""
    with Database(pg_dsn, readonly=False) as database:
        database.rows("SELECT 1")
        cut_off(pg_dsn)
        with pytest.raises(ConnectionFailed, match="lost"):
            database.rows("SELECT 2")
        assert database.rows("SELECT 3") == [(3,)]


def test_lost_idle_connection_of_a_writer_is_opened_anew_for_a_transaction(pg_dsn: str) -> None:
    """Nothing of it can have been written; and for a statement that is known to read."""
    with Database(pg_dsn, readonly=False) as database:
        database.rows("CREATE TABLE t (a int)")
        cut_off(pg_dsn)
        with database.transaction():
            database.rows("INSERT INTO t VALUES (1)")
        cut_off(pg_dsn)
        assert database.rows("SELECT a FROM t", reads=True) == [(1,)]


def test_writer_cut_off_within_a_transaction_is_an_error(pg_dsn: str) -> None:
    """Half of it is gone, so that the rest must not be sent."""
    with Database(pg_dsn, readonly=False) as database:
        database.rows("CREATE TABLE t (a int)")

        def half() -> None:
            with database.transaction():
                database.rows("INSERT INTO t VALUES (1)")
                cut_off(pg_dsn)
                database.rows("SELECT 1", reads=True)

        with pytest.raises(ConnectionFailed):
            half()
        assert database.rows("SELECT a FROM t", reads=True) == []


def test_actions_wait_for_the_end_of_the_outermost_transaction(database: Database) -> None:
    """Committed or not; once each; at once where there is no transaction."""
    done: list[str] = []

    def note() -> None:
        done.append(str(database.in_transaction))

    database.at_end(note)
    assert done == ["False"]
    with database.transaction():
        with database.transaction():
            database.at_end(note)
            database.at_end(note)
        assert done == ["False"]
        assert database.in_transaction
    assert done == ["False"] * 2

    def fail() -> None:
        with database.transaction():
            database.at_end(note)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert done == ["False"] * 3


def test_transaction_of_another_thread_is_not_ours(database: Database) -> None:
    """Its statements wait for ours."""
    with database.transaction(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: database.in_transaction).result() is False


def test_connection_lost_within_a_snapshot_is_an_error(database: Database) -> None:
    """Half a snapshot is never joined to half of another."""

    def cut_off_halfway() -> None:
        with database.snapshot():
            database.rows("SELECT 1")
            cut_off(database.dsn)
            database.rows("SELECT 2")

    with pytest.raises(ConnectionFailed, match="lost"):
        cut_off_halfway()
    assert database.rows("SELECT 3") == [(3,)]


def test_statement_over_its_time_is_given_up(pg_dsn: str) -> None:
    """The timeout holds, says so, and leaves the connection usable."""
    with Database(pg_dsn, statement_timeout=0.05) as database:
        with pytest.raises(ConnectionFailed, match="gave the statement up"):
            database.rows("SELECT pg_sleep(5)")
        assert database.rows("SELECT 1") == [(1,)]


def test_error_of_a_statement_is_postgresqls_own(database: Database) -> None:
    """A wrong statement is no lost connection."""
    with pytest.raises(psycopg.errors.UndefinedTable):
        database.rows("SELECT * FROM nowhere")
    assert database.rows("SELECT 1") == [(1,)]


def test_stream_gives_all_rows_while_others_ask(database: Database) -> None:
    """A long read neither holds all rows nor holds up anyone; leaving it early is fine."""
    rows = database.stream("SELECT n FROM generate_series(1, %(n)s) n", {"n": 5000}, batch=100)
    assert next(rows) == (1,)
    assert database.rows("SELECT 7") == [(7,)]
    assert sum(1 for _ in rows) == 4999
    abandoned = database.stream("SELECT n FROM generate_series(1, 5000) n")
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]  # a generator


def test_threads_share_one_connection(database: Database) -> None:
    """Answers are not mixed up, and the server sees one connection."""

    def ask(n: int) -> list[tuple[int, int]]:
        return database.rows("SELECT %s::int, pg_backend_pid()", (n,))

    with ThreadPoolExecutor(8) as pool:
        answers = [row for rows in pool.map(ask, range(100)) for row in rows]
    assert [n for n, _ in answers] == list(range(100))
    assert len({pid for _, pid in answers}) == 1


def test_percent_sign_without_params_is_itself(database: Database) -> None:
    """A statement without values is sent as it stands."""
    assert database.rows("SELECT 'a' LIKE 'a%'") == [(True,)]


def test_server_version_is_postgresqls_number(database: Database) -> None:
    """15 at least: older servers are turned away."""
    assert database.server_version >= 150000


def test_unknown_database_is_told_where(pg_dsn: str) -> None:
    """The error names the database that is not there."""
    with pytest.raises(ConnectionFailed) as caught:
        connect(pg_dsn.replace("/test_", "/nowhere_"))
    assert "dbname=nowhere_" in (caught.value.where or "")


def test_threads_that_have_ended_leave_no_connection(pg_dsn: str) -> None:
    """Work in threads of its own, again and again, does not use the server's connections up."""
    with ThreadDatabase(pg_dsn) as database:
        for _ in range(5):
            thread = Thread(target=lambda: database.rows("SELECT 1"))
            thread.start()
            thread.join()
        assert database.connections == 1
        assert database.rows("SELECT 1") == [(1,)]
        assert database.connections == 1
