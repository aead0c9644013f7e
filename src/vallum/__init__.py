"""Vallum: the security layer for business data in PostgreSQL.

>>> import vallum
>>> vallum.Operation("read").letter
'r'

`vallum.open` is the way in; what it returns is described in `vallum.facade`. Loaded when first used, so
that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vallum.facade import Session, Vallum, open
    from vallum.kernel import AccessDenied, Operation, VallumError

    __version__: str

__all__ = ["AccessDenied", "Operation", "Session", "Vallum", "VallumError", "__version__", "open"]

_HOMES = {
    **dict.fromkeys(("Session", "Vallum", "open"), "vallum.facade"),
    **dict.fromkeys(("AccessDenied", "Operation", "VallumError"), "vallum.kernel"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("vallum")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vallum' has no attribute {name!r}")
