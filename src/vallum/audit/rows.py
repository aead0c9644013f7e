"""Are the rows of a table what the log says? Whoever switched triggers off and on again left a difference.

The newest values the log has of a row must be those of the row. Rows are read some thousand at a time, each
time with their events; of a row that was read eight bytes are kept, to know which rows of the log are gone.
Rows whose key changed, whose events wait in the inbox or are filed elsewhere are looked at together at the
end: only these are in memory as a whole.
Limit: of values that were never recorded (rows older than auditing, without a baseline) nothing is known.
"""

from __future__ import annotations

import json
import secrets
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import psycopg

from vallum.audit.canonical import Json
from vallum.audit.capture import rows_as_json
from vallum.audit.coverage import enabled_by_log
from vallum.audit.entries import key_text
from vallum.audit.problem import Problem
from vallum.audit.tables import Table, read_tables
from vallum.audit.values import ALTERED, ERASED, opened, salted
from vallum.audit.waiting import LETTERS, members, sides
from vallum.kernel import NO_PROGRESS, Progress

__all__ = ["check_rows"]

Connection = psycopg.Connection[Any]
_BATCH: Final = 2_000


def check_rows(
    connection: Connection, relations: list[str] | None = None, progress: Progress = NO_PROGRESS
) -> list[Problem]:
    """Rows whose values are not the newest that the log has of them, each named with its newest event."""
    enabled = enabled_by_log(connection)
    tables = read_tables(connection, enabled if relations is None else relations)
    problems: list[Problem] = []
    progress.start(len(tables), "comparing rows")
    for relation, table in tables.items():
        if table.key and relation in enabled:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                problems += _Comparison(connection, table, enabled[relation].modes).problems()
        progress.advance()
    progress.done()
    return problems


@dataclass(slots=True)
class _Newest:
    """What the log has of a row: its values and the event that came last; gone: it was deleted."""

    index: int
    values: dict[str, Json]
    gone: bool


