"""JSON from outside, within bounds: strict, not deep, no number that costs time to read.

Pure. NaN and infinities are no JSON; integers have as many digits as 64 bits; lists and objects lie in each
other a limited number of times, so that nothing behind this can be driven into recursion.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec

from vallum.server.rpc.faults import RpcError

__all__ = ["MAX_DEPTH", "check_depth", "decode"]

MAX_DEPTH: Final = 64
_BIGGEST: Final = 2**64
_DECODER: Final = msgspec.json.Decoder()


def decode(body: bytes) -> Any:
    """The value of a JSON document.

    Raises: RpcError (400).
    """
    try:
        value = _DECODER.decode(body)
    except RecursionError:
        raise _refused(f"the JSON is more than {MAX_DEPTH} levels deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _refused(f"the body is no JSON: {_reason(error)}") from None
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Refuse what is too deep, and integers beyond 64 bits.

    Raises: RpcError (400).
    """
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _refused(f"the JSON is more than {MAX_DEPTH} levels deep")
        following: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                following.extend(item.values())
            elif kind is list:
                following.extend(item)
            elif kind is int and not -_BIGGEST < item < _BIGGEST:
                raise _refused("an integer has more than 64 bits")
        level = following


def _reason(error: Exception) -> str:
    """What is wrong and where, without the content."""
    text = str(error)
    return text if len(text) < 120 and "0x" not in text else type(error).__name__


def _refused(what: str) -> RpcError:
    return RpcError(what, name="werkzeug.exceptions.BadRequest", status=HTTPStatus.BAD_REQUEST)
