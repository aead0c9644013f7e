"""Changes of policy and users are noticed, or nobody is answered any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest

import vallum
from tests.support.company import METADATA, POLICY
from vallum.kernel import ConnectionFailed
from vallum.postgres import Database, EmbeddedServer, ThreadDatabase
from vallum.server import watch
from vallum.server.fingerprint import Fingerprint
from vallum.server.watch import Watch


class _Digest(Fingerprint):
    """A digest that is as the test says."""

    def __init__(self) -> None:
        self.found: object = 1
        self.error: Exception | None = None

    def take(self) -> object:
        """What was said."""
        if self.error is not None:
            raise self.error
        return self.found


def _until(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until and not condition():
        time.sleep(0.02)
    return condition()


@pytest.fixture
def told() -> list[str]:
    """What was called, in order."""
    return []


def test_change_while_the_application_was_opened_is_noticed(
    pg_server: EmbeddedServer, told: list[str]
) -> None:
    """What was read before the first digest is read again: it may have changed in between."""
    digest = _Digest()

    def changed() -> Fingerprint:
        told.append("changed")
        return digest

    found = Watch(pg_server.dsn("postgres"), nullcontext, digest, changed, lambda: told.append("failed"))
    found.start()
    try:
        assert _until(lambda: told == ["changed"])
        digest.found = 2
        assert _until(lambda: told == ["changed", "changed"])
    finally:
        found.close()


def test_what_cannot_be_looked_at_for_long_is_not_answered_from(
    pg_server: EmbeddedServer, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lost a right must not keep it because nobody could look; then all is read anew."""
    monkeypatch.setattr(watch, "PATIENCE", 0.1)
    digest = _Digest()

    def changed() -> Fingerprint:
        told.append("changed")
        return digest

    found = Watch(pg_server.dsn("postgres"), nullcontext, digest, changed, lambda: told.append("failed"))
    found.start()
    try:
        assert _until(lambda: told == ["changed"])
        digest.error = ConnectionFailed("too many connections")
        assert _until(lambda: told[1:2] == ["failed"])
        digest.error = None
        assert _until(lambda: told[-1] == "changed")
    finally:
        found.close()


def test_server_that_takes_no_connection_counts_as_not_looked_at(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the connections of calls are still open."""
    monkeypatch.setattr(watch, "PATIENCE", 0.1)
    nowhere = "host=127.0.0.1 port=1 dbname=x"
    found = Watch(nowhere, nullcontext, _Digest(), _Digest, lambda: told.append("failed"))
    found.start()
    try:
        assert _until(lambda: "failed" in told)
    finally:
        found.close()


def test_right_that_is_given_and_taken_while_it_is_read_does_not_stay(pg_dsn: str) -> None:
    """What is read is what was looked at: nobody keeps what was there between two looks alone."""
    read: list[int] = []
    with ThreadDatabase(pg_dsn, readonly=False) as database, Database(pg_dsn, readonly=False) as others:
        others.rows("CREATE TABLE granted (who integer)")

        class _Rows(_Digest):
            def take(self) -> object:
                return database.rows("SELECT array_agg(xmin::text) FROM granted")

        def changed() -> Fingerprint:
            others.rows("INSERT INTO granted VALUES (1)")
            read.append(database.rows("SELECT count(*) FROM granted")[0][0])
            others.rows("DELETE FROM granted")
            return _Rows()

        found = Watch(pg_dsn, database.snapshot, _Rows(), changed, lambda: None)
        found.start()
        try:
            assert _until(lambda: bool(read))
        finally:
            found.close()
        assert read == [0]


def test_users_that_were_read_for_a_call_are_read_again(company: str) -> None:
    """They may be of a moment whose changes are undone since: the digest is another one until then."""
    with Database(company) as database:
        opened = vallum.open(company, metadata=METADATA, policy=POLICY)
        try:
            digest = Fingerprint(database, opened.application, ())
            assert digest.take() == digest.take()
            before = digest.take()
            opened.application.refresh()
            assert digest.take() != before
        finally:
            opened.close()
