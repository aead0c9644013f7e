"""Accounts: what a session costs to check, and what an account costs to find, among 10^3 and among 10^7.

And a crowd that signs in beside programs that read (see `crowd`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.crowd import crowd
from bench.server import scratch_server
from bench.table import Row
from vallum.identity import Client, Identity, SignedIn
from vallum.identity.base import Base
from vallum.identity.keyring import Keyring
from vallum.identity.search import AccountQuery, find_accounts
from vallum.identity.settings import IdentitySettings
from vallum.identity.tokens import digest, new_token
from vallum.postgres import Database, connect
from vallum.postgres.migrations import migrate

__all__ = ["run"]

SETTINGS: Final = IdentitySettings.parse({"url": "https://localhost"})
FIRST_NAMES: Final = ["Nadia", "Ole", "Mei", "Tomás", "Ines", "Kofi", "Aya", "Lars", "Rosa", "Ivo"]
PASSWORD: Final = "correct-horse-battery"  # noqa: S105 - of a benchmark
CLIENT: Final = Client(address="127.0.0.1")
# Of so many turns the median counts: a machine with other work does it in gusts.
TURNS: Final = 3


def run(*, quick: bool) -> list[Row]:
    """The rows."""
    with scratch_server() as server:
        rows = []
        small = _scaled(server.create_database("small"), 1_000, 1_000)
        big_accounts, big_sessions = (100_000, 500_000) if quick else (1_000_000, 10_000_000)
        big = _scaled(server.create_database("big"), big_accounts, big_sessions)
        rows += _checks(small, big, f"{big_accounts:,} accounts and {big_sessions:,} sessions", quick)
        rows += crowd(server, quick=quick)
        return rows


def _scaled(dsn: str, accounts: int, sessions: int) -> str:
    """A database with so many accounts and live sessions; one of them has a token we know."""
    with connect(dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "identity")
        connection.execute(
            b"INSERT INTO vallum.account (kind, login, login_key, name, user_id, source, handle, created)"
            b" SELECT 'person', 'user' || n, 'user' || n,"
            b" (%s::text[])[1 + n %% %s] || ' Family' || n %% 9973, n, 'bench',"
            b" sha256(('h' || n)::bytea), now() FROM generate_series(1, %s) n",
            (FIRST_NAMES, len(FIRST_NAMES), accounts),
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
def _opened(dsn: str) -> Iterator[Identity]:
    with TemporaryDirectory() as folder, Database(dsn, readonly=False) as store:
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
        return [
            _flat("check a session", _check(tokens), few, many, what, rounds),
            _flat("find an account by login", _find, few, many, what, rounds),
            _flat("sign in by password (19 MiB)", _signed_in(few, many), few, many, what, rounds // 20),
            *(
                _flat(f"search accounts for `{text}`", _search(text), few, many, what, rounds // 20)
                for text in ("user77", "user", "nobody")
            ),
            # As the page of administration looks: the first name, what another word begins with, and both.
            *(
                _flat(f"search accounts by name for `{text}`", _search(text), few, many, what, rounds // 20)
                for text in ("nadia", "family77", "nadia fam")
            ),
        ]


def _flat(
    name: str, act: Callable[[Identity, int], None], few: Identity, many: Identity, what: str, rounds: int
) -> Row:
    """An act in turns on the small and the big database; what is asked for is that it costs no more."""
    ratios, lasting = [], []
    for _ in range(TURNS):
        times: dict[Identity, list[float]] = {few: [], many: []}
        for number in range(rounds):
            for identity in (few, many):
                started = time.perf_counter()
                act(identity, number)
                times[identity].append(time.perf_counter() - started)
        little, much = (statistics.median(times[identity]) for identity in (few, many))
        ratios.append(much / little)
        lasting.append(much)
    ratio, much = statistics.median(ratios), statistics.median(lasting)
    session = "session" in name
    # A search finds other accounts in a big table than in a small one: its time is told, and not held to it.
    held = not name.startswith("search")
    asked = "≤ 1 ms, ≤ 1.2 ×" if session else "≤ 1.2 ×" if held else "reads no table"
    good = ratio <= 1.2 and (much <= 0.001 or not session) if held else None
    return Row(
        f"{name} among {what}",
        f"{much * 1000:.2f} ms",
        f"among 1,000 {much / ratio * 1000:.2f} ms",
        f"{ratio:.2f} ×",
        asked,
        good,
    )


def _signed_in(*identities: Identity) -> Callable[[Identity, int], None]:
    """A sign-in, of as many accounts as there are rounds at most."""
    for identity in identities:
        hashed = identity.hasher.hash(PASSWORD)
        identity.base.store.rows("UPDATE vallum.account SET password_hash = %s WHERE id <= 1000", (hashed,))

    def act(identity: Identity, number: int) -> None:
        outcome = identity.sign_in.password(f"user{1 + number * 7 % 1000}", PASSWORD, CLIENT)
        assert isinstance(outcome, SignedIn)

    return act


def _search(text: str) -> Callable[[Identity, int], None]:
    def act(identity: Identity, _: int) -> None:
        find_accounts(identity.base.store, AccountQuery(text=text), limit=51)

    return act


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
    """Sessions of one factor: what costs most, for it is looked at whether another has become needed."""

    def act(identity: Identity, number: int) -> None:
        own = tokens[identity]
        assert identity.sign_in.session(own[number % len(own)]) is not None

    return act


def _find(identity: Identity, number: int) -> None:
    assert identity.base.accounts.by_login(f"user{1 + number * 499 % 1000}") is not None
