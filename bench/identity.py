"""Accounts: what a session costs to check, at 10^3 and at 10^6; and a crowd that signs in beside readers.

The crowd is of threads over a real database, with Argon2id at its default cost; the reader asks what an API
call asks of the database (a page of 80 rows) and is measured alone, and beside 50 sign-ins a second.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.server import scratch_server
from bench.table import Row
from vallum.identity import Client, Identity
from vallum.identity.base import Base
from vallum.identity.keyring import Keyring
from vallum.identity.settings import IdentitySettings
from vallum.identity.sign_in import SignedIn
from vallum.identity.tokens import digest, new_token
from vallum.postgres import Database, ThreadDatabase, connect
from vallum.postgres.migrations import migrate

__all__ = ["run"]

CLIENT: Final = Client(address="192.0.2.1", user_agent="bench")
PASSWORD: Final = "correct-horse-battery"  # noqa: S105 - of a benchmark
RATE: Final = 50
PEOPLE: Final = 64
# Failures of a crowd behind one address are not what is measured.
SETTINGS: Final = IdentitySettings.parse(
    {"lockout": {"address": {"failures": 10**9}, "network": {"failures": 10**9}}, "url": "https://localhost"}
)


def run(*, quick: bool) -> list[Row]:
    """The rows."""
    with scratch_server() as server:
        rows = []
        small = _scaled(server.create_database("small"), 1_000, 1_000)
        big_accounts, big_sessions = (100_000, 500_000) if quick else (1_000_000, 10_000_000)
        big = _scaled(server.create_database("big"), big_accounts, big_sessions)
        rows += _checks(small, big, f"{big_accounts:,} accounts and {big_sessions:,} sessions", quick)
        rows += _crowd(server.create_database("crowd"), quick)
        return rows


def _scaled(dsn: str, accounts: int, sessions: int) -> str:
    """A database with so many accounts and live sessions; one of them has a token we know."""
    with connect(dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "identity")
        connection.execute(
            b"INSERT INTO vallum.account (kind, login, login_key, name, user_id, source, handle, created)"
            b" SELECT 'person', 'user' || n, 'user' || n, 'User ' || n, n, 'bench',"
            b" sha256(('h' || n)::bytea), now() FROM generate_series(1, %s) n",
            (accounts,),
        )
        # Rows that are right by construction, and indexes in one go: millions are there in a minute.
        connection.execute("SET session_replication_role = replica")
        indexes = connection.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = 'vallum.session'::regclass AND NOT indisprimary"
        ).fetchall()
        names = ("session_account", "session_expires", "session_device", "session_provider")
        connection.execute(f"DROP INDEX {', '.join(f'vallum.{name}' for name in names)}".encode())
        connection.execute("ALTER TABLE vallum.session DROP CONSTRAINT session_pkey")
        connection.execute(
            b"INSERT INTO vallum.session"
            b" (digest, account_id, created, seen, fresh, expires, methods, user_agent)"
            b" SELECT sha256(('s' || n)::bytea), 1 + n %% %s, now(), now() + interval '1 hour', now(),"
            b" now() + interval '1 day', '{pwd}', 'bench' FROM generate_series(1, %s) n",
            (accounts, sessions),
        )
        connection.execute("ALTER TABLE vallum.session ADD PRIMARY KEY (digest)")
        assert len(indexes) == len(names)
        for (definition,) in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE vallum.account, vallum.session")
    return dsn


@contextmanager
def _opened(dsn: str, *, threads: bool = False) -> Iterator[Identity]:
    made = ThreadDatabase if threads else Database
    with TemporaryDirectory() as folder, made(dsn, readonly=False) as store:
        identity = Identity(Base(store, SETTINGS, Keyring.load(Path(folder, "secret"))))
        try:
            yield identity
        finally:
            identity.close()


def _checks(small: str, big: str, what: str, quick: bool) -> list[Row]:
    """A check of a session, and a key's look-up by login, in turns on the small and the big database."""
    rounds = 400 if quick else 2000
    with _opened(small) as few, _opened(big) as many:
        tokens = {few: _sessions(few, rounds), many: _sessions(many, rounds)}
        rows = []
        for name, act in (("check a session", _check(tokens)), ("find an account by login", _find)):
            times: dict[Identity, list[float]] = {few: [], many: []}
            for number in range(rounds):
                for identity in (few, many):
                    started = time.perf_counter()
                    act(identity, number)
                    times[identity].append(time.perf_counter() - started)
            little, much = (statistics.median(times[i]) for i in (few, many))
            ratio = much / little
            asked = "≤ 1 ms, ≤ 1.2 ×" if "session" in name else "≤ 1.2 ×"
            rows.append(
                Row(
                    f"{name} among {what}",
                    f"{much * 1000:.2f} ms",
                    f"among 1,000 {little * 1000:.2f} ms",
                    f"{ratio:.2f} ×",
                    asked,
                    ratio <= 1.2 and (much <= 0.001 or "session" not in name),
                )
            )
        return rows