class _Seen:
    """Which rows were read: eight bytes of each, under a key that nobody can foresee."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._parts = [array("Q") for _ in range(256)]

    def _digest(self, name: str) -> int:
        return int.from_bytes(blake2b(name.encode(), digest_size=8, key=self._secret).digest(), "big")

    def add(self, name: str) -> None:
        digest = self._digest(name)
        self._parts[digest >> 56].append(digest)

    def sort(self) -> None:
        """To be done once all are added."""
        self._parts = [array("Q", sorted(part)) for part in self._parts]

    def __contains__(self, name: str) -> bool:
        digest = self._digest(name)
        part = self._parts[digest >> 56]
        at = bisect_left(part, digest)
        return at < len(part) and part[at] == digest


class _Comparison:
    """The rows of one table beside the log, within one snapshot."""

    def __init__(self, connection: Connection, table: Table, modes: Mapping[str, str]) -> None:
        self._connection, self._table = connection, table
        self._columns = [c.name for c in table.columns if modes.get(c.name) != "hidden"]
        self._seen = _Seen()
        self._found: dict[str, Problem] = {}
        # What is looked at together: rows by what they are found by, and events that are filed elsewhere.
        self._together: set[str] = set()
        self._strays: set[int] = set()

    def problems(self) -> list[Problem]:
        """What differs."""
        pending = list(self._pending())
        self._together.update(key_text(key) for _, key, _, _ in pending)
        for live in self._live():
            for name in live:
                self._seen.add(name)
            self._compare(live, self._fold(self._events(live), live))
        self._seen.sort()
        for names in filter(None, self._names()):
            self._gone(self._fold(self._events(names), names))
        for _ in self._fold(self._unnamed(), ()):
            pass
        self._look_together(pending)
        return list(self._found.values())

    def _look_together(self, pending: Iterable[_Event]) -> None:
        if not self._together:
            return
        for name in self._together:
            self._found.pop(name, None)
        newest: dict[str, _Newest] = {}
        for index, key, op, new in (*self._events(self._together, self._strays), *pending):
            _apply(newest, self._table, index, key, op, new)
        newest = {name: at for name, at in newest.items() if name in self._together}
        for live in self._live():
            mine = {name: text for name, text in live.items() if name in self._together}
            self._compare(mine, newest)
            for name in mine:
                newest.pop(name, None)
        self._gone(newest)

    def _compare(self, live: Mapping[str, str], newest: Mapping[str, _Newest]) -> None:
        for name, text in live.items():
            at = newest.get(name)
            if at is None:
                continue
            if at.gone:
                self._differs(name, "deleted in the log, and there", at)
                continue
            values = members(text)
            wrong = [c for c in self._columns if c in at.values and _is_other(at.values[c], values[c])]
            if wrong:
                self._differs(name, f"{', '.join(wrong)} changed without an event", at)

    def _gone(self, newest: Mapping[str, _Newest]) -> None:
        for name, at in newest.items():
            if not at.gone:
                self._differs(name, "in the log, and gone without an event", at)

    def _differs(self, name: str, what: str, at: _Newest) -> None:
        self._found[name] = Problem("row-differs", f"{self._table.relation} {name}: {what}", at.index)

    # Reading

    def _live(self) -> Iterator[dict[str, str]]:
        """The rows there are, by what they are found by; some at a time."""
        with self._connection.cursor(name="vallum_rows") as cursor:
            cursor.execute(rows_as_json(self._table).encode())
            while rows := cursor.fetchmany(_BATCH):
                yield {key_text(members(key)): text for key, text in rows}

    def _names(self) -> Iterator[set[str]]:
        """What events are filed under where no row is; some at a time."""
        with self._connection.cursor(name="vallum_names") as cursor:
            cursor.execute(
                "SELECT DISTINCT key FROM vallum.audit_leaf WHERE relation = %s AND op IS NOT NULL"
                " AND entry IS NOT NULL AND key IS NOT NULL",
                (self._table.relation,),
            )
            while rows := cursor.fetchmany(_BATCH):
                yield {name for (name,) in rows if name not in self._seen}

    def _events(self, names: Collection[str], indexes: Collection[int] = ()) -> Iterator[_Event]:
        return self._read("(key = ANY (%s) OR index = ANY (%s))", list(names), list(indexes))

    def _unnamed(self) -> Iterator[_Event]:
        return self._read("key IS NULL")

    def _read(self, where: str, *values: Any) -> Iterator[_Event]:
        """Events of the log in their order. One that is filed elsewhere is looked at later as well."""
        with self._connection.cursor(name="vallum_fold") as cursor:
            cursor.execute(
                "SELECT index, key, entry, seed, secret FROM vallum.audit_leaf WHERE relation = %s"  # noqa: S608
                f" AND op IS NOT NULL AND entry IS NOT NULL AND {where} ORDER BY index".encode(),
                (self._table.relation, *values),
            )
            for index, filed, entry, seed, secret in cursor:
                content, _ = opened(json.loads(entry), salted(seed, secret))
                key = content["key"]
                if key is None or ERASED in key.values():
                    continue
                name = key_text(key)
                if name != filed:
                    self._together.add(name)
                    self._strays.add(index)
                yield index, key, content["op"], content["new"]

    def _pending(self) -> Iterator[_Event]:
        """Events that are not in the log yet."""
        size = self._connection.execute("SELECT size FROM vallum.audit_state").fetchone()
        rows = self._connection.execute(
            "SELECT key, kind, content FROM vallum.audit_inbox WHERE relation = %s AND kind = ANY (%s)"
            " AND key IS NOT NULL ORDER BY id",
            (self._table.relation, list(LETTERS)),
        )
        for key, kind, content in rows:
            yield size[0] if size else 0, members(key), kind, sides(kind, members(content))[1]

    def _fold(self, events: Iterable[_Event], names: Collection[str]) -> dict[str, _Newest]:
        """The newest values of these rows."""
        found: dict[str, _Newest] = {}
        for index, key, op, new in events:
            moved = _apply(found, self._table, index, key, op, new)
            if moved is not None:
                self._together |= {key_text(key), moved}
        return {name: at for name, at in found.items() if name in names}


_Event = tuple[int, Mapping[str, Json], str, Mapping[str, Json] | None]


def _apply(
    found: dict[str, _Newest],
    table: Table,
    index: int,
    key: Mapping[str, Json],
    op: str,
    new: Mapping[str, Json] | None,
) -> str | None:
    """Take an event into account; where it changed the key itself, says under which the row goes on."""
    name = key_text(key)
    if op in ("unlink", "truncate"):
        found[name] = _Newest(index, {}, gone=True)
        return None
    at = found.get(name)
    values = {**(at.values if at and not at.gone else {}), **(new or {})}
    found[name] = _Newest(index, values, gone=False)
    moved = {**key, **{name: values[name] for name in table.key if name in (new or {})}}
    if op != "write" or moved == dict(key):
        return None
    left = found.pop(name)
    if ERASED in moved.values():
        # Of what it is called now nothing is known any more.
        return None
    found[key_text(moved)] = left
    return key_text(moved)


def _is_other(recorded: Json, live: Json) -> bool:
    if recorded in (ERASED, ALTERED) or recorded == live:
        return False
    # Numbers and instants of rows that were compared as a whole are written otherwise.
    return bool(_loose(recorded) != _loose(live))


def _loose(value: Json) -> Json:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.removesuffix("+00:00")
