"""Tokens nobody can guess, and the digests that are kept of them.

Invariant: what the database holds of a token cannot be used in its place.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

__all__ = ["digest", "new_token"]

# 256 bits: a plain digest is enough, there is nothing to try out.
_BYTES: Final = 32
_LONGEST: Final = 512


def new_token() -> str:
    """A new token: 256 bits of the system's generator, in 43 characters fit for cookies and URLs."""
    return secrets.token_urlsafe(_BYTES)


def digest(token: str) -> bytes:
    """What is kept of a token: its SHA-256. What is too long to be a token has the digest of none.

    >>> len(digest(new_token()))
    32
    """
    text = token if len(token) <= _LONGEST else ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
