"""Files that hold what was audited: for their owner alone, made anew, whole or not there at all.

Nothing that is there is written to, and no link that somebody planted is followed.
Limit: whoever is killed by force leaves what was written so far under a hidden name beside it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from vallum.audit.errors import AuditRefused

__all__ = ["new_file", "open_new", "wait_for_disk"]

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name once the block has ended well and all of it is on disk; mode 600.

    Raises: AuditRefused (something of that name is there, or it cannot be written).
    """
    if os.path.lexists(path):
        # Before hours of work, not after them.
        raise _taken(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = open_new(beside)
    except OSError as error:
        raise _unwritten(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise _unwritten(path, error) from None
        _name(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _name(beside: Path, path: Path) -> None:
    """Give the file its name, unless something has it."""
    try:
        try:
            os.link(beside, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without links: take the name first, then put the content under it.
            os.close(open_new(path))
            beside.replace(path)
        wait_for_disk(path.parent)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise _unwritten(path, error) from None


def open_new(path: Path) -> int:
    """The descriptor of a file that was not there, for its owner alone. Raises: OSError."""
    return os.open(path, _NEW, 0o600)


def wait_for_disk(path: Path) -> None:
    """Until a file, or the names in a folder, are on disk. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken(path: Path) -> AuditRefused:
    return AuditRefused("something of that name is there", where=str(path), fix="name a file that is not")


def _unwritten(path: Path, error: OSError) -> AuditRefused:
    return AuditRefused(
        f"the file cannot be written: {error.strerror}",
        where=str(path),
        fix="check the folder, its permissions and the space on disk",
    )
