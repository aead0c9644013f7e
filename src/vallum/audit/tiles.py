"""The tree's hashes as files of 256, which anybody can copy, serve and keep.

A folder as tlog-tiles has it: `tile/<level>/<index>`, the unfinished ones with `.p/<width>`.
Limit: hashes only. Entries hold what may have to be deleted, and stay in the database.
Invariant: a full tile is written once; what it must hold is known, and another content is an error.
Source: c2sp.org/tlog-tiles
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from vallum.audit.errors import LogForked
from vallum.audit.files import wait_for_disk
from vallum.audit.tree import Frontier, reduce, root

__all__ = ["WIDTH", "TileReader", "TileWriter", "tile_path", "write_durably"]

WIDTH: Final = 256
# Tiles that are waited for together.
_AT_ONCE: Final = 256


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Where a tile is, below the folder.

    >>> tile_path(0, 1234067)
    'tile/0/x001/x234/067'
    >>> tile_path(1, 3, 7)
    'tile/1/003.p/7'
    """
    parts = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03}")
    return f"tile/{level}/" + "/".join(reversed(parts)) + ("" if width == WIDTH else f".p/{width}")


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file: after a crash there is the old content or the new one. Raises: OSError."""
    write_all_durably({path: data}, mode)


def write_all_durably(files: Mapping[Path, bytes], mode: int = 0o644) -> None:
    """Replace files, each as `write_durably` does; folders are waited for once, not for each file.

    Raises: OSError; some of the files may have been replaced then.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in files}
    folders = {path.parent for path in files}
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(beside[path], flags, mode), "wb") as file:
                file.write(data)
        for new in beside.values():
            wait_for_disk(new)
        for path, new in beside.items():
            new.replace(path)
    except BaseException:
        for new in beside.values():
            new.unlink(missing_ok=True)
        raise
    for folder in folders:
        wait_for_disk(folder)


class TileReader:
    """The hashes of a tree of `size` leaves, from its files. All of it raises OSError and LogForked."""

    def __init__(self, folder: Path, size: int, *, cache: int = 64) -> None:
        self._folder = folder
        self.size = size
        self._tile = lru_cache(maxsize=cache)(self._read)

    def _read(self, level: int, index: int) -> list[bytes]:
        full = self.size >> (8 * level)
        width = min(WIDTH, full - index * WIDTH)
        path = self._folder / tile_path(level, index, width)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            # A partial tile may go once the full one is there.
            data = (self._folder / tile_path(level, index)).read_bytes()[: 32 * width]
        if len(data) != 32 * width:
            raise LogForked("a tile is torn", where=str(path), fix="restore it from a copy")
        return [data[i : i + 32] for i in range(0, len(data), 32)]

    def node(self, level: int, index: int) -> bytes:
        """The hash of the `index`-th subtree of 2**level leaves."""
        tile, inner = divmod(level, 8)
        first = index << inner
        hashes = self._tile(tile, first // WIDTH)
        within = first % WIDTH
        return reduce(hashes[within : within + (1 << inner)])

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """The hashes of the leaves from `start` to before `end`."""
        while start < end:
            index, within = divmod(start, WIDTH)
            hashes = self._tile(0, index)[within : within + end - start]
            yield from hashes
            start += len(hashes)

    def root(self, size: int | None = None) -> bytes:
        """The root of the tree when it had that size."""
        return root(self, 0, self.size if size is None else size)

    def frontier(self) -> Frontier:
        """The full subtrees the tree consists of."""
        hashes, start = [], 0
        for level in reversed(range(self.size.bit_length())):
            if self.size >> level & 1:
                hashes.append(self.node(level, start >> level))
                start += 1 << level
        return Frontier(self.size, hashes)


class TileWriter:
    """Adds leaves to a tree's files. Nothing below the size it begins with is written again."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._begun = self.size = size
        self._open: list[list[bytes]] = []
        self._unwritten: dict[Path, bytes] = {}
        reader = TileReader(folder, size)
        level = 0
        while size >> (8 * level):
            full = size >> (8 * level)
            self._open.append(list(reader._read(level, full // WIDTH)) if full % WIDTH else [])
            level += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add hashes of leaves. Raises: OSError, LogForked."""
        for leaf in leaves:
            self._add(0, leaf)
            self.size += 1
            if len(self._unwritten) >= _AT_ONCE:
                self._write()

    def _add(self, level: int, hash_: bytes) -> None:
        if level == len(self._open):
            self._open.append([])
        at = self._open[level]
        at.append(hash_)
        if len(at) == WIDTH:
            self._tile(level, ((self.size + 1) >> (8 * (level + 1))) - 1, at)
            self._open[level] = []
            self._add(level + 1, reduce(at))

    def flush(self) -> None:
        """Have all that was added on disk, the unfinished tiles as well. Raises: OSError."""
        for level, at in enumerate(self._open):
            if at:
                self._tile(level, self.size >> (8 * (level + 1)), at)
        self._write()

    def _tile(self, level: int, index: int, hashes: list[bytes]) -> None:
        self._unwritten[self._folder / tile_path(level, index, len(hashes))] = b"".join(hashes)

    def _write(self) -> None:
        write_all_durably(self._unwritten)
        for path in self._unwritten:
            # What a full tile has made needless; only once that one is on disk.
            shutil.rmtree(f"{path}.p", ignore_errors=True)
        self._unwritten = {}
