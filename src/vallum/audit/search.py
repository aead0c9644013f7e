"""Find events, and show a record's whole history.

What is shown is the entry itself; columns only lead to it. Values that can be erased are held against their
commitments first. Knows no models and no policy: `vallum.facade.audit` asks it on behalf of an actor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from vallum.audit.errors import AuditRefused
from vallum.audit.values import opened, salted
from vallum.audit.waiting import LETTERS

__all__ = ["Event", "Wanted", "find", "tail"]

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What events are asked for; None: any. `relations`: `schema.table`; `field`: a changed column."""

    relations: Sequence[str] | None = None
    key: str | None = None
    actor: str | None = None
    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    operation: str | None = None
    kind: str | None = None
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log, its values in place. `altered`: labels whose value is not the one recorded."""

    index: int
    content: dict[str, Any]
    altered: tuple[str, ...]
    entry: str

    @property
    def relation(self) -> str | None:
        """The table."""
        return self.content.get("table")

    @property
    def operation(self) -> str:
        """What was done: create, write, unlink, …, or the kind of an event that is no change of a row."""
        return str(self.content.get("op") or self.content["kind"])

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        found = {"index": self.index, **self.content}
        return {**found, "altered": list(self.altered)} if self.altered else found


def find(
    connection: Connection, wanted: Wanted, *, limit: int | None = 100, newest_first: bool = True
) -> Iterator[Event]:
    """The events asked for. Raises: AuditRefused, psycopg.Error."""
    where, values = _where(wanted)
    order = "DESC" if newest_first else "ASC"
    text = (
        "SELECT index, entry, seed, secret FROM vallum.audit_leaf WHERE entry IS NOT NULL AND "  # noqa: S608
        f"{' AND '.join(where)} ORDER BY index {order}"
    )
    if limit is not None:
        text += " LIMIT %(limit)s"
    with connection.transaction(), connection.cursor(name="vallum_find") as cursor:
        cursor.execute(text.encode(), {**values, "limit": limit})
        for index, entry, seed, secret in cursor:
            yield event_of(index, entry, seed, secret)


def event_of(index: int, entry: str, seed: bytes | None, secret: str | None) -> Event:
    """A row of the log as an event."""
    content, altered = opened(json.loads(entry), salted(seed, secret))
    return Event(index, content, tuple(altered), entry)


def _where(wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    parts = ["index >= %(start)s"]
    values: dict[str, Any] = {"start": wanted.start}
    for name, part in _PARTS.items():
        value = getattr(wanted, name)
        if value is not None:
            parts.append(part)
            values[name] = list(value) if name == "relations" else value
    if wanted.operation is not None:
        if wanted.operation not in LETTERS:
            raise AuditRefused(
                f"no operation is called `{wanted.operation}`", fix="use " + ", ".join(LETTERS)
            )
        values["operation"] = LETTERS[wanted.operation]
    if wanted.kind is not None:
        values |= {"kind": wanted.kind, "spelled": f'"kind":{json.dumps(wanted.kind)}'}
    return parts, values


_PARTS: Final = {
    "relations": "relation = ANY (%(relations)s)",
    "key": "key = %(key)s",
    "actor": "actor = %(actor)s",
    # Of JSON only where it can hold anything: an entry is parsed for each row that is looked at.
    "field": "op IS NOT NULL AND (coalesce((entry::jsonb -> 'new') ? %(field)s, false)"
    " OR coalesce((entry::jsonb -> 'old') ? %(field)s, false))",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
    "operation": 'op = %(operation)s::"char"',
    "kind": "op IS NULL AND strpos(entry, %(spelled)s) > 0 AND entry::jsonb ->> 'kind' = %(kind)s",
    "end": "index < %(end)s",
}


def tail(connection: Connection, start: int, *, limit: int = 1_000) -> list[Event]:
    """The events from a place on, oldest first."""
    return list(find(connection, Wanted(start=start), limit=limit, newest_first=False))
