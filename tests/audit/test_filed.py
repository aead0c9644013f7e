"""Events are filed under what they say: told of a tile at once, and of each where that says too little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit import Trail, trail
from vallum.audit.filed import agree

TABLE = "CREATE TABLE note (name text PRIMARY KEY, body text)"
NAMES = ("plain", "", "\x1d", "a\x1eb", "c", "a", "b\x1ec", "two\nlines", 'quoted "', "\U0001f512")


@pytest.fixture(params=["plain", "committed"])
def mode(request: pytest.FixtureRequest) -> Any:
    """How the key is kept."""
    return request.param


@pytest.fixture
def notes(mode: str, pg_dsn: str, tmp_path: Path) -> Iterator[Trail]:
    """Rows whose keys hold what stands between values; kept plain, or so that they can be erased."""
    with trail(pg_dsn, tmp_path / "log", TABLE, {"public.note": {"name": mode}}) as made:
        for name in NAMES:
            made.connection.execute("INSERT INTO note VALUES (%s, 'body')", (name,))
        made.sequence()
        yield made


def test_keys_that_look_like_separators_are_no_alarm(notes: Trail) -> None:
    """A key may hold anything."""
    assert notes.codes("verify") == []
    assert notes.codes("verify", "--values") == []
    assert notes.codes("coverage", "--rows") == []


def test_keys_whose_joined_text_is_the_same_are_told_apart(notes: Trail, mode: str) -> None:
    """`a⟂b, c` filed as `a, b⟂c`: one text together, and two events that no search finds."""
    first, second = (
        notes.one("SELECT index FROM vallum.audit_leaf WHERE key = %s", name) for name in ("a\x1eb", "c")
    )
    assert second == first + 1
    for index, name in ((first, "a"), (second, "b\x1ec")):
        notes.connection.execute("UPDATE vallum.audit_leaf SET key = %s WHERE index = %s", (name, index))
    option = ("--values",) if mode == "committed" else ()
    assert notes.codes("verify", *option) == [("index", first), ("index", second)]


@pytest.mark.tampering("event filed where no search finds it")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("relation", "'public.other'"),
        ("relation", "NULL"),
        ("op", "'d'"),
        ("actor", "'1'"),
        ("at", "at + interval '1 microsecond'"),
        ("at", "NULL"),
    ],
)
def test_event_filed_under_another_column_is_named(log: Trail, column: str, value: str) -> None:
    """Each of what events are found by."""
    log.execute("INSERT INTO customer SELECT i, 'customer ' || i, i FROM generate_series(1, 3) i")
    log.sequence()
    at = log.index_of("key = '2'")
    log.execute(f"UPDATE vallum.audit_leaf SET {column} = {value} WHERE index = {at}")
    assert log.codes("verify") == [("index", at)]


def test_entry_broken_into_lines_is_the_only_one_named(log: Trail) -> None:
    """Entries are told apart by line ends: one put into an entry moves no other's."""
    log.execute("INSERT INTO customer SELECT i, 'customer ' || i, i FROM generate_series(1, 5) i")
    log.sequence()
    at = log.index_of("key = '3'")
    log.execute(f"UPDATE vallum.audit_leaf SET entry = replace(entry, ',', E',\\n') WHERE index = {at}")
    assert log.codes("verify") == [("altered", at)]


def test_instants_agree_with_and_without_a_fraction() -> None:
    """PostgreSQL leaves zeros at the end out."""
    entries = [
        b'{"actor":{"id":1},"at":"2026-03-01T10:00:00.%sZ"}' % part
        for part in (b"000000", b"120000", b"000001")
    ]
    at = "\x1e".join(["2026-03-01 10:00:00+00", "2026-03-01 10:00:00.12+00", "2026-03-01 10:00:00.000001+00"])
    nothing = "\x1e".join(["\x1d"] * 3)
    assert agree(entries, [nothing, nothing, "1\x1e1\x1e1", nothing, at])
    assert not agree(entries, [nothing, nothing, "1\x1e1\x1e1", nothing, at.replace("000001", "000002")])
    assert not agree(entries, [nothing, nothing, "1\x1e1\x1e2", nothing, at])
