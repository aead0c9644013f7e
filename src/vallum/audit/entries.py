"""From what a trigger wrote to an entry of the log: canonical, complete, with personal values committed to.

Pure: random seeds are handed in. An entry's form is documented in docs/reference/audit.md and may grow, never
change: what was written once is verified forever.
Invariant: a value that is not known to be plain stands in the entry as a commitment only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vallum.audit.actors import read_stamp
from vallum.audit.canonical import Json, canonical, commitment, salt_of
from vallum.audit.waiting import LETTERS, Waiting, sides

__all__ = ["VERSION", "Entry", "entry_of", "instant", "make_entry"]

VERSION: Final = 1


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


def entry_of(
    event: Waiting,
    of: int | None,
    modes: Mapping[str, str],
    *,
    seed: bytes,
    key: bytes | None,
    database: str,
) -> Entry:
    """The entry of an event.

    `of`: how many its transaction has; `modes`: of the table's columns; `key`: what stamps are checked with.
    Raises: ValueError (it has no event's form).
    """
    values = _Values(seed)
    actor, name = _actor(event, values, key, database)
    who = event.who
    is_row = event.kind in LETTERS
    content: dict[str, Json] = {
        "actor": actor,
        "at": instant(event.at),
        "db": _database(event),
        "id": event.id,
        "kind": "row" if is_row else event.kind,
        "n": who.n,
        # A transaction's only event has no number of events beside it.
        "of": 1 if of is None and who.n == 1 else of,
        "tx": event.xid,
        "v": VERSION,
    }
    if event.relation is not None:
        content["table"] = event.relation
    if event.key is not None:
        content["key"] = values.row("key", event.key, modes)
    if is_row:
        old, new = sides(event.kind, event.content)
        content |= {
            "new": values.row("new", new, modes),
            "old": values.row("old", old, modes),
            "op": event.kind,
        }
        if event.careful:
            content["careful"] = True
    else:
        content["detail"] = dict(event.content)
    return Entry(
        canonical(content),
        event.at,
        event.relation,
        key_text(event.key) if event.key else None,
        LETTERS.get(event.kind),
        name,
        seed if values.secret else None,
        canonical(values.secret) if values.secret else None,
    )


def _actor(event: Waiting, values: _Values, key: bytes | None, database: str) -> tuple[dict[str, Json], str]:
    """Who acted, and under which name that is found: an application's user, proven, or else a role."""
    text, role = event.who.stamp, event.who.role
    who = read_stamp(key, text, database=database, xid=event.xid, pid=event.who.pid) if text else None
    if who is None:
        actor: dict[str, Json] = {"role": role, "verified": False}
        if text:
            actor["forged"] = True
        return actor, f"role:{role}"
    actor = {"id": who.user, "verified": True}
    for part, value in (("ip", who.ip), ("login", who.login)):
        if value:
            actor[part] = values.commit(f"actor.{part}", value)
    if who.request:
        actor["request"] = who.request
    return actor, str(who.user)


def key_text(key: Mapping[str, Json]) -> str:
    """The key of a row as events are found by it: the value where it is one, else the canonical object.

    >>> key_text({"id": 7}), key_text({"a": 1, "b": "x"})
    ('7', '{"a":1,"b":"x"}')
    """
    return str(next(iter(key.values()))) if len(key) == 1 else canonical(dict(key))


def _database(event: Waiting) -> dict[str, Any]:
    who = event.who
    found: dict[str, Any] = {"role": who.role}
    if who.acting and who.acting not in ("none", who.role):
        found["acting"] = who.acting
    if who.app:
        found["app"] = who.app
    if who.ip:
        found["address"] = who.ip
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
