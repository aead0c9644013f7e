"""Write, look, and leave everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import vallum

__all__ = ["undone"]


class _Undone(Exception):
    """Rolls a transaction back."""


@contextmanager
def undone(opened: vallum.Vallum) -> Iterator[None]:
    """A transaction of which nothing stays."""
    try:
        with opened.application.database.transaction():
            yield
            raise _Undone
    except _Undone:
        pass
