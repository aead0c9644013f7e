"""The embedded server: shared by processes, stopped by the last, closed to everyone else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from vallum.kernel import ConnectionFailed
from vallum.postgres import Database, EmbeddedServer, connect, default_folder
from vallum.postgres.programs import Owner

HOLD = """
import sys
from pathlib import Path
from vallum.postgres import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1]), durable=False):
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder the server's system user can reach: pytest's own temporary folders are closed to it."""
    path = Path(tempfile.mkdtemp(prefix="vallum-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def server_pid(server: EmbeddedServer) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def alive(pid: int) -> bool:
    """Whether the process still runs after a moment: its end takes one, and nobody may reap it."""
    try:
        process = psutil.Process(pid)
        for _ in range(50):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            sleep(0.1)
    except psutil.NoSuchProcess:
        return False
    return True


@pytest.mark.pg
@pytest.mark.slow
def test_server_keeps_its_data_and_ends_with_its_user(folder: Path) -> None:
    """Started twice, it is the same database; left, no process stays."""
    with EmbeddedServer(folder / "s", durable=False) as server:
        with connect(server.create_database("kept"), readonly=False) as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS a")
        pid = server_pid(server)
        server.start()
        assert server_pid(server) == pid
    assert not alive(pid)
    with server, Database(server.dsn("kept")) as database:
        assert database.rows("SELECT a FROM t") == [(42,)]
        assert server.databases() >= {"kept", "postgres"}


@pytest.mark.pg
@pytest.mark.slow
def test_last_of_two_processes_stops_the_server(folder: Path) -> None:
    """Who leaves first leaves the server to the other; a process that is killed counts as gone."""
    command = [sys.executable, "-c", HOLD, str(folder / "s")]
    server = EmbeddedServer(folder / "s", durable=False)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with server:
            pid = server_pid(server)
        connect(server.dsn()).close()
        server.start()
        other.kill()
    connect(server.dsn()).close()
    server.stop()
    assert not alive(pid)


@pytest.mark.pg
@pytest.mark.slow
def test_server_in_long_path_starts_with_short_socket(folder: Path) -> None:
    """A socket's path may have about a hundred characters; a folder's may have more, and spaces."""
    deep = folder / ("a long way down " * 5).strip() / ("and quite as far 'again' " * 3).strip()
    with EmbeddedServer(deep, durable=False) as server:
        socket_dir = server.socket_dir
        assert socket_dir != server.folder
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
        connect(server.dsn()).close()
    socket_dir.rmdir()


def test_server_folder_is_closed_to_others(pg_server: EmbeddedServer) -> None:
    """Only the server's system user may enter: behind it everyone is superuser."""
    found = pg_server.folder.stat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert found.st_uid == Owner.of_servers().uid


def test_server_listens_on_no_network(pg_server: EmbeddedServer) -> None:
    """There is no port to knock at."""
    with Database(pg_server.dsn()) as database:
        assert database.rows("SHOW listen_addresses") == [("",)]


def test_server_compares_letters_of_all_languages(pg_dsn: str) -> None:
    """Letter case is Unicode's and the order is by code point, on every machine alike."""
    with Database(pg_dsn) as database:
        assert database.rows("SELECT 'ÉTÉ' ILIKE 'été', lower('Ω'), 'Z' < 'a'") == [(True, "ω", True)]


def test_folder_with_other_things_is_refused_and_untouched(folder: Path) -> None:
    """A wrong path costs nobody his folder."""
    (folder / "precious").write_text("kept")
    before = folder.stat()
    with pytest.raises(ConnectionFailed, match="something else: precious"):
        EmbeddedServer(folder).start()
    after = folder.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert {path.name for path in folder.iterdir()} == {"precious"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server as someone else")
def test_folder_out_of_reach_is_refused(folder: Path) -> None:
    """No permission above the folder is widened; the error names what is in the way."""
    folder.chmod(0o700)
    with pytest.raises(ConnectionFailed, match=f"cannot pass `{folder}`"):
        EmbeddedServer(folder / "s").start()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder someone else's")
def test_folder_of_someone_else_is_refused(folder: Path) -> None:
    """A folder another user prepared is not trusted."""
    (folder / "s").mkdir()
    os.chown(folder / "s", 12345, 12345)
    with pytest.raises(ConnectionFailed, match="someone else"):
        EmbeddedServer(folder / "s").start()


def test_failed_restore_leaves_no_database(pg_server: EmbeddedServer, folder: Path) -> None:
    """What is no dump is told in pg_restore's words, and nothing of that name appears."""
    (folder / "no.dump").write_text("no dump")
    with pytest.raises(ConnectionFailed, match="pg_restore"):
        pg_server.restore(folder / "no.dump", "broken")
    assert "broken" not in pg_server.databases()
    pg_server.drop_database("broken.loading")


def test_existing_database_is_kept_only_if_asked(pg_server: EmbeddedServer, pg_dsn: str) -> None:
    """`if_missing` takes what is there; without it, that is an error."""
    name = urlsplit(pg_dsn).path.removeprefix("/")
    assert pg_server.create_database(name, if_missing=True) == pg_dsn
    with pytest.raises(psycopg.errors.DuplicateDatabase):
        pg_server.create_database(name)


def test_names_are_quoted_wherever_they_go(pg_server: EmbeddedServer) -> None:
    """A database may be called anything; no name becomes SQL or another parameter."""
    name = "a b\"; DROP 'x' &host=/tmp?%41"
    dsn = pg_server.create_database(name)
    try:
        with Database(dsn) as database:
            assert database.rows("SELECT current_database()") == [(name,)]
    finally:
        pg_server.drop_database(name)
    assert name not in pg_server.databases()


def test_default_folders_of_projects_differ(tmp_path: Path) -> None:
    """Two projects of the same name have a server each."""
    one, other = default_folder(tmp_path, Path("/a/My Shop")), default_folder(tmp_path, Path("/b/My Shop"))
    assert one != other
    assert one.parent == other.parent == tmp_path / "postgres"
    assert one.name.startswith("my-shop-")
