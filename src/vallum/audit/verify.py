"""Verify a whole log: every entry hashed again, the tree built again, and both held against what was signed.

The database is not believed in anything: what it holds must lead to a root that was signed, and by
`against`, to the roots that others keep. Work is split among processes by subtrees.
Invariant: a log verifies only if every leaf is there, or is gone as a signed entry of the log itself
declares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from vallum.audit.entries import OPERATIONS, key_text
from vallum.audit.errors import LogForked, MalformedNote, ProofFailed
from vallum.audit.notes import Checkpoint, Note, Verifier
from vallum.audit.proofs import log_key, newest
from vallum.audit.retention import undeclared
from vallum.audit.runs import merge_runs
from vallum.audit.state import Home
from vallum.audit.tiles import WIDTH, TileReader
from vallum.audit.tree import Frontier, check_consistency, consistency, reduce
from vallum.audit.values import opened, salted
from vallum.kernel import NO_PROGRESS, Progress
from vallum.postgres import connect

__all__ = ["Problem", "Verified", "verify"]

Connection = psycopg.Connection[Any]
# Leaves a piece of work; a multiple of a tile, so that each is a row of full subtrees.
_PIECE: Final = 64 * WIDTH
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which event."""

    code: str
    what: str
    index: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return {"code": self.code, "what": self.what, "index": self.index}


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: `size` events up to the checkpoint, `missing` of them let go as declared."""

    origin: str
    size: int
    missing: int
    against: int
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return {
            "origin": self.origin,
            "size": self.size,
            "retained": self.missing,
            "against": self.against,
            "holds": self.holds,
            "problems": [problem.as_dict() for problem in self.problems],
        }


@dataclass(slots=True)
class _Piece:
    """What a process found in its part: roots of full tiles, then the leaves that are left."""

    start: int
    blocks: list[bytes] = field(default_factory=list)
    rest: list[bytes] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    events: int = 0


def verify(
    dsn: str,
    home: Home,
    *,
    against: Sequence[Note] = (),
    key: Verifier | None = None,
    witnesses: Sequence[Verifier] = (),
    filed: bool = True,
    values: bool = False,
    processes: int = 2,
    progress: Progress = NO_PROGRESS,
) -> Verified:
    """Hold the log against its newest checkpoint, and that against older or other ones.

    `against`: checkpoints that were kept elsewhere. `witnesses`: keys that must have signed them. `filed`:
    whether each event is found by what it says itself. `values`: hold each value that can be erased against
    its commitment as well.

    Raises: ProofFailed (there is nothing to verify), KeyRefused, MalformedNote, ConnectionFailed, OSError.
    """
    note, checkpoint = newest(home)
    key = key or log_key(home, checkpoint.origin)
    problems: list[Problem] = []
    if not _signed(note, key, problems, "the newest checkpoint"):
        return Verified(checkpoint.origin, checkpoint.size, 0, 0, tuple(problems))
    tiles = TileReader(home.folder, checkpoint.size, cache=256)
    _check_tiles(tiles, checkpoint, problems)
    _check_against(against, checkpoint, key, witnesses, tiles, problems)
    with connect(dsn, autocommit=True) as connection:
        _check_state(connection, checkpoint, problems)
    missing = _check_leaves(dsn, home, checkpoint, processes, (filed, values), problems, progress)
    return Verified(checkpoint.origin, checkpoint.size, missing, len(against), tuple(problems))


def _signed(note: Note, key: Verifier, problems: list[Problem], what: str) -> bool:
    try:
        if note.verified_by([key]):
            return True
        problems.append(Problem("signature", f"{what} is not signed by the log's key"))
    except MalformedNote as error:
        problems.append(Problem("signature", f"{what}: {error}"))
    return False


def _check_tiles(tiles: TileReader, checkpoint: Checkpoint, problems: list[Problem]) -> None:
    try:
        if tiles.root() != checkpoint.root:
            problems.append(Problem("tiles", "the tiles do not lead to the signed root"))
    except (OSError, LogForked) as error:
        problems.append(Problem("tiles", f"tiles are missing or torn: {error}"))


def _check_against(
    against: Sequence[Note],
    newest_one: Checkpoint,
    key: Verifier,
    witnesses: Sequence[Verifier],
    tiles: TileReader,
    problems: list[Problem],
) -> None:
    for note in against:
        kept = Checkpoint.parse(note.text)
        what = f"the kept checkpoint of {kept.size:,} events"
        if not _signed(note, key, problems, what):
            continue
        if kept.origin != newest_one.origin:
            problems.append(Problem("anchor", f"{what} is of another log, `{kept.origin}`"))
            continue
        try:
            signed = {found for found, _ in note.verified_by(witnesses)}
        except MalformedNote as error:
            problems.append(Problem("witness", f"{what}: {error}"))
            continue
        problems += [
            Problem("witness", f"{what} is not signed by the witness `{w.name}`")
            for w in witnesses
            if w not in signed
        ]
        if kept.size > newest_one.size:
            gone = f"{newest_one.size:,} to {kept.size - 1:,}"
            what = f"the log has {newest_one.size:,} events, and {kept.size:,} were anchored: {gone} are gone"
            problems.append(Problem("size-below-anchor", what, newest_one.size))
            continue
        try:
            proof = consistency(tiles, kept.size, newest_one.size)
            check_consistency(kept.size, newest_one.size, proof, kept.root, newest_one.root)
        except ProofFailed:
            problems.append(Problem("forked", f"{what} has another root: the log was rewritten before it"))
        except (OSError, LogForked) as error:
            problems.append(Problem("tiles", f"tiles are missing or torn: {error}"))


def _check_state(connection: Connection, checkpoint: Checkpoint, problems: list[Problem]) -> None:
    row = connection.execute(
        "SELECT s.origin, s.size, (SELECT max(index) + 1 FROM vallum.audit_leaf) FROM vallum.audit_state s"
    ).fetchone()
    if row is None or row[0] != checkpoint.origin:
        problems.append(Problem("state", "the database is not that of this log"))
        return
    _, size, end = row
    if size < checkpoint.size:
        what = f"the database counts {size:,} events, and {checkpoint.size:,} were signed"
        problems.append(Problem("size-below-anchor", what, size))
    if end is not None and end > size:
        problems.append(Problem("state", f"event {size:,} and later ones are beyond the log's end", size))


def _check_leaves(
    dsn: str,
    home: Home,
    checkpoint: Checkpoint,
    processes: int,
    parts: tuple[bool, bool],
    problems: list[Problem],
    progress: Progress,
) -> int:
    size = checkpoint.size
    progress.start(size, "verifying events")
    pieces: dict[int, _Piece] = {}
    starts = range(0, size, _PIECE)
    work = [(dsn, str(home.folder), size, s, min(s + _PIECE, size), *parts) for s in starts]
    if processes > 1 and len(work) > 1:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_piece, *at) for at in work]):
                piece = done.result()
                pieces[piece.start] = piece
                progress.advance(piece.events)
    else:
        for at in work:
            piece = pieces[at[3]] = _piece(*at)
            progress.advance(piece.events)
    progress.done()
    tree = Frontier(0)
    rest: list[bytes] = []
    for start in starts:
        for block in pieces[start].blocks:
            tree.add(block)
        rest = pieces[start].rest
    found = _root(tree, rest)
    missing = merge_runs(run for start in starts for run in pieces[start].missing)
    for start in starts:
        problems += pieces[start].problems[: max(0, _SHOWN - len(problems))]
    if found != checkpoint.root and not problems:
        problems.append(Problem("root", "the events do not lead to the signed root"))
    if missing:
        with connect(dsn, autocommit=True) as connection:
            _check_missing(connection, missing, problems)
    return sum(end - start for start, end in missing)


def _root(blocks: Frontier, rest: Sequence[bytes]) -> bytes:
    """The root over full tiles and the leaves after them."""
    tail = Frontier(0)
    for leaf in rest:
        tail.add(leaf)
    hashes = [*blocks.hashes, *tail.hashes]
    return Frontier(blocks.size * WIDTH + tail.size, hashes).root


def _check_missing(connection: Connection, missing: list[tuple[int, int]], problems: list[Problem]) -> None:
    """What is gone must be what acts of retention declare."""
    for start, end in undeclared(connection, missing)[:_SHOWN]:
        what = f"event {start:,} is gone" if end == start + 1 else f"events {start:,} to {end - 1:,} are gone"
        problems.append(Problem("missing", f"{what}, and no act of retention declares it", start))


class _Actor(msgspec.Struct):
    id: int | None = None
    role: str | None = None


class _Columns(msgspec.Struct):
    """What an entry says of what it is found by."""

    at: str
    actor: _Actor
    table: str | None = None
    op: str | None = None
    key: dict[str, Any] | None = None


_LETTERS: Final = {name: letter for letter, name in OPERATIONS.items()}
_decode: Final = msgspec.json.Decoder(list[_Columns]).decode

# A tile's entries as one value of bytes: they hold no line ends, and nothing is decoded that need not be.
_ROWS: Final = """
SELECT index / 256, array_agg(index::int8 ORDER BY index),
       convert_to(string_agg(entry, E'\\n' ORDER BY index), 'UTF8'),
       string_agg(coalesce(relation, '') || E'\\x1f' || coalesce(op::text, '') || E'\\x1f'
                  || coalesce(actor, '') || E'\\x1f' || at::text || E'\\x1f' || coalesce(key, ''),
                  E'\\x1e' ORDER BY index)
