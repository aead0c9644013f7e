"""Rows held against the log: keys that changed, events that wait or are filed elsewhere, many rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.audit import Trail

OWN = "SET vallum.audit_own = 'on'"


@contextmanager
def unseen(log: Trail) -> Iterator[None]:
    """What a superuser does while no trigger of the customers' table is on."""
    log.execute(OWN, "ALTER TABLE customer DISABLE TRIGGER ALL")
    yield
    log.execute(
        "ALTER TABLE customer ENABLE TRIGGER ALL",
        *(f"ALTER TABLE customer ENABLE ALWAYS TRIGGER zz_vallum_audit_{op}" for op in "iudt"),
    )


def rows(log: Trail) -> list[tuple[str, int | None]]:
    """What `coverage --rows` reports."""
    return log.codes("coverage", "--rows")


def test_row_whose_key_changed_is_followed(log: Trail) -> None:
    """Once, again, and to the key another row had: nothing differs until somebody changes it unseen."""
    log.execute(
        "INSERT INTO customer VALUES (1, 'one', 1), (2, 'two', 2), (900, 'last', 9)",
        "UPDATE customer SET id = 500 WHERE id = 1",
        "UPDATE customer SET id = 3 WHERE id = 500",
        "UPDATE customer SET id = 1 WHERE id = 2",
        "UPDATE customer SET amount = 5 WHERE id = 1",
    )
    log.sequence()
    assert rows(log) == []
    with unseen(log):
        log.execute("UPDATE customer SET name = 'forged' WHERE id = 3", "DELETE FROM customer WHERE id = 1")
    moved = log.index_of("key = '500'")
    assert sorted(rows(log)) == [("row-differs", moved), ("row-differs", log.index_of("key = '1'"))]


def test_events_that_wait_in_the_inbox_are_taken_into_account(log: Trail) -> None:
    """What was changed a moment ago is no difference; what was changed unseen before it still is."""
    log.execute("INSERT INTO customer VALUES (1, 'one', 1), (2, 'two', 2)")
    log.sequence()
    log.execute(
        "UPDATE customer SET amount = 7 WHERE id = 1",
        "INSERT INTO customer VALUES (3, 'three', 3)",
        "UPDATE customer SET id = 8 WHERE id = 2",
    )
    assert rows(log) == []
    with unseen(log):
        log.execute("UPDATE customer SET name = 'forged' WHERE id = 1")
    size = log.one("SELECT size FROM vallum.audit_state")
    assert rows(log) == [("row-differs", size)]


def test_event_filed_under_another_record_hides_no_difference(log: Trail) -> None:
    """A row changed unseen, and the event that tells filed elsewhere, or nowhere."""
    log.execute(
        "INSERT INTO customer VALUES (1, 'one', 1), (2, 'two', 2)",
        "UPDATE customer SET amount = 5 WHERE id = 1",
    )
    log.sequence()
    at = log.index_of("key = '1'")
    with unseen(log):
        log.execute("UPDATE customer SET amount = 1 WHERE id = 1")
    for filed in ("'2'", "'77'", "NULL"):
        log.execute(f"UPDATE vallum.audit_leaf SET key = {filed} WHERE index = {at}")
        assert rows(log) == [("row-differs", at)]


def test_row_among_thousands_is_named(log: Trail) -> None:
    """More rows than are read at a time; one changed, one gone, one back."""
    log.execute("INSERT INTO customer SELECT i, 'customer ' || i, i FROM generate_series(1, 5000) i")
    log.execute("DELETE FROM customer WHERE id % 100 = 0")
    log.sequence()
    assert rows(log) == []
    with unseen(log):
        log.execute(
            "UPDATE customer SET amount = 0 WHERE id = 4321",
            "DELETE FROM customer WHERE id = 17",
            "INSERT INTO customer VALUES (4500, 'back')",
        )
    expected = {("row-differs", log.index_of(f"key = '{key}'")) for key in (4321, 17, 4500)}
    found = rows(log)
    assert (len(found), set(found)) == (3, expected)
