"""What is missing or late: places in the log, events that wait for too long, checkpoints that are old.

Cheap enough for a timer; `verify` and `coverage` prove what this only looks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from vallum.audit.errors import LogForked, MalformedNote, ProofFailed
from vallum.audit.notes import Checkpoint, Note
from vallum.audit.problem import Problem
from vallum.audit.proofs import newest
from vallum.audit.retention import undeclared
from vallum.audit.state import Home

__all__ = ["gaps"]

Connection = psycopg.Connection[Any]
LATE: Final = timedelta(seconds=30)
STALE: Final = timedelta(minutes=10)


def gaps(
    connection: Connection,
    home: Home,
    now: datetime,
    *,
    against: list[Note] | None = None,
    late: timedelta = LATE,
    stale: timedelta = STALE,
) -> list[Problem]:
    """What a look finds, without hashing anything. `late`: how long an event may wait for its place.

    Raises: psycopg.Error.
    """
    state = connection.execute("SELECT size, at FROM vallum.audit_state").fetchone()
    if state is None:
        return [Problem("state", "the state of the log is gone")]
    size = int(state[0])
    problems = [*_places(connection, size), *_waiting(connection, now, late), *_alarms(connection)]
    try:
        signed = home.signed()
        _, shown = newest(home)
    except (ProofFailed, MalformedNote, LogForked) as error:
        return [*problems, Problem("checkpoint", str(error))]
    if signed is not None and signed.size > size:
        problems.append(
            Problem(
                "size-below-anchor", f"the log has {size:,} events, and {signed.size:,} were signed", size
            )
        )
    if shown.size < size and signed is not None and now - signed.at > stale:
        problems.append(
            Problem("checkpoint-stale", f"events from {shown.size:,} on are not signed", shown.size)
        )
    for note in against or []:
        kept = Checkpoint.parse(note.text)
        if kept.size > size:
            what = f"the log has {size:,} events, and {kept.size:,} were anchored"
            problems.append(Problem("size-below-anchor", what, size))
    return problems


def _places(connection: Connection, size: int) -> list[Problem]:
    rows = connection.execute(
        "WITH present AS (SELECT index FROM vallum.audit_leaf WHERE entry IS NOT NULL AND index < %s),"
        " after AS (SELECT index, lead(index) OVER (ORDER BY index) AS next FROM present)"
        " SELECT -1, min(index) FROM present UNION ALL SELECT index, coalesce(next, %s) FROM after"
        " WHERE coalesce(next, %s) <> index + 1 ORDER BY 1",
        (size, size, size),
    ).fetchall()
    runs = [(start + 1, size if end is None else end) for start, end in rows]
    runs = [(start, end) for start, end in runs if start < end]
    if not runs:
        return []
    return [
        Problem(
            "missing", f"events {start:,} to {end - 1:,} are gone, and no act of retention declares it", start
        )
        for start, end in undeclared(connection, runs)[:100]
    ]


def _waiting(connection: Connection, now: datetime, late: timedelta) -> list[Problem]:
    row = connection.execute("SELECT count(*), min(at), min(id) FROM vallum.audit_inbox").fetchone()
    if row is None or row[1] is None or now - row[1] <= late:
        return []
    return [Problem("unsequenced", f"{row[0]:,} events wait, the oldest (id {row[2]}) since {row[1]:%F %T}")]


def _alarms(connection: Connection) -> list[Problem]:
    rows = connection.execute(
        "SELECT index, (entry::json -> 'detail')::text FROM vallum.audit_leaf WHERE actor = 'sequencer'"
        " AND entry IS NOT NULL AND entry::json ->> 'kind' = 'alarm' ORDER BY index DESC LIMIT 100"
    )
    found = []
    for index, text in rows:
        detail = json.loads(text)
        found.append(Problem(detail.get("code", "alarm"), _told(detail), index))
    return found


def _told(detail: Mapping[str, Any]) -> str:
    """What the sequencer's own entry says."""
    if detail.get("code") == "event-malformed":
        return f"what waited as event {detail.get('event')} was none"
    count = detail.get("of") or "?"
    return f"transaction {detail.get('tx')} lacks {detail.get('missing')} of {count} events"