FROM vallum.audit_leaf WHERE index >= %s AND index < %s AND entry IS NOT NULL GROUP BY 1
"""


_HASHED: Final = """
SELECT index / 256, array_agg(index::int8 ORDER BY index),
       convert_to(string_agg(entry, E'\\n' ORDER BY index), 'UTF8')
FROM vallum.audit_leaf WHERE index >= %s AND index < %s AND entry IS NOT NULL GROUP BY 1
"""


def _piece(dsn: str, folder: str, size: int, start: int, end: int, filed: bool, values: bool) -> _Piece:
    """Verify a part; in a process of its own."""
    found = _Piece(start, events=end - start)
    tiles = TileReader(Path(folder), size)
    with connect(dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        rows = {
            row[0]: row[1:]
            for row in connection.execute(_ROWS if filed else _HASHED, (start, end), binary=True)
        }
        for tile in range(start // WIDTH, (end + WIDTH - 1) // WIDTH):
            first, last = tile * WIDTH, min((tile + 1) * WIDTH, end)
            leaves = _tile(found, tiles, rows.get(tile), first, last, filed)
            if len(leaves) == WIDTH:
                found.blocks.append(reduce(leaves))
            else:
                found.rest = leaves
        if values:
            _check_values(connection, found, start, end)
    return found


def _tile(found: _Piece, tiles: TileReader, row: Any, first: int, last: int, filed: bool) -> list[bytes]:
    """The hashes of one tile's leaves, from the entries; from the tile itself where an entry is gone."""
    try:
        signed = list(tiles.leaves(first, last))
    except (OSError, LogForked):
        signed = []
    indexes, entries = ([], []) if row is None else (row[0], row[1].split(b"\n"))
    columns = row[2].split("\x1e") if filed and row is not None else []
    sha256 = hashlib.sha256
    leaves = [sha256(b"\0" + entry).digest() for entry in entries]
    found.problems += [
        Problem("index", f"event {index:,} is filed under something else", index)
        for index, content, column in zip(indexes, _contents(entries) if filed else (), columns, strict=False)
        if content is None or not _is_found_by(content, column)
    ]
    if leaves == signed and len(indexes) == last - first:
        return leaves
    have = dict(zip(indexes, leaves, strict=False))
    whole = []
    for index in range(first, last):
        expected = signed[index - first] if signed else b""
        leaf = have.get(index)
        if leaf is None:
            found.missing.append((index, index + 1))
        elif leaf != expected:
            found.problems.append(_altered(index, leaf, expected, signed, first))
        whole.append(leaf if leaf is not None else expected)
    return whole


