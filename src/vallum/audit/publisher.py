"""Tiles, then the signature, then the world: what becomes of a log's new size after its commit.

What was signed is kept outside of the database before anybody sees it. Everything is checked against it: a
log that is shorter, has another past or a clock that went back gets no signature. Whatever fails before the
signature is made good at the next turn or start; an anchor that is down is asked again with the newest
checkpoint.
Invariant: a root is signed only for tiles that are on disk and lead to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import psycopg

from vallum.audit.errors import AnchorFailed, LogForked
from vallum.audit.keys import signing_key
from vallum.audit.notes import Checkpoint, Note, Signature, Signer
from vallum.audit.state import Home, Signed
from vallum.audit.tiles import TileReader, TileWriter, write_durably
from vallum.audit.tree import Frontier, leaf_hash
from vallum.kernel import Clock

__all__ = ["Anchor", "Publisher"]

Connection = psycopg.Connection[Any]
_BATCH: Final = 5_000


class Anchor(Protocol):
    """A place outside of the database that keeps checkpoints."""

    name: str

    def publish(
        self, note: Note, checkpoint: Checkpoint, tiles: TileReader
    ) -> tuple[Sequence[Signature], bytes]:
        """Take a checkpoint; gives cosignatures and a time stamp token, where it has any.

        Raises: AnchorFailed (not taken; it is asked again), LogForked (it has seen another log).
        """
        ...


class Publisher:
    """Keeps the tiles and the checkpoint of a log in its folder up to date."""

    def __init__(
        self,
        home: Home,
        anchors: Sequence[Anchor],
        clock: Clock,
        alarm: Callable[[str, str], None],
        on_step: Callable[[str], None],
    ) -> None:
        self._home, self._anchors, self._clock = home, anchors, clock
        self._alarm, self._on_step = alarm, on_step
        self._pending: list[bytes] = []
        self._unanchored: set[str] = set()

    def recover(self, connection: Connection, origin: str, frontier: Frontier) -> None:
        """Make good what a predecessor left undone. Raises: KeyRefused, LogForked, OSError, psycopg.Error."""
        self._signer = Signer(origin, signing_key(self._home.signing_key))
        self._signed = signed = self._home.signed()
        size = signed.size if signed else 0
        if signed is not None:
            if signed.origin != origin:
                raise LogForked(f"this folder is of the log `{signed.origin}`, not `{origin}`")
            if frontier.size < size:
                raise LogForked(
                    f"the log has {frontier.size:,} events, and {size:,} were signed: a backup was restored, "
                    "or events were deleted",
                    fix="compare with the anchors; a new log declares the loss",
                )
            if TileReader(self._home.folder, size).root() != signed.root:
                raise LogForked("the tiles are not those that were signed", where=str(self._home.folder))
        hashes = list(_hashes(connection, size, frontier.size))
        grown = TileReader(self._home.folder, size).frontier()
        for leaf in hashes:
            grown.add(leaf)
        if (grown.size, grown.root) != (frontier.size, frontier.root):
            raise LogForked(
                f"events {size:,} to {frontier.size:,} are not those that the log's state stands for",
                fix="run `vallum audit verify`",
            )
        self._writer = TileWriter(self._home.folder, size)
        self._unanchored = {anchor.name for anchor in self._anchors}
        self.publish(connection, origin, frontier, hashes)

    def publish(
        self, connection: Connection, origin: str, frontier: Frontier, hashes: Iterable[bytes]
    ) -> None:
        """Write tiles, sign, and show. Raises: LogForked (nothing is signed), psycopg.Error."""
        self._pending += hashes
        if not frontier.size:
            return
        try:
            self._write_tiles(frontier)
        except OSError as error:
            self._alarm("tiles", f"tiles cannot be written, and nothing is signed: {error.strerror}")
            return
        try:
            note = self._sign(Checkpoint(origin, frontier.size, frontier.root))
        except OSError as error:
            self._alarm(
                "signature", f"what is signed cannot be kept, and nothing is signed: {error.strerror}"
            )
            return
        if note is not None:
            self._show(connection, note)

    def _write_tiles(self, frontier: Frontier) -> None:
        if self._pending:
            size = self._signed.size if self._signed else 0
            if self._writer.size != frontier.size - len(self._pending):
                # A disk that was full left it half done: from what was signed, once more.
                self._writer = TileWriter(self._home.folder, size)
                self._writer.extend(self._pending[-(frontier.size - size) :])
            else:
                self._writer.extend(self._pending)
            self._writer.flush()
            if TileReader(self._home.folder, frontier.size).root() != frontier.root:
                self._refuse("the tiles do not lead to the root of the log")
            self._on_step("tiled")

    def _refuse(self, what: str) -> None:
        self._alarm(LogForked.code, what)
        raise LogForked(what)

    def _sign(self, checkpoint: Checkpoint) -> Note | None:
        now, signed = self._clock.now(), self._signed
        note = checkpoint.signed(self._signer)
        if signed is not None:
            if (checkpoint.size, checkpoint.root) == (signed.size, signed.root):
                known = self._home.checkpoint.exists()
                return note if not known or self._unanchored else None
            if checkpoint.size <= signed.size:
                self._refuse(f"a root for {checkpoint.size:,} events was signed before, and it was another")
            if now < signed.at:
                self._refuse(
                    f"the clock was set back: it is {now:%F %T}, the last checkpoint is of {signed.at:%F %T}"
                )
        self._home.remember(Signed(checkpoint.origin, checkpoint.size, checkpoint.root, now))
        self._signed = self._home.signed()
        self._pending = []
        self._on_step("signed")
        self._unanchored = {anchor.name for anchor in self._anchors}
        return note

    def _show(self, connection: Connection, note: Note) -> None:
        checkpoint = Checkpoint.parse(note.text)
        tiles = TileReader(self._home.folder, checkpoint.size)
        note = self._known(connection, note)
        token = b""
        for anchor in self._anchors:
            if anchor.name in self._unanchored:
                try:
                    signatures, stamped = anchor.publish(note, checkpoint, tiles)
                except AnchorFailed as error:
                    self._alarm(error.code, f"{anchor.name}: {error}")
                    continue
                except LogForked as error:
                    self._alarm(error.code, f"{anchor.name}: {error}")
                    continue
                note, token = note.adding(signatures), stamped or token
                self._unanchored.discard(anchor.name)
        connection.execute(
            "INSERT INTO vallum.audit_checkpoint VALUES (%s, %s, %s, %s) ON CONFLICT (size) DO UPDATE"
            " SET note = excluded.note, timestamp_token = coalesce(excluded.timestamp_token,"
            " vallum.audit_checkpoint.timestamp_token)",
            (checkpoint.size, str(note), self._clock.now(), token or None),
        )
        try:
            write_durably(self._home.checkpoint, str(note).encode())
        except OSError as error:
            self._alarm("tiles", f"the checkpoint cannot be shown: {error.strerror}")
        self._on_step("published")

    def _known(self, connection: Connection, note: Note) -> Note:
        """The note with the cosignatures it had before."""
        size = Checkpoint.parse(note.text).size
        row = connection.execute(
            "SELECT note FROM vallum.audit_checkpoint WHERE size = %s", (size,)
        ).fetchone()
        before = Note.parse(row[0]) if row else note
        return note.adding(before.signatures) if before.text == note.text else note


def _hashes(connection: Connection, start: int, end: int) -> Iterable[bytes]:
    """The hashes of the entries as the database has them."""
    for first in range(start, end, _BATCH):
        rows = connection.execute(
            "SELECT index, entry FROM vallum.audit_leaf WHERE index >= %s AND index < %s ORDER BY index",
            (first, min(first + _BATCH, end)),
        ).fetchall()
        for expected, (index, entry) in enumerate(rows, first):
            if index != expected or entry is None:
                raise LogForked(f"event {expected:,} is not there, and was not published yet")
            yield leaf_hash(entry.encode())
        if len(rows) != min(first + _BATCH, end) - first:
            raise LogForked(f"event {first + len(rows):,} is not there, and was not published yet")
