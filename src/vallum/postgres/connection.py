"""Connections to PostgreSQL: opened lazily, read-only unless asked otherwise, shared by threads.

Invariant: no text of an error holds a password, or a DSN that could not be taken apart.
Invariant: a statement that may have written is never sent twice.
Read-only here prevents accidents; it is no wall against the SQL it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock, local
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vallum.kernel import ConnectionFailed

__all__ = ["Connection", "Database", "Params", "Row", "Statement", "connect", "parse_dsn", "redact"]

Statement: TypeAlias = str | sql.SQL | sql.Composed
Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
Row: TypeAlias = tuple[Any, ...]
Connection: TypeAlias = psycopg.Connection[Row]

OLDEST_SERVER: Final = 150000
_SECRETS: Final = ("password", "sslpassword", "oauth_client_secret")
_DRIVER: Final = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError)
# Connection exceptions, and a server that shuts down or crashed. Deadlocks and the like are not among them.
_LOST_STATES: Final = ("08", "57P")


def redact(dsn: str) -> str:
    """The DSN fit to be shown: libpq's key=value form without what is secret.

    >>> redact("postgresql://marie:s3cret@db.example/odoo")
    'user=marie dbname=odoo host=db.example'
    """
    try:
        parts = parse_dsn(dsn)
    except ConnectionFailed:
        return "(unreadable DSN)"
    return make_conninfo("", **{key: value for key, value in parts.items() if key not in _SECRETS})


def connect(
    dsn: str,
    *,
    readonly: bool = True,
    autocommit: bool = False,
    statement_timeout: float | None = None,
    connect_timeout: int = 10,
    application_name: str = "vallum",
) -> Connection:
    """An open connection. `dsn`: a URI (`postgresql:///odoo`) or libpq's `dbname=odoo`.

    `statement_timeout`, `connect_timeout`: seconds. What the DSN itself says has precedence.

    Raises: ConnectionFailed.
    """
    settings: dict[str, Any] = {
        "application_name": application_name,
        "connect_timeout": connect_timeout,
        **parse_dsn(dsn),
    }
    try:
        connection = psycopg.connect(**settings, autocommit=True)
    except psycopg.Error as error:
        raise ConnectionFailed(
            f"PostgreSQL does not let us in: {_first_line(error)}",
            where=redact(dsn),
            fix="check the host, the database, the user and whether the server runs",
        ) from error
    try:
        _prepare(connection, readonly=readonly, statement_timeout=statement_timeout)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def parse_dsn(dsn: str) -> dict[str, Any]:
    """The parts of a DSN by libpq's names.

    Raises: ConnectionFailed, which quotes nothing of it.
    """
    # SQLAlchemy's spelling names a driver; libpq knows only the plain scheme.
    plain = _DRIVER.sub("postgresql://", dsn.strip(), count=1)
    try:
        parts = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        # Not chained: libpq's message quotes the DSN, and that may hold a password.
        raise ConnectionFailed(
            "the DSN cannot be read",
            fix="write it as `postgresql://user@host/database` or `host=… dbname=… user=…`",
        ) from None
    if any("@" in str(parts.get(key, "")) for key in ("host", "hostaddr")):
        # An unescaped @ moves the rest of the password into the host, which messages show.
        raise ConnectionFailed(
            "the host in the DSN holds an `@`", fix="write an `@` in the password as `%40`"
        )
    return parts


def _prepare(connection: Connection, *, readonly: bool, statement_timeout: float | None) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise ConnectionFailed(
            f"PostgreSQL {connection.info.server_version // 10_000} is too old",
            where=redact(connection.info.dsn),
            fix=f"upgrade to PostgreSQL {OLDEST_SERVER // 10_000} or later",
        )
    # After connecting, not as start-up options: PgBouncer refuses those.
    settings = {"default_transaction_read_only": "on" if readonly else "off"}
    if statement_timeout is not None:
        settings["statement_timeout"] = f"{round(statement_timeout * 1000)}ms"
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


class Database:
    """One database, for any number of threads; it connects at the first statement.

    Threads take turns on one connection. A connection lost while idle is opened anew, once.

    >>> Database("postgresql://marie:s3cret@db.example/odoo")
    Database('user=marie dbname=odoo host=db.example')
    """

    def __init__(
        self,
        dsn: str,
        *,
        readonly: bool = True,
        statement_timeout: float | None = None,
        application_name: str = "vallum",
    ) -> None:
        self.dsn = dsn
        self.readonly = readonly
        self._statement_timeout = statement_timeout
        self._application_name = application_name
        self._lock = RLock()
        self._connection: Connection | None = None
        self._depth = 0
        self._ending: list[Callable[[], None]] = []
        self._limit = local()

    def __repr__(self) -> str:
        return f"Database({redact(self.dsn)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @property
    def connected(self) -> bool:
        """Whether a connection is open."""
        connection = self._connection
        return connection is not None and not connection.closed

    @property
    def server_version(self) -> int:
        """PostgreSQL's version as a number: 180006 is 18.6.

        Raises: ConnectionFailed.
        """
        with self._lock:
            return self._open().info.server_version

    def rows(self, statement: Statement, params: Params = None, *, reads: bool = False) -> list[Row]:
        """All rows of a statement; none where it returns none.

        `reads`: it is known to write nothing, so that a lost connection is opened anew for it in any case.

        Raises: ConnectionFailed, psycopg.Error (what PostgreSQL says about the statement).
        """
        self.check_time()
        with self._lock, _failures(self.dsn):
            try:
                return self._rows(statement, params)
            except _LOST:
                if not self._may_retry(reads):
                    raise
            return self._rows(statement, params)

    def stream(self, statement: Statement, params: Params = None, *, batch: int = 2000) -> Iterator[Row]:
        """The rows one after the other, fetched in batches by a server-side cursor.

        On a connection of its own, so that other threads need not wait for the last row.

        Raises: ConnectionFailed, psycopg.Error.
        """
        with (
            _failures(self.dsn),
            self._connect(autocommit=False) as connection,
            connection.cursor(name="vallum") as cursor,
        ):
            cursor.itersize = batch
            yield from cursor.execute(_query(statement), params)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by an exception; within another, a savepoint.

        Other threads wait; `rows` of this one runs inside it.

        Raises: ConnectionFailed, psycopg.Error.
        """
        with self._lock, _failures(self.dsn), ExitStack() as stack:
            begun = ExitStack()
            connection = self._begin(begun)
            self._depth += 1
            stack.callback(self._leave)
            stack.push(begun)
            yield connection

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Within it, this thread begins no statement by `rows` once so much time has passed.

        A statement that has begun is up to `statement_timeout`.
        """
        self._limit.seconds, self._limit.until = seconds, monotonic() + seconds
        try:
            yield
        finally:
            self._limit.until = None

    def check_time(self) -> None:
        """Raises ConnectionFailed where the time of `limited` is up."""
        until = getattr(self._limit, "until", None)
        if until is not None and monotonic() > until:
            raise ConnectionFailed(
                f"Vallum gave the statement up: those before it took {self._limit.seconds:g} seconds",
                fix="raise `statement_timeout`, or ask for less",
            )

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is within a transaction of its own making."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._depth > 0
        finally:
            self._lock.release()

    def at_end(self, action: Callable[[], None]) -> None:
        """Do something when the transaction at hand has ended, committed or not; now, where there is none.

        It must neither fail nor ask the database.
        """
        with self._lock:
            if not self._depth:
                action()
            elif action not in self._ending:
                self._ending.append(action)

    def _begin(self, stack: ExitStack) -> Connection:
        """Begin a transaction, or a savepoint; anew where the connection was lost while it was idle."""
        connection = self._open()
        try:
            stack.enter_context(connection.transaction())
        except _LOST:
            if self._depth or not connection.broken:
                raise
            connection = self._open()
            stack.enter_context(connection.transaction())
        return connection

    def _leave(self) -> None:
        self._depth -= 1
        if not self._depth:
            actions, self._ending = self._ending, []
            for action in actions:
                action()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read-only transaction whose statements all see the data of one instant; within another, that one.

        Raises: ConnectionFailed, psycopg.Error.
        """
        with self._lock:
            if self._depth:
                yield self._open()
                return
            with self.transaction() as connection:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield connection

    def _connect(self, *, autocommit: bool) -> Connection:
        return connect(
            self.dsn,
            readonly=self.readonly,
            autocommit=autocommit,
            statement_timeout=self._statement_timeout,
            application_name=self._application_name,
        )

    def _open(self) -> Connection:
        # Within a transaction a broken connection must fail: its earlier statements are gone.
        if self._connection is None or (self._connection.closed and not self._depth):
            self._connection = self._connect(autocommit=True)
        return self._connection

    def _rows(self, statement: Statement, params: Params) -> list[Row]:
        cursor = self._open().execute(_query(statement), params)
        # Not `cursor.description`: it builds an object per column, which a short statement notices.
        result = cursor.pgresult
        return cursor.fetchall() if result is not None and result.nfields else []

    def _may_retry(self, reads: bool) -> bool:
        """Whether the connection itself is lost, outside a transaction, and nothing can have been written."""
        connection = self._connection
        alone = not self._depth and connection is not None and connection.broken
        return alone and (self.readonly or reads)


def _query(statement: Statement) -> bytes | sql.SQL | sql.Composed:
    """The statement in a form psycopg takes: what it says is the caller's responsibility."""
    return statement.encode() if isinstance(statement, str) else statement


@contextmanager
def _failures(dsn: str) -> Iterator[None]:
    """Turn a lost connection and a statement given up into ConnectionFailed; let all else pass."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise ConnectionFailed(
            f"PostgreSQL gave the statement up: {_first_line(error)}",
            where=redact(dsn),
            fix="raise `statement_timeout`, or ask for less",
        ) from error
    except _LOST as error:
        if error.sqlstate is not None and not error.sqlstate.startswith(_LOST_STATES):
            raise
        raise ConnectionFailed(f"the connection was lost: {_first_line(error)}", where=redact(dsn)) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
