"""Verify the leaves of a log: each entry hashed again, and what it is filed under held against what it says.

Done in pieces, by several processes: a piece is a row of whole tiles, read a tile at a time as one value
each, so that neither PostgreSQL nor Python handles events one by one more than hashing takes.
Invariant: what is returned as the hash of a leaf is computed here from the entry, or, where the entry is
gone, named among the missing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from vallum.audit.errors import LogForked
from vallum.audit.filed import TOGETHER, agree, elsewhere, is_found_by_key, misfiled
from vallum.audit.problem import Problem
from vallum.audit.tiles import WIDTH, TileReader
from vallum.audit.tree import reduce
from vallum.audit.values import opened, salted
from vallum.postgres import connect

__all__ = ["Piece", "Work", "verify_leaves"]

Connection = psycopg.Connection[Any]
# Leaves a piece of work; a multiple of a tile, so that each is a row of full subtrees.
_PIECE: Final = 64 * WIDTH


@dataclass(frozen=True, slots=True)
class Work:
    """The leaves to verify: of a database and a folder of tiles, up to `size`.

    `filed`: whether each event is found by what it says itself; `values`: whether the values that can be
    erased are those committed to.
    """

    dsn: str
    folder: Path
    size: int
    filed: bool
    values: bool


@dataclass(slots=True)
class Piece:
    """What was found in a part: roots of full tiles, then the leaves that are left."""

    start: int
    events: int
    blocks: list[bytes] = field(default_factory=list)
    rest: list[bytes] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def verify_leaves(work: Work, processes: int) -> Iterator[Piece]:
    """The pieces of a log, each as soon as it is done, in any order.

    This process works as well: the others take a moment to start.

    Raises: ConnectionFailed, psycopg.Error.
    """
    left = deque((start, min(start + _PIECE, work.size)) for start in range(0, work.size, _PIECE))
    others = min(processes, len(left)) - 1
    with _reading(work) as connection:
        if others < 1:
            yield from (_piece(connection, work, *at) for at in left)
            return
        running: set[Future[Piece]] = set()
        spawn = get_context("spawn")
        with ProcessPoolExecutor(others, mp_context=spawn, initializer=_start, initargs=(work,)) as pool:
            while left or running:
                while left and len(running) < 2 * others:
                    running.add(pool.submit(_elsewhere, *left.popleft()))
                if left:
                    yield _piece(connection, work, *left.popleft())
                done, running = wait(running, timeout=0 if left else None, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)


@contextmanager
def _reading(work: Work) -> Iterator[Connection]:
    with connect(work.dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET datestyle = 'ISO'")
        yield connection


# What a process of the pool works with: set once, as it starts; closed as it ends.
_own: tuple[Connection, Work]
_open: Final = ExitStack()


def _start(work: Work) -> None:
    global _own
    _own = (_open.enter_context(_reading(work)), work)


def _elsewhere(start: int, end: int) -> Piece:
    return _piece(*_own, start, end)


# A tile's entries as one value of bytes: they hold no line ends, and nothing is decoded that need not be.
# One index scan a tile gives them in order, where grouping by tile would sort. Indexes are told only where
# they are not all there.
_TILES: Final = """
SELECT tile, e.* FROM generate_series(%(first)s::int8, %(last)s::int8) tile, LATERAL (
    SELECT CASE WHEN count(*) < 256 THEN array_agg(index::int8 ORDER BY index) END,
           convert_to(string_agg(entry, E'\\n' ORDER BY index), 'UTF8'){filed}
    FROM vallum.audit_leaf
    WHERE index >= greatest(tile * 256, %(start)s) AND index < least(tile * 256 + 256, %(end)s)
    AND entry IS NOT NULL) e
"""


def _piece(connection: Connection, work: Work, start: int, end: int) -> Piece:
    """Verify a part; in whichever process."""
    found = Piece(start, end - start)
    tiles = TileReader(work.folder, work.size)
    query = _TILES.format(filed=TOGETHER if work.filed else "")
    bounds = {"start": start, "end": end, "first": start // WIDTH, "last": (end - 1) // WIDTH}
    with connection.cursor() as cursor:
        # Row by row: the server reads ahead while this hashes, and a piece is never in memory as a whole.
        for tile, indexes, text, *filed in cursor.stream(query.encode(), bounds, binary=True):
            wanted = range(tile * WIDTH, min((tile + 1) * WIDTH, end))
            numbers = indexes or (wanted if text is not None else ())
            entries = [] if text is None else text.split(b"\n")
            if len(entries) != len(numbers):
                # Somebody broke a line: no entry of ours does.
                entries = _one_by_one(work, wanted)
            leaves = _leaves(found, tiles, numbers, entries, wanted)
            if filed and entries and not agree(entries, filed):
                with _reading(work) as another:
                    found.problems += misfiled(another, wanted)
            if len(leaves) == WIDTH:
                found.blocks.append(reduce(leaves))
            else:
                found.rest = leaves
    if work.values:
        _check_values(connection, found, start, end)
    return found


def _one_by_one(work: Work, wanted: range) -> list[bytes]:
    with _reading(work) as connection:
        rows = connection.execute(
            "SELECT convert_to(entry, 'UTF8') FROM vallum.audit_leaf WHERE index >= %s AND index < %s"
            " AND entry IS NOT NULL ORDER BY index",
            (wanted.start, wanted.stop),
        )
        return [entry for (entry,) in rows]


def _leaves(
    found: Piece, tiles: TileReader, indexes: Sequence[int], entries: Sequence[bytes], wanted: range
) -> list[bytes]:
    """The hashes of one tile's leaves, from the entries; from the tile itself where an entry is gone."""
    try:
        signed = list(tiles.leaves(wanted.start, wanted.stop))
    except (OSError, LogForked):
        signed = []
    sha256 = hashlib.sha256
    leaves = [sha256(b"\0" + entry).digest() for entry in entries]
    if leaves == signed and len(indexes) == len(wanted):
        return leaves
    have = dict(zip(indexes, leaves, strict=False))
    whole = []
    for index in wanted:
        expected = signed[index - wanted.start] if signed else b""
        leaf = have.get(index)
        if leaf is None:
            found.missing.append((index, index + 1))
        elif leaf != expected:
            found.problems.append(_altered(index, leaf, expected, signed, wanted.start))
        whole.append(leaf if leaf is not None else expected)
    return whole


def _altered(index: int, leaf: bytes, expected: bytes, signed: Sequence[bytes], first: int) -> Problem:
    if leaf in signed:
        what = f"event {index:,} stands in the place of another: it is event {first + signed.index(leaf):,}"
        return Problem("reordered", what, index)
    if not expected:
        return Problem("tiles", f"event {index:,} has no hash in the tiles", index)
    return Problem("altered", f"event {index:,} is not the one that was signed", index)


# Values that can be erased


def _check_values(connection: Connection, found: Piece, start: int, end: int) -> None:
    rows: Iterable[Any] = connection.execute(
        "SELECT index, key, entry, seed, secret FROM vallum.audit_leaf WHERE index >= %s AND index < %s"
        " AND entry IS NOT NULL AND secret IS NOT NULL ORDER BY index",
        (start, end),
    )
    for index, filed, entry, seed, secret in rows:
        content, altered = opened(msgspec.json.decode(entry), salted(seed, secret))
        if not is_found_by_key(content.get("key"), filed):
            found.problems.append(elsewhere(index))
        found.problems += [
            Problem("value", f"the value of {label} of event {index:,} is not the one recorded", index)
            for label in altered
        ]