def _sessions(identity: Identity, count: int) -> list[str]:
    """Tokens of live sessions, of accounts all over the table."""
    tokens = [new_token() for _ in range(count)]
    rows = identity.base.store.rows("SELECT digest FROM vallum.session LIMIT %s", (count,))
    with identity.base.store.transaction() as connection:
        for token, (old,) in zip(tokens, rows, strict=False):
            connection.execute(
                b"UPDATE vallum.session SET digest = %s WHERE digest = %s", (digest(token), bytes(old))
            )
    return tokens[: len(rows)]


def _check(tokens: dict[Identity, list[str]]) -> Callable[[Identity, int], None]:
    def act(identity: Identity, number: int) -> None:
        own = tokens[identity]
        assert identity.base.sessions.check(own[number % len(own)], identity.base.now()) is not None

    return act


def _find(identity: Identity, number: int) -> None:
    assert identity.base.accounts.by_login(f"user{1 + number * 499 % 1000}") is not None


def _crowd(dsn: str, quick: bool) -> list[Row]:
    """Readers alone, then beside 50 sign-ins a second."""
    length = 6.0 if quick else 20.0
    with connect(dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "identity")
        connection.execute(
            "CREATE TABLE page AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 100000) n"
        )
        connection.execute("ALTER TABLE page ADD PRIMARY KEY (id)")
    with _opened(dsn, threads=True) as identity:
        _people(identity)
        idle = _readers(identity, length, None)
        done: list[float] = []
        busy = _readers(identity, length, done)
    alone, beside = (statistics.quantiles(times, n=100)[98] for times in (idle, busy))
    rate = len(done) / length
    return [
        Row(
            "p99 of a read of 80 rows beside 50 sign-ins a second (Argon2id, 19 MiB)",
            f"{beside * 1000:.2f} ms",
            f"alone {alone * 1000:.2f} ms",
            f"{beside / alone:.2f} ×",
            "≤ 2 ×",
            beside <= 2 * alone,
        ),
        Row(
            "sign-ins a second meanwhile",
            f"{rate:.0f}",
            f"median {statistics.median(done) * 1000:.0f} ms each",
            "",
            "≥ 50",
            rate >= RATE * 0.98,
        ),
    ]


def _people(identity: Identity) -> None:
    hashed = identity.hasher.hash(PASSWORD)
    for number in range(PEOPLE):
        account = identity.base.accounts.create(f"person{number}", identity.base.now())
        identity.base.store.rows(
            "UPDATE vallum.account SET password_hash = %s WHERE id = %s", (hashed, account.id)
        )


def _readers(identity: Identity, length: float, signed: list[float] | None) -> list[float]:
    """How long reads took; `signed`: sign in at the rate meanwhile, and note how long that took."""
    end = time.perf_counter() + length
    times: list[float] = []

    def read() -> None:
        number = 0
        while time.perf_counter() < end:
            number += 1
            started = time.perf_counter()
            identity.base.store.rows(
                "SELECT id, name FROM page WHERE id > %s ORDER BY id LIMIT 80", (number * 97 % 90_000,)
            )
            times.append(time.perf_counter() - started)
            time.sleep(0.005)

    def sign_in(start: float, number: int) -> None:
        turn = start + number / RATE
        while turn < end:
            time.sleep(max(0.0, turn - time.perf_counter()))
            started = time.perf_counter()
            outcome = identity.sign_in.password(f"person{number}", PASSWORD, CLIENT)
            assert isinstance(outcome, SignedIn)
            if signed is not None:
                signed.append(time.perf_counter() - started)
            turn += crowd / RATE

    crowd = 16
    threads = [threading.Thread(target=read)]
    if signed is not None:
        begin = time.perf_counter()
        threads += [threading.Thread(target=sign_in, args=(begin, number)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times
