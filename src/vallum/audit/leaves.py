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
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from vallum.audit.entries import OPERATIONS, key_text
from vallum.audit.errors import LogForked
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
    if others < 1:
        yield from (_piece(work, *at) for at in left)
        return
    running: set[Future[Piece]] = set()
    with ProcessPoolExecutor(others, mp_context=get_context("spawn")) as pool:
        while left or running:
            while left and len(running) < 2 * others:
                running.add(pool.submit(_piece, work, *left.popleft()))
            if left:
                yield _piece(work, *left.popleft())
            done, running = wait(running, timeout=0 if left else None, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


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
_FILED: Final = """,
           string_agg(coalesce(relation, '') || E'\\x1f' || coalesce(op::text, '') || E'\\x1f'
                      || coalesce(actor, '') || E'\\x1f' || at::text || E'\\x1f' || coalesce(key, ''),
                      E'\\x1e' ORDER BY index)"""


def _piece(work: Work, start: int, end: int) -> Piece:
    """Verify a part; in whichever process."""
    found = Piece(start, end - start)
    tiles = TileReader(work.folder, work.size)
    query = _TILES.format(filed=_FILED if work.filed else "")
    bounds = {"start": start, "end": end, "first": start // WIDTH, "last": (end - 1) // WIDTH}
    with connect(work.dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        for tile, indexes, entries, *filed in connection.execute(query.encode(), bounds, binary=True):
            first, last = tile * WIDTH, min((tile + 1) * WIDTH, end)
            texts = [] if entries is None else entries.split(b"\n")
            numbers = range(first, last) if indexes is None and texts else indexes or ()
            if work.filed and texts:
                found.problems += _misfiled(numbers, texts, filed[0])
            leaves = _leaves(found, tiles, numbers, texts, range(first, last))
            if len(leaves) == WIDTH:
                found.blocks.append(reduce(leaves))
            else:
                found.rest = leaves
        if work.values:
            _check_values(connection, found, start, end)
    return found


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


# What events are filed under


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


_LETTERS: Final = {name: letter for letter, name in OPERATIONS.items()}
_decode: Final = msgspec.json.Decoder(list[_Says]).decode


def _misfiled(indexes: Iterable[int], entries: Sequence[bytes], filed: str) -> list[Problem]:
    """Events that are filed under something else than they say."""
    return [
        Problem("index", f"event {index:,} is filed under something else", index)
        for index, says, columns in zip(indexes, _says(entries), filed.split("\x1e"), strict=False)
        if says is None or not _is_found_by(says, columns)
    ]


def _says(entries: Sequence[bytes]) -> list[_Says | None]:
    """What entries say they are found by; None for one that cannot be read."""
    try:
        return [*_decode(b"[" + b",".join(entries) + b"]")]
    except msgspec.DecodeError:
        return [_says_one(entry) for entry in entries]


def _says_one(entry: bytes) -> _Says | None:
    try:
        return _decode(b"[" + entry + b"]")[0]
    except (msgspec.DecodeError, IndexError):
        return None


def _is_found_by(says: _Says, columns: str) -> bool:
    """Whether what an event is found by is what it says itself."""
    who, at, key = says.actor, says.at, says.key
    name = str(who.id) if who.id is not None else f"role:{who.role}" if who.role else "sequencer"
    # As PostgreSQL writes the instant.
    moment = at[11:26]
    if moment[-1:] == "0":
        moment = moment.rstrip("0").rstrip(".")
    head = f"{says.table or ''}\x1f{_LETTERS.get(says.op or '', '')}\x1f{name}\x1f{at[:10]} {moment}+00\x1f"
    if key is None:
        return columns == head
    if dict in map(type, key.values()):
        # The key of a row whose key is personal is erased with it.
        return columns.startswith(head)
    return columns == head + key_text(key)


# Values that can be erased


def _check_values(connection: Connection, found: Piece, start: int, end: int) -> None:
    rows: Iterable[Any] = connection.execute(
        "SELECT index, entry, seed, secret FROM vallum.audit_leaf WHERE index >= %s AND index < %s"
        " AND entry IS NOT NULL AND secret IS NOT NULL ORDER BY index",
        (start, end),
    )
    for index, entry, seed, secret in rows:
        _, altered = opened(msgspec.json.decode(entry), salted(seed, secret))
        found.problems += [
            Problem("value", f"the value of {label} of event {index:,} is not the one recorded", index)
            for label in altered
        ]
