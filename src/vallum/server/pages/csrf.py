"""The token that forms carry: a fresh disguise of the session's token in every page.

Pages are compressed and repeat what was asked for; a token that is the same in each of them could be
guessed from their lengths. Invariant: comparison takes the same time wherever they differ.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

__all__ = ["FIELD", "HEADER", "disguise", "matches"]

FIELD: Final = "csrf"
HEADER: Final = "x-csrf-token"
_SIZE: Final = 32


def _secret(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def disguise(token: str) -> str:
    """A text that `matches` the token, another one at every call.

    >>> disguise("t") != disguise("t"), matches("t", disguise("t")), matches("u", disguise("t"))
    (True, True, False)
    """
    mask = secrets.token_bytes(_SIZE)
    hidden = bytes(a ^ b for a, b in zip(mask, _secret(token), strict=True))
    return base64.urlsafe_b64encode(mask + hidden).decode()


def matches(token: str, given: str) -> bool:
    """Whether a form's text is a disguise of the token. An empty token matches nothing.

    >>> matches("", disguise("")), matches("t", "t"), matches("t", "é")
    (False, False, False)
    """
    try:
        raw = base64.urlsafe_b64decode(given.encode("ascii"))
    except (binascii.Error, ValueError):
        return False
    if not token or len(raw) != 2 * _SIZE:
        return False
    shown = bytes(a ^ b for a, b in zip(raw[:_SIZE], raw[_SIZE:], strict=True))
    return hmac.compare_digest(shown, _secret(token))
