"""Verify a whole log: every entry hashed again, the tree built again, and both held against what was signed.

The database is not believed in anything: what it holds must lead to a root that was signed, and by
`against`, to the roots that others keep. Work is split among processes by subtrees.
Invariant: a log verifies only if every leaf is there, or is gone as a signed entry of the log itself
declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from vallum.audit.errors import LogForked, MalformedNote, ProofFailed
from vallum.audit.leaves import Piece, Work, verify_leaves
from vallum.audit.notes import Checkpoint, Note, Verifier
from vallum.audit.problem import Problem
from vallum.audit.proofs import log_key, newest
from vallum.audit.retention import undeclared
from vallum.audit.runs import merge_runs
from vallum.audit.state import Home
from vallum.audit.succession import predecessors
from vallum.audit.tiles import WIDTH, TileReader
from vallum.audit.tree import Frontier, check_consistency, consistency
from vallum.kernel import NO_PROGRESS, Progress
from vallum.postgres import connect

__all__ = ["Verified", "verify"]

Connection = psycopg.Connection[Any]
_SHOWN: Final = 100


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
    with connect(dsn, autocommit=True) as connection:
        _check_state(connection, checkpoint, problems)
        before = {kept.origin: kept for kept in predecessors(connection)}
    for kept in against:
        _check_against(kept, checkpoint, before, key, witnesses, tiles, problems)
    work = Work(dsn, home.folder, checkpoint.size, filed, values)
    missing = _check_leaves(work, checkpoint, processes, problems, progress)
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
    note: Note,
    newest_one: Checkpoint,
    before: Mapping[str, Checkpoint],
    key: Verifier,
    witnesses: Sequence[Verifier],
    tiles: TileReader,
    problems: list[Problem],
) -> None:
    kept = Checkpoint.parse(note.text)
    what = f"the kept checkpoint of {kept.size:,} events"
    # A log that this one succeeds was signed by the same key, under its own name.
    ended = before.get(kept.origin)
    if not _signed(note, replace(key, name=kept.origin) if ended else key, problems, what):
        return
    if kept.origin != newest_one.origin and ended is None:
        problems.append(Problem("anchor", f"{what} is of another log, `{kept.origin}`"))
        return
    try:
        signed = {found for found, _ in note.verified_by(witnesses)}
    except MalformedNote as error:
        problems.append(Problem("witness", f"{what}: {error}"))
        return
    problems += [
        Problem("witness", f"{what} is not signed by the witness `{w.name}`")
        for w in witnesses
        if w not in signed
    ]
    size = ended.size if ended is not None else newest_one.size
    if kept.size > size:
        gone = f"{size:,} to {kept.size - 1:,}"
        what = f"the log has {size:,} events, and {kept.size:,} were anchored: {gone} are gone"
        problems.append(Problem("size-below-anchor", what, size))
        return
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
    work: Work, checkpoint: Checkpoint, processes: int, problems: list[Problem], progress: Progress
) -> int:
    """Build the tree again; how many leaves are gone, as declared."""
    progress.start(work.size, "verifying events")
    pieces: list[Piece] = []
    for piece in verify_leaves(work, processes):
        pieces.append(piece)
        progress.advance(piece.events)
    progress.done()
    pieces.sort(key=lambda piece: piece.start)
    tree = Frontier(0)
    for piece in pieces:
        for block in piece.blocks:
            tree.add(block)
        problems += piece.problems[: max(0, _SHOWN - len(problems))]
    if _root(tree, pieces[-1].rest if pieces else ()) != checkpoint.root and not problems:
        problems.append(Problem("root", "the events do not lead to the signed root"))
    missing = merge_runs(run for piece in pieces for run in piece.missing)
    if missing:
        with connect(work.dsn, autocommit=True) as connection:
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
