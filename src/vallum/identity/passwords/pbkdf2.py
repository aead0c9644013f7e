"""Verify the password hashes that Odoo keeps: PBKDF2 with SHA-512, in passlib's notation.

Pure. Only verified, never made: at the first sign-in the password is hashed anew.
Source: Odoo 18 and 19, `res.users._crypt_context`; passlib's modular crypt format.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Final

__all__ = ["ODOO_ROUNDS", "is_pbkdf2", "pbkdf2_matches", "pbkdf2_spend"]

ODOO_ROUNDS: Final = 600_000
_MOST_ROUNDS: Final = 10_000_000
_FORM: Final = re.compile(r"\$pbkdf2-sha512\$([1-9]\d{0,7})\$([A-Za-z0-9./]{1,2000})\$([A-Za-z0-9./]{86})")

Derive = Callable[[bytes, bytes, int], bytes]


def _derived(secret: bytes, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", secret, salt, rounds)


def is_pbkdf2(kept: str) -> bool:
    """Whether a hash is of that kind."""
    found = _FORM.fullmatch(kept)
    return found is not None and int(found[1]) <= _MOST_ROUNDS


def pbkdf2_matches(kept: str, password: str, derive: Derive = _derived) -> bool:
    """Whether the password is the one that was hashed; a hash of another form matches nothing.

    `derive`: who computes it, where that is not done here.
    """
    found = _FORM.fullmatch(kept)
    if found is None or not is_pbkdf2(kept):
        return False
    try:
        salt, expected = _decoded(found[2]), _decoded(found[3])
    except binascii.Error:
        return False
    made = derive(_encoded(password), salt, int(found[1]))
    return hmac.compare_digest(made, expected)


def pbkdf2_spend(password: str, rounds: int, derive: Derive = _derived) -> None:
    """Take the time that a verification takes."""
    derive(_encoded(password), b"nobody's salt...", rounds)


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _decoded(text: str) -> bytes:
    """passlib's base64: `.` for `+`, and no padding."""
    return b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)
