"""Checkpoints in a file that only grows, one after the other: on another disk or machine.

Whoever may write the file can shorten it. Let the system allow appending only (`chattr +a`), or copy it away.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vallum.audit.errors import AnchorFailed, MalformedNote
from vallum.audit.notes import Checkpoint, Note, Signature
from vallum.audit.tiles import TileReader

__all__ = ["FileAnchor", "read_notes"]


class FileAnchor:
    """An anchor that appends to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"file {path}"

    def publish(
        self, note: Note, checkpoint: Checkpoint, tiles: TileReader
    ) -> tuple[Sequence[Signature], bytes]:
        """Append the checkpoint, unless it is the last one there. Raises: AnchorFailed."""
        del checkpoint, tiles
        try:
            if self._path.exists() and (kept := read_notes(self._path)) and kept[-1].text == note.text:
                return (), b""
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                data = f"{note}\n".encode()
                if os.write(descriptor, data) != len(data):
                    raise OSError(28, "written in part")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except (OSError, MalformedNote, UnicodeDecodeError) as error:
            raise AnchorFailed(f"the file cannot be appended to: {error}", where=str(self._path)) from error
        return (), b""


def read_notes(path: Path) -> list[Note]:
    """The checkpoints of a file, of one or of many. Raises: MalformedNote, OSError."""
    text = path.read_text(encoding="utf-8")
    found: list[Note] = []
    lines: list[str] = []
    signed = False
    for line in [*text.splitlines(keepends=True), ""]:
        if signed and not line.startswith("— "):
            found.append(Note.parse("".join(lines)))
            lines, signed = [], False
            if line == "\n":
                continue
        signed = signed or line.startswith("— ")
        lines.append(line)
    if "".join(lines).strip():
        # What was being written when the power went.
        found += [] if found else [Note.parse("".join(lines))]
    return found
