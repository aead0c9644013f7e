"""Erase personal values from the trail, and put values back that the trail still knows.

An entry holds only commitments to them: value and salt go, every proof holds as before. What was erased, and
by whom, is an entry itself, which also names the archives that were not reached. Exports, backups and
write-ahead logs never are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from vallum.audit.canonical import Json
from vallum.audit.entries import key_text
from vallum.audit.errors import AuditRefused
from vallum.audit.install import Hand
from vallum.audit.search import Event, Wanted, find
from vallum.audit.tables import Table, ident
from vallum.audit.values import ALTERED, ERASED, salted, without

__all__ = ["Restoration", "Subject", "erasable", "erase", "plan_restoration", "restore"]

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose values are to go: a record's, or those that name an actor. `fields`: these only."""

    relation: str | None = None
    key: str | None = None
    actor: str | None = None
    fields: tuple[str, ...] | None = None

    def labels(self, labels: Iterable[str]) -> list[str]:
        """Of the labels of one of its events, those to go."""
        sides = ("actor",) if self.actor is not None else ("key", "new", "old")
        parted = ((label, *label.partition(".")[::2]) for label in labels)
        return [
            label
            for label, side, name in parted
            if side in sides and (self.fields is None or name in self.fields)
        ]

    def labels_of(self, event: Event, labels: Sequence[str]) -> list[str]:
        """Of the labels of an event, those to go; none where it is somebody else's."""
        if self.actor is not None:
            mine = str(event.content["actor"].get("id")) == self.actor
        else:
            key = event.content.get("key")
            mine = event.relation == self.relation and key is not None and key_text(key) == self.key
        return self.labels(labels) if mine else []


def erasable(connection: Connection, subject: Subject) -> dict[int, list[str]]:
    """The labels of the values that would go from the log, by event. Raises: psycopg.Error."""
    rows = connection.execute(
        "SELECT index, seed, secret FROM vallum.audit_leaf WHERE secret IS NOT NULL"
        " AND (%(relation)s::text IS NULL OR (relation = %(relation)s AND key = %(key)s))"
        " AND (%(actor)s::text IS NULL OR actor = %(actor)s) ORDER BY index",
        {"relation": subject.relation, "key": subject.key, "actor": subject.actor},
    )
    found = {index: subject.labels(salted(seed, secret)) for index, seed, secret in rows}
    return {index: labels for index, labels in found.items() if labels}


def erase(
    connection: Connection,
    labels: Mapping[int, Iterable[str]],
    hand: Hand,
    reason: str,
    *,
    archives: Sequence[Mapping[str, Any]] = (),
    unreached: Sequence[str] = (),
) -> int:
    """Erase these values for good. Says how many. `archives`: where else; `unreached`: archives that stay.

    Raises: psycopg.Error; nothing is changed then.
    """
    count = 0
    with connection.transaction():
        for index, gone in labels.items():
            row = connection.execute(
                "SELECT seed, secret FROM vallum.audit_leaf WHERE index = %s FOR UPDATE", (index,)
            ).fetchone()
            if row is None or row[1] is None:
                continue
            names = [label for label in gone if label in salted(*row)]
            keys = any(label.startswith("key.") for label in names)
            connection.execute(
                "UPDATE vallum.audit_leaf SET seed = NULL, secret = %s,"
                " key = CASE WHEN %s THEN NULL ELSE key END"
                " WHERE index = %s",
                (without(row[0], row[1], names), keys, index),
            )
            count += len(names)
        detail: dict[str, Json] = {"events": len(labels), "reason": reason, "values": count}
        if archives:
            detail["archives"] = [dict(told) for told in archives]
        if unreached:
            detail["unreached"] = list(unreached)
        hand.record(connection, "erasure", detail, None)
    return count


@dataclass(frozen=True, slots=True)
class Restoration:
    """Values to put back into a row: by column what is now and was before. `skipped`: why not."""

    table: Table
    key: Mapping[str, Json]
    values: Mapping[str, tuple[Json, Json]]
    skipped: Mapping[str, str]
    insert: bool


def plan_restoration(
    connection: Connection, table: Table, key: str, index: int, fields: Sequence[str] | None = None
) -> Restoration:
    """What putting a row back to before an event takes.

    Raises: AuditRefused (no such row in the log, a table without key), psycopg.Error.
    """
    if not table.key:
        raise AuditRefused("rows of a table without a key cannot be put back", where=table.relation)
    events = list(find(connection, Wanted(relations=[table.relation], key=key, start=index), limit=None))
    if not events:
        raise AuditRefused(f"the log has no event of {table.relation} {key} from {index:,} on")
    values: dict[str, tuple[Json, Json]] = {}
    skipped: dict[str, str] = {}
    columns = {column.name for column in table.columns}
    # Newest first: what stays is the oldest of the values before.
    for event in events:
        if event.content["op"] in ("create", "baseline"):
            raise AuditRefused(f"the row was created by event {event.index:,}", fix="name a later event")
        for name, before in (event.content["old"] or {}).items():
            if name not in columns:
                skipped[name] = "the column is gone"
            elif before in (ERASED, ALTERED):
                skipped[name] = str(before)
                values.pop(name, None)
            elif isinstance(before, dict):
                skipped[name] = "the value was not recorded"
                values.pop(name, None)
            elif fields is None or name in fields:
                now = values[name][0] if name in values else (event.content["new"] or {}).get(name)
                values[name] = (now, before)
                skipped.pop(name, None)
    gone = events[0].content["op"] in ("unlink", "truncate")
    return Restoration(table, events[-1].content["key"], values, skipped, gone)


def restore(connection: Connection, plan: Restoration) -> int:
    """Put the values back, with the rights of the connection; the triggers record it. Says how many rows.

    Raises: psycopg.Error.
    """
    types = {column.name: column for column in plan.table.columns}
    names = list(plan.values)
    params = [_text(plan.values[name][1]) for name in names]
    casts = [_cast(types[name].type, types[name].written) for name in names]
    if plan.insert:
        listed = ", ".join(ident(name) for name in names)
        text = f"INSERT INTO {plan.table.sql} ({listed}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(casts)})"  # noqa: S608
    else:
        sets = ", ".join(f"{ident(name)} = {cast}" for name, cast in zip(names, casts, strict=True))
        where = " AND ".join(
            f"{ident(name)} = {_cast(types[name].type, types[name].written)}" for name in plan.table.key
        )
        text = f"UPDATE {plan.table.sql} SET {sets} WHERE {where}"  # noqa: S608 - names of the catalogue
        params += [_text(plan.key[name]) for name in plan.table.key]
    return connection.execute(text.replace("%", "%%").replace("\x00", "%").encode(), params).rowcount


_PLACE: Final = "\x00s"


def _cast(base: str, written: str) -> str:
    if base == "bytea":
        return f"decode({_PLACE}, 'hex')"
    if base == "timestamptz":
        return f"({_PLACE}::timestamp AT TIME ZONE 'UTC')"
    return f"{_PLACE}::text::{written}"


def _text(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
