"""The files that pages need: one style sheet, the scripts, the icons. Shipped in the package, no build step.

Each is served under a name with a digest of its content, so that browsers keep it for good and a new
version is never mixed with an old one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

__all__ = ["ASSETS", "Asset", "address_of", "assets"]

ASSETS: Final = "/assets/"

# Served name, media type, and the files it is made of, in order.
_MADE_OF: Final = (
    ("vallum.css", "text/css", ("tokens.css", "vallum.css", "accounts.css")),
    ("vallum.js", "text/javascript", ("vallum.js",)),
    ("account.js", "text/javascript", ("account.js",)),
    ("htmx.js", "text/javascript", ("htmx.min.js",)),
    ("icons.svg", "image/svg+xml", ("icons.svg",)),
    ("favicon.svg", "image/svg+xml", ("favicon.svg",)),
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: plain, and compressed."""

    name: str
    media_type: str
    content: bytes
    compressed: bytes


@cache
def assets() -> Mapping[str, Asset]:
    """All assets by the name they are served under."""
    folder = files("vallum.server.pages") / "static"
    found = {}
    for name, media_type, parts in _MADE_OF:
        content = b"\n".join((folder / part).read_bytes() for part in parts)
        digest = hashlib.sha256(content).hexdigest()[:12]
        stem, _, suffix = name.rpartition(".")
        served = f"{stem}.{digest}.{suffix}"
        found[served] = Asset(served, media_type, content, gzip.compress(content, 9, mtime=0))
    return MappingProxyType(found)


@cache
def address_of(name: str) -> str:
    """Where the asset of that plain name is served.

    >>> address_of("vallum.css").startswith("/assets/vallum.")
    True
    """
    stem, _, suffix = name.rpartition(".")
    for served in assets():
        if served.startswith(f"{stem}.") and served.endswith(f".{suffix}"):
            return ASSETS + served
    raise KeyError(name)
