"""The table of changes: who proposed what, and what became of it. Connections are handed in.

Nothing is ever deleted or written over but a decision, once.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from vallum.governance.errors import ChangeRefused, UnknownChange
from vallum.governance.proposed import Person, Proposed
from vallum.policy.change import Change, Item
from vallum.policy.readers.changes import TABLE

__all__ = ["add", "approved", "decide", "get", "is_there", "lock", "retire", "some", "waiting"]

Connection = psycopg.Connection[Any]
LONGEST: Final = 2_000
_COLUMNS: Final = (
    "id, kind, xml_id, before, after, reason, state, author_id, author, asked, decider_id, decider,"
    " decided, comment"
)


def is_there(connection: Connection) -> bool:
    """Whether anybody has ever proposed a change."""
    row = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()
    return row is not None and row[0] is not None


def lock(connection: Connection) -> None:
    """Be the only one who writes, until the transaction ends."""
    connection.execute(f"LOCK TABLE {TABLE} IN SHARE ROW EXCLUSIVE MODE".encode())


def get(connection: Connection, number: int) -> Proposed:
    """Raises: UnknownChange."""
    row = None
    if is_there(connection):
        statement = f"SELECT {_COLUMNS} FROM {TABLE} WHERE id = %s"  # noqa: S608 - names of our own
        row = connection.execute(statement.encode(), (number,)).fetchone()
    if row is None:
        raise UnknownChange(f"there is no change {number}", fix="choose one of the list")
    return _read(row)


def waiting(connection: Connection, number: int) -> Proposed:
    """A change that can still be decided. Raises: UnknownChange, ChangeRefused."""
    found = get(connection, number)
    if found.state != "waiting":
        who = f" by {found.decider.login}" if found.decider else ""
        raise ChangeRefused(f"change {number} is {found.state} already{who}", fix="look at its history")
    return found


def some(
    connection: Connection, state: str | None = None, item: tuple[str, str] | None = None
) -> list[Proposed]:
    """The changes, newest first; those in that state, or of that item (kind and xml id)."""
    if not is_there(connection):
        return []
    kind, xml_id = item or (None, None)
    statement = (
        f"SELECT {_COLUMNS} FROM {TABLE} WHERE (%s::text IS NULL OR state = %s)"  # noqa: S608
        " AND (%s::text IS NULL OR (kind = %s AND xml_id = %s)) ORDER BY id DESC"
    )
    return [_read(row) for row in connection.execute(statement.encode(), (state, state, kind, kind, xml_id))]


def approved(connection: Connection, kind: str, xml_id: str) -> Change | None:
    """The change that an item owes its present text to, if any."""
    if not is_there(connection):
        return None
    statement = (
        f"SELECT {_COLUMNS} FROM {TABLE}"  # noqa: S608 - names of our own
        " WHERE state = 'approved' AND kind = %s AND xml_id = %s ORDER BY turn DESC LIMIT 1"
    )
    row = connection.execute(statement.encode(), (kind, xml_id)).fetchone()
    return None if row is None else _read(row).change


def add(connection: Connection, change: Change, reason: str, by: Person) -> int:
    """A new change; its number."""
    statement = (
        f"INSERT INTO {TABLE} (kind, xml_id, before, after, reason, author_id, author)"  # noqa: S608
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"
    )
    items = _json(change.before), _json(change.after)
    values = (change.kind, change.xml_id, *items, reason, by.user, by.login)
    (number,) = connection.execute(statement.encode(), values).fetchall()[0]
    return int(number)


def decide(connection: Connection, number: int, state: str, by: Person, comment: str = "") -> None:
    """Write a decision down. Approved changes get the next turn: that is the order in which they hold."""
    turn = f"CASE WHEN %s = 'approved' THEN (SELECT coalesce(max(turn), 0) + 1 FROM {TABLE}) END"  # noqa: S608
    statement = (
        f"UPDATE {TABLE} SET state = %s, decider_id = %s, decider = %s, decided = now(), comment = %s,"  # noqa: S608
        f" turn = {turn} WHERE id = %s"
    )
    values = (state, by.user, by.login, comment.strip()[:LONGEST], state, number)
    connection.execute(statement.encode(), values)


def retire(connection: Connection, number: int) -> None:
    """An approved change holds no longer."""
    statement = f"UPDATE {TABLE} SET state = 'retired' WHERE id = %s"  # noqa: S608 - names of our own
    connection.execute(statement.encode(), (number,))


def _json(item: Item | None) -> Jsonb | None:
    return None if item is None else Jsonb(dict(item))


def _read(row: tuple[Any, ...]) -> Proposed:
    number, kind, xml_id, before, after, reason, state, author_id, author, asked, *decision = row
    decider_id, decider, decided, comment = decision
    return Proposed(
        id=number,
        change=Change(kind=kind, xml_id=xml_id, before=before, after=after, source=f"change {number}"),
        reason=reason,
        state=state,
        author=Person(author_id, author),
        asked=asked,
        decider=Person(decider_id or 0, decider) if decider else None,
        decided=decided,
        comment=comment,
    )