def _altered(index: int, leaf: bytes, expected: bytes, signed: Sequence[bytes], first: int) -> Problem:
    if leaf in signed:
        what = f"event {index:,} stands in the place of another: it is event {first + signed.index(leaf):,}"
        return Problem("reordered", what, index)
    if not expected:
        return Problem("tiles", f"event {index:,} has no hash in the tiles", index)
    return Problem("altered", f"event {index:,} is not the one that was signed", index)


def _contents(entries: Sequence[bytes]) -> list[_Columns | None]:
    """What entries say they are found by; None for one that cannot be read."""
    try:
        return [*_decode(b"[" + b",".join(entries) + b"]")]
    except msgspec.DecodeError:
        return [_content(entry) for entry in entries]


def _content(entry: bytes) -> _Columns | None:
    try:
        return _decode(b"[" + entry + b"]")[0]
    except (msgspec.DecodeError, IndexError):
        return None


def _is_found_by(content: _Columns, column: str) -> bool:
    """Whether what an event is found by is what it says itself."""
    who, at, key = content.actor, content.at, content.key
    name = str(who.id) if who.id is not None else f"role:{who.role}" if who.role else "sequencer"
    # As PostgreSQL writes the instant.
    moment = f"{at[:10]} {at[11:26].rstrip('0').rstrip('.')}+00"
    expected = f"{content.table or ''}\x1f{_LETTERS.get(content.op or '', '')}\x1f{name}\x1f{moment}\x1f"
    if key is None:
        return column == expected
    for value in key.values():
        if isinstance(value, dict):
            # The key of a row whose key is personal is erased with it.
            return column.startswith(expected)
    return column == expected + key_text(key)


def _check_values(connection: Connection, found: _Piece, start: int, end: int) -> None:
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
