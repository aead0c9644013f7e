"""The journal of a snapshot being taken: what is done stays done when the taking is interrupted.

JSON Lines: a basis, the models, then for every user the sets of ids seen for the first
time and the user's entries. A line that was not written whole is cut off.
Invariant: a journal of another policy, schema, database or set of users is never continued.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import msgspec

from vallum.analysis.format import (
    ModelEntry,
    ScopeError,
    UserAccess,
    UserEntry,
    UserFields,
    UserMenus,
    UserVisible,
)
from vallum.kernel import VallumError

__all__ = ["Basis", "Ids", "Journal", "Line", "Models", "UserDone"]


class Basis(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="basis"):
    """What a snapshot is taken of; a journal with another basis is of no use."""

    policy: str
    schema: str
    database: str
    users: str
    search_methods: str
    format: int = 1


class Ids(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ids"):
    """A set of ids, eight bytes each, the highest first: as PostgreSQL sends them."""

    ids: bytes


class Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="models"):
    """The models of the snapshot."""

    models: dict[str, ModelEntry]


class UserDone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="user"):
    """All entries of one user."""

    user: UserEntry
    access: UserAccess
    fields: UserFields
    menus: UserMenus
    visible: tuple[UserVisible, ...]
    errors: tuple[ScopeError, ...] = ()


Line: TypeAlias = Basis | Ids | Models | UserDone


_START: Final = b'{"type":"basis",'
_DECODER: Final = msgspec.json.Decoder(Line)


class Journal:
    """A journal on disk, or none at all where `path` is None."""

    def __init__(self, path: Path | None, checkpoint_every: int) -> None:
        self._path = path
        self._every = max(1, checkpoint_every)
        self._since = 0
        self._file: BinaryIO | None = None

    def begin(self, basis: Basis, replay: Callable[[Line], None]) -> str | None:
        """Open the journal, giving what it holds to `replay`; a notice where it was of no use.

        Raises: VallumError (the file is no journal), OSError.
        """
        if self._path is None:
            return None
        lines, length = _read(self._path)
        notice = None
        if lines and lines[0] != basis:
            notice = _difference(lines[0], basis)
            lines = []
        if not lines:
            length = 0
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        self._file.truncate(length)
        self._file.seek(length)
        if not lines:
            self.write(basis)
        for line in lines[1:]:
            replay(line)
        return notice

    def write(self, *lines: Line) -> None:
        """Add lines; they are safe after the next checkpoint."""
        if self._file is not None:
            self._file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)

    def checkpoint(self, *, force: bool = False) -> None:
        """Count a user, and write to disk for good after some of them."""
        self._since += 1
        if self._file is not None and (force or self._since >= self._every):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._since = 0

    def close(self, *, finished: bool) -> None:
        """Close the journal; one that has served its purpose is removed."""
        if self._file is None or self._path is None:
            return
        if finished:
            self._file.close()
            self._path.unlink(missing_ok=True)
        else:
            self.checkpoint(force=True)
            self._file.close()
        self._file = None


def _read(path: Path) -> tuple[list[Line], int]:
    """The whole lines of a journal, and where the last of them ends."""
    lines: list[Line] = []
    length = 0
    try:
        content = path.open("rb")
    except FileNotFoundError:
        return [], 0
    with content as file:
        start = file.read(len(_START))
        if not _START.startswith(start):
            raise VallumError(
                "this file is no journal of a snapshot", where=str(path), fix="give the name of a new file"
            )
        file.seek(0)
        for raw in file:
            try:
                line = _DECODER.decode(raw) if raw.endswith(b"\n") else None
            except msgspec.DecodeError:
                line = None
            if line is None:
                break
            lines.append(line)
            length += len(raw)
    return lines, length


def _difference(found: Line, basis: Basis) -> str:
    if not isinstance(found, Basis):
        return "the journal of the interrupted snapshot cannot be read: started again"
    names = [n for n in basis.__struct_fields__ if getattr(found, n) != getattr(basis, n)]
    return f"the interrupted snapshot was of another {' and '.join(names)}: started again"
