"""The text of an API key: a name to find it by, a secret, and a checksum.

`vlm_` · ten letters by which it is found · `_` · 43 characters of secret · six of checksum. So a scanner of
code recognises one that leaked, and a mistyped one is refused without asking the database.
Pure, but for the system's generator.
"""

from __future__ import annotations

import re
import secrets
import zlib
from typing import Final

__all__ = ["new_key", "prefix_of"]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM: Final = re.compile(r"vlm_([a-z2-7]{10})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


def new_key() -> str:
    """A new key, of 256 bits.

    >>> prefix_of(new_key()) is not None
    True
    """
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(10))
    body = f"vlm_{prefix}_{''.join(secrets.choice(_DIGITS) for _ in range(43))}"
    return body + _checksum(body)


def prefix_of(key: str) -> str | None:
    """What a key is found by; None for what is no key of ours.

    >>> prefix_of("vlm_abcdefghij_" + "0" * 49) is None
    True
    """
    found = _FORM.fullmatch(key)
    if found is None or _checksum(key[: -len(found[3])]) != found[3]:
        return None
    return found[1]


def _checksum(body: str) -> str:
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, at = divmod(number, len(_DIGITS))
        text = _DIGITS[at] + text
    return text
