"""When each user has last written: in memory that all workers of a server share.

Users share a slot where their ids agree in the last digits: one then waits for the other's write as well.
Invariant: a mark never goes back.
Times are those of the machine's monotonic clock, which its processes have in common.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

__all__ = ["Marks", "shared_marks"]

_SLOTS: Final = 4096
_TIME: Final = struct.Struct("=d")


class Marks:
    """The marks of a file, shared by whoever opens it; of this process alone without one."""

    def __init__(self, path: Path | None = None) -> None:
        size = _SLOTS * _TIME.size
        self._lock = Lock()
        self._file: int | None = None
        if path is None:
            self._memory = mmap.mmap(-1, size)
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._alone():
            if os.fstat(self._file).st_size < size:
                os.ftruncate(self._file, size)
        self._memory = mmap.mmap(self._file, size)

    def wrote(self, user_id: int) -> None:
        """The user has written up to now."""
        place = _place(user_id)
        with self._alone():
            # Asked within the lock: of two, the later one is written last.
            _TIME.pack_into(self._memory, place, monotonic())

    def last(self, user_id: int) -> float:
        """When the user has last written."""
        found: float = _TIME.unpack_from(self._memory, _place(user_id))[0]
        return found

    def close(self) -> None:
        """Use the memory no longer."""
        self._memory.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread, nor process, writes."""
        with self._lock:
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if self._file is not None:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)


@contextmanager
def shared_marks(wanted: bool) -> Iterator[Path | None]:
    """A file for the marks of the workers started within; None where none is wanted."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="vallum-marks-") as folder:
        yield Path(folder) / "marks"


def _place(user_id: int) -> int:
    return user_id % _SLOTS * _TIME.size
