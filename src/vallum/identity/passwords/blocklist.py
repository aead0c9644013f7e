"""Passwords known from breaches, as a sorted file of digests that is searched where it lies.

Invariant: nothing is loaded into memory; a look-up reads about twenty places of a mapped file.
A digest is cut to five bytes: one password in two million is taken for a known one, and refused in vain.
Format: `VBL1`, the count in four bytes, then the digests in order, each SHA-256 of the case-folded password.
Source: data/README.md
"""

from __future__ import annotations

import hashlib
import mmap
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vallum.kernel import SettingsError

__all__ = ["Blocklist", "write_blocklist"]

_MAGIC: Final = b"VBL1"
_HEAD: Final = 8
_WIDTH: Final = 5
SHIPPED: Final = Path(__file__).parent / "data" / "breached.bin"


class Blocklist:
    """A file of digests. Safe to be shared by threads."""

    def __init__(self, path: Path = SHIPPED) -> None:
        """Raises: SettingsError (the file is none of ours), OSError."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._count = int.from_bytes(self._map[4:_HEAD], "big")
        if self._map[:4] != _MAGIC or len(self._map) != _HEAD + self._count * _WIDTH:
            raise SettingsError("the list of breached passwords cannot be read", where=str(path))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, password: object) -> bool:
        if not isinstance(password, str):
            return False
        wanted = _digest(password)
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            at = _HEAD + middle * _WIDTH
            found = self._map[at : at + _WIDTH]
            if found == wanted:
                return True
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        return False


def write_blocklist(passwords: Iterable[str], path: Path, *, shortest: int = 8) -> int:
    """Write such a file and say how many digests it holds. What no policy allows anyway is left out."""
    digests = sorted({_digest(word) for word in passwords if len(word) >= shortest})
    path.write_bytes(_MAGIC + len(digests).to_bytes(4, "big") + b"".join(digests))
    return len(digests)


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.casefold().encode("utf-8", "surrogatepass")).digest()[:_WIDTH]


def main(source: str, target: str) -> None:
    """Make the file of a list with a password a line."""
    with Path(source).open(encoding="utf-8", errors="replace") as file:
        count = write_blocklist((line.rstrip("\r\n") for line in file), Path(target))
    print(f"{count:,} passwords")


if __name__ == "__main__":
    main(*sys.argv[1:])
