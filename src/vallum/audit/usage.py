"""When each user last did something to a table, a record or a column, as far as the trail tells.

Only acts whose actor was verified are somebody's. Of a record all events are looked at, of a table its
newest: who did something long ago is told to be unknown rather than searched for in the whole log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg

from vallum.audit.install import audited
from vallum.audit.waiting import LETTERS

__all__ = ["Usage", "last_uses"]

Connection = psycopg.Connection[Any]
# So many of the newest events are looked at: a page must not read a whole log.
WINDOW: Final = 100_000
READ: Final = "sensitive-read"


@dataclass(frozen=True, slots=True)
class Usage:
    """By user's id when they last did it, of what was looked at: from `since` on. None: nothing is recorded.

    `others`: whether something was done by those whom the trail cannot name.
    """

    since: datetime | None
    at: Mapping[int, datetime] = field(default_factory=dict)
    others: bool = False


def last_uses(
    connection: Connection,
    relation: str,
    operation: str,
    *,
    model: str = "",
    key: str | None = None,
    column: str | None = None,
) -> Usage:
    """The last uses. `operation`: read, write, create or unlink; reads are those that applications record.

    Raises: psycopg.Error.
    """
    if operation == "read":
        return _reads(connection, (relation, model), key)
    known = audited(connection).get(relation)
    if known is None:
        return Usage(None)
    parts = ["relation = %(relation)s", 'op = %(op)s::"char"']
    if column is not None:
        parts.append("coalesce((entry::jsonb -> 'new') ? %(column)s, false)")
    values = {"relation": relation, "op": LETTERS[operation], "column": column}
    return _grouped(connection, parts, values, key, known.since)


def _reads(connection: Connection, names: tuple[str, ...], key: str | None) -> Usage:
    """Reads that an application told the trail of, under the table's or the model's name."""
    parts = ["relation = ANY (%(names)s)", "op IS NULL", "entry LIKE %(kind)s"]
    values = {"names": [name for name in names if name], "kind": f'%"kind":{json.dumps(READ)}%'}
    found = _grouped(connection, parts, values, key, None)
    return found if found.at or found.others else Usage(None)


def _grouped(
    connection: Connection, parts: list[str], values: dict[str, Any], key: str | None, since: datetime | None
) -> Usage:
    start = 0
    if key is not None:
        parts.append("key = %(key)s")
    else:
        (size,) = connection.execute("SELECT size FROM vallum.audit_state").fetchall()[0]
        start = max(0, size - WINDOW)
        parts.append("index >= %(start)s")
    text = (
        "SELECT actor, max(at) FROM vallum.audit_leaf WHERE entry IS NOT NULL AND "  # noqa: S608 - own parts
        f"{' AND '.join(parts)} GROUP BY actor"
    )
    rows = connection.execute(text.encode(), {**values, "key": key, "start": start}).fetchall()
    first = connection.execute(
        "SELECT at FROM vallum.audit_leaf WHERE index >= %s AND at IS NOT NULL ORDER BY index LIMIT 1",
        (start,),
    ).fetchone()
    begin = first[0] if first is not None else since
    if since is not None and begin is not None:
        begin = max(since, begin)
    named = {int(actor): at for actor, at in rows if actor is not None and actor.isdecimal()}
    return Usage(begin, named, others=len(named) < len(rows))
