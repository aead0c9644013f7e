"""From what a trigger wrote to an entry of the log: canonical, complete, with personal values committed to.

Pure: random seeds are handed in. An entry's form is documented in docs/reference/audit.md and may grow, never
change: what was written once is verified forever.
Invariant: a value that is not known to be plain stands in the entry as a commitment only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vallum.audit.actors import read_stamp
from vallum.audit.canonical import Json, canonical, commitment, parse_values, salt_of

__all__ = ["OPERATIONS", "VERSION", "Entry", "Raw", "entry_of", "instant", "make_entry"]

VERSION: Final = 1
OPERATIONS: Final = {"i": "create", "u": "write", "d": "unlink", "t": "truncate", "s": "baseline"}
_LETTERS: Final = {name: letter for letter, name in OPERATIONS.items()}


@dataclass(frozen=True, slots=True)
class Raw:
    """An event of the inbox, in the order of its columns; `of`: the transaction's number of events."""

    id: int
    xid: str
    n: int
    at: datetime
    kind: str
    relation: str | None
    key: str | None
    op: str | None
    old: str | None
    new: str | None
    stamp: str | None
    pid: int
    role: str
    acting: str | None
    app: str | None
    ip: str | None
    stale: bool
    of: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A leaf: its text, what it is found by, and what can be erased. `secret`: values by label, as JSON."""

    text: str
    at: datetime
    relation: str | None
    key: str | None
    op: str | None
    actor: str
    seed: bytes | None
    secret: str | None


def instant(at: datetime) -> str:
    """An aware instant in UTC as entries hold it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Values:
    """Collects what is committed to, under one seed."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.secret: dict[str, Json] = {}

    def commit(self, label: str, value: Json) -> Json:
        """The commitment that stands for a value; null tells nothing and stands for itself."""
        if value is None:
            return None
        self.secret[label] = value
        return commitment(label, salt_of(self.seed, label), value)

    def row(
        self, side: str, row: Mapping[str, Json] | None, modes: Mapping[str, str]
    ) -> dict[str, Json] | None:
        """The values of a row, committed to where they are not plain."""
        if row is None:
            return None
        return {
            name: value
            if modes.get(name) in ("plain", "hidden") or value == {"hidden": True}
            else self.commit(f"{side}.{name}", value)
            for name, value in row.items()
        }


def entry_of(raw: Raw, modes: Mapping[str, str], *, seed: bytes, key: bytes | None, database: str) -> Entry:
    """The entry of an event. `modes`: of the table's columns; `key`: what stamps are checked with."""
    values = _Values(seed)
    who = read_stamp(key, raw.stamp, database=database, xid=raw.xid, pid=raw.pid) if raw.stamp else None
    if who is None:
        actor: dict[str, Json] = {"role": raw.role, "verified": False}
        if raw.stamp:
            actor["forged"] = True
        name = f"role:{raw.role}"
    else:
        actor = {"id": who.user, "verified": True}
        for part, value in (("ip", who.ip), ("login", who.login)):
            if value:
                actor[part] = values.commit(f"actor.{part}", value)
        if who.request:
            actor["request"] = who.request
        name = str(who.user)
    content: dict[str, Json] = {
        "actor": actor,
        "at": instant(raw.at),
        "db": _database(raw),
        "id": raw.id,
        "kind": raw.kind,
        "n": raw.n,
        # A transaction's only event has no number of events beside it.
        "of": 1 if raw.of is None and raw.n == 1 else raw.of,
        "tx": raw.xid,
        "v": VERSION,
    }
    if raw.relation is not None:
        content["table"] = raw.relation
    row_key = _parsed(raw.key)
    if row_key is not None:
        content["key"] = values.row("key", row_key, modes)
    if raw.kind == "row":
        content |= {
            "new": values.row("new", _parsed(raw.new), modes),
            "old": values.row("old", _parsed(raw.old), modes),
            "op": OPERATIONS[raw.op or ""],
        }
        if raw.stale:
            content["careful"] = True
    else:
        content["detail"] = json.loads(raw.new or "{}")
    found = canonical(content)
    return Entry(
        found,
        raw.at,
        raw.relation,
        key_text(row_key) if row_key else None,
        raw.op,
        name,
        seed if values.secret else None,
        canonical(values.secret) if values.secret else None,
    )


def _parsed(row: str | None) -> dict[str, Json] | None:
    return None if row is None else parse_values(row)


def key_text(key: Mapping[str, Json]) -> str:
    """The key of a row as events are found by it: the value where it is one, else the canonical object.

    >>> key_text({"id": 7}), key_text({"a": 1, "b": "x"})
    ('7', '{"a":1,"b":"x"}')
    """
    return str(next(iter(key.values()))) if len(key) == 1 else canonical(dict(key))


def _database(raw: Raw) -> dict[str, Any]:
    found: dict[str, Any] = {"role": raw.role}
    if raw.acting and raw.acting not in ("none", raw.role):
        found["acting"] = raw.acting
    if raw.app:
        found["app"] = raw.app
    if raw.ip:
        found["address"] = raw.ip
    return found


def make_entry(kind: str, detail: Mapping[str, Json], at: datetime, relation: str | None = None) -> Entry:
    """An entry of the log's own: an alarm of the sequencer, or the first of a successor."""
    content: dict[str, Json] = {
        "actor": {"sequencer": True, "verified": True},
        "at": instant(at),
        "detail": dict(detail),
        "kind": kind,
        "v": VERSION,
    }
    if relation is not None:
        content["table"] = relation
    return Entry(canonical(content), at, relation, None, None, "sequencer", None, None)
