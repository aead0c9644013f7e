"""Canonical JSON (RFC 8785) for entries, and commitments to values that may be erased later.

Pure. Numbers are integers that every JSON reader holds exactly; all else of numbers is text before it comes
here, so that no reader rounds what was recorded.
Source: RFC 8785; docs/reference/audit.md
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

__all__ = ["Json", "canonical", "commitment", "is_commitment", "parse_values", "salt_of"]

Json = Any
_SAFE: Final = 2**53 - 1
_LABEL: Final = b"vallum audit value v1\0"


def _integer(digits: str) -> int | str:
    value = int(digits)
    return value if -_SAFE <= value <= _SAFE else digits


# Made once: `json.loads` and `json.dumps` make theirs anew each time, which costs more than their work.
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
).encode
_decode: Final = json.JSONDecoder(parse_float=str, parse_int=_integer, parse_constant=str).decode


def canonical(value: Json) -> str:
    """The one JSON text of a value.

    >>> canonical({"b": [1, None], "a": "é\\n"})
    '{"a":"é\\\\n","b":[1,null]}'
    """
    text = _encode(value)
    # Keys are ordered by UTF-16 units, which differs from code points only beyond the first plane.
    return text if text.isascii() or max(text) <= "\uffff" else rfc8785.dumps(value).decode()


def parse_values(text: str) -> dict[str, Json]:
    """The values of a row as a trigger wrote them: what no JSON reader holds exactly becomes text.

    >>> parse_values('{"a": 1, "b": 1.50, "c": 9007199254740993}')
    {'a': 1, 'b': '1.50', 'c': '9007199254740993'}
    """
    return _decode(text)  # type: ignore[no-any-return]


def salt_of(seed: bytes, label: str) -> bytes:
    """The salt of one value of an event, from the event's 32 secret bytes: one tells nothing of another."""
    return hmac.digest(seed, _LABEL + label.encode(), "sha256")


def commitment(label: str, salt: bytes, value: Json) -> dict[str, str]:
    """What stands in an entry for a value that may be erased: it tells nothing without the salt.

    >>> commitment("new.name", bytes(32), "Marie")["sha256"][:16]
    '211a48d355484a95'
    """
    content = label.encode() + b"\0" + salt + canonical(value).encode()
    return {"sha256": hashlib.sha256(content).hexdigest()}


def is_commitment(value: Json) -> bool:
    """Whether a value of an entry stands for another."""
    return isinstance(value, Mapping) and value.keys() == {"sha256"}
