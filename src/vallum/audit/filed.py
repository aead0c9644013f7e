"""Is an event filed under what it says itself? Else a search for its record, its actor or its time misses it.

A tile's events are compared together, a column at a time: one text of what they say, one of what PostgreSQL
has. Only where these differ is each event looked at.
Invariant: whether together or one by one, the same events are found wanting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg

from vallum.audit.entries import instant, key_text
from vallum.audit.problem import Problem
from vallum.audit.values import ALTERED, ERASED
from vallum.audit.waiting import LETTERS

__all__ = ["TOGETHER", "agree", "elsewhere", "is_found_by_key", "misfiled"]

Connection = psycopg.Connection[Any]
_COLUMNS: Final = ("relation", "op", "actor", "key", "at")
_NEXT: Final = "\x1e"
_NONE: Final = "\x1d"
# What a query for tiles asks for besides the entries.
TOGETHER: Final = "".join(
    f",\n           string_agg(coalesce({column}::text, E'\\x1d'), E'\\x1e' ORDER BY index)"
    for column in _COLUMNS
)


class _Actor(msgspec.Struct, gc=False):
    id: int | None = None
    role: str | None = None


class _Says(msgspec.Struct, gc=False):
    """What an entry says of what it is found by. Not watched for cycles: there are none."""

    at: str
    actor: _Actor
    table: str | None = None
    op: str | None = None
    key: dict[str, Any] | None = None


_decode: Final = msgspec.json.Decoder(list[_Says]).decode


def agree(entries: Sequence[bytes], filed: Sequence[str]) -> bool:
    """Whether a tile's events are filed under what they say, as far as can be told of them together.

    `filed`: what TOGETHER gave. False tells to look at each.
    """
    try:
        says = _decode(b"[" + b",".join(entries) + b"]")
    except msgspec.DecodeError:
        return False
    if len(says) != len(entries):
        return False
    relation, op, actor, key, at = filed
    actors = [s.actor for s in says]
    return (
        _same([s.table for s in says], relation)
        and _same([s.op and LETTERS.get(s.op, "?") for s in says], op)
        and _same([str(a.id) if a.id is not None else _name(a) for a in actors], actor)
        and _same(_keys(says, key), key)
        and _moments([s.at for s in says]) == at
    )


def _same(values: Sequence[str | None], filed: str) -> bool:
    """Whether the texts are the same, and nothing in a value looks like what stands between values."""
    nulls = values.count(None)
    text = _NEXT.join([_NONE if value is None else value for value in values] if nulls else values)  # type: ignore[arg-type]
    return text == filed and text.count(_NEXT) == len(values) - 1 and text.count(_NONE) == nulls


def _name(actor: _Actor) -> str:
    if actor.id is not None:
        return str(actor.id)
    return f"role:{actor.role}" if actor.role else "sequencer"


def _keys(says: Sequence[_Says], filed: str) -> list[str | None]:
    """What rows are found by. A personal key is erased with its row: whatever stands there is taken."""
    found: list[str | None] = []
    there: list[str] | None = None
    for event in says:
        key = event.key
        if key is None:
            found.append(None)
        elif len(key) == 1 and type(value := next(iter(key.values()))) is int:
            # Most keys: no call is made for them.
            found.append(str(value))
        elif _is_personal(key):
            there = there or filed.split(_NEXT)
            at = there[len(found)] if len(there) == len(says) else _NONE
            found.append(None if at == _NONE else at)
        else:
            found.append(key_text(key))
    return found


def _is_personal(key: Mapping[str, Any]) -> bool:
    """Whether a part of the key is a commitment."""
    return dict in map(type, key.values())


def _moments(instants: Sequence[str]) -> str:
    """Instants of entries as PostgreSQL writes them in UTC, which is without zeros at the end.

    >>> _moments(["2026-03-01T12:00:00.250000Z", "2026-03-01T12:00:00.000000Z"]).split(_NEXT)
    ['2026-03-01 12:00:00.25+00', '2026-03-01 12:00:00+00']
    """
    text = _NEXT.join(instants)
    for _ in "micros":
        text = text.replace("0Z", "Z")
    return text.replace(".Z", "Z").replace("Z", "+00").replace("T", " ")


def misfiled(connection: Connection, places: range) -> Iterator[Problem]:
    """The events at these places that are filed under something else than they say, each looked at."""
    rows = connection.execute(
        "SELECT index, convert_to(entry, 'UTF8'), relation, op::text, actor, key, at FROM vallum.audit_leaf"
        " WHERE index >= %s AND index < %s AND entry IS NOT NULL ORDER BY index",
        (places.start, places.stop),
    )
    for index, entry, *filed in rows:
        if not _is_found_by(entry, *filed):
            yield elsewhere(index)


def elsewhere(index: int) -> Problem:
    """That an event is not found by what it says."""
    return Problem("index", f"event {index:,} is filed under something else", index)


def is_found_by_key(key: Mapping[str, Any] | None, filed: str | None) -> bool:
    """Whether an event whose values are known is found by its key; one that was erased is by none."""
    if key is None or ERASED in key.values() or ALTERED in key.values():
        return True
    return filed == key_text(key)


def _is_found_by(
    entry: bytes,
    relation: str | None,
    op: str | None,
    actor: str | None,
    key: str | None,
    at: datetime | None,
) -> bool:
    try:
        (says,) = _decode(b"[" + entry + b"]")
    except (msgspec.DecodeError, ValueError):
        return False
    personal = says.key is not None and _is_personal(says.key)
    return (
        (says.table, says.op and LETTERS.get(says.op, "?"), _name(says.actor)) == (relation, op, actor)
        and (personal or key == (None if says.key is None else key_text(says.key)))
        and at is not None
        and says.at == instant(at)
    )
