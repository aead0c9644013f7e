"""Recovery codes: on paper, for the day a device is lost. Each once.

Pure, but for the system's generator. 120 bits, so that a plain digest may be kept (ASVS 6.5.2).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

__all__ = ["looks_like_code", "new_codes", "recovery_digest"]

# Without the letters and digits that are mistaken for each other.
_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_LENGTH: Final = 24
_FORM: Final = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}")


def new_codes(count: int) -> list[str]:
    """That many codes, in groups of four."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(6)) for _ in range(count)
    ]


def looks_like_code(text: str) -> bool:
    """Whether a text could be one: then it is no six digits of an authenticator app."""
    return _FORM.fullmatch(_plain(text)) is not None


def recovery_digest(text: str) -> bytes:
    """What is kept of a code, however it was typed.

    >>> recovery_digest("abcd-efgh") == recovery_digest(" ABCD EFGH ")
    True
    """
    return hashlib.sha256(_plain(text).encode("utf-8", "surrogatepass")).digest()


def _plain(text: str) -> str:
    return re.sub(r"[\s-]", "", text[:100]).upper()
