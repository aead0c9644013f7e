"""Read a value as its field's type: strictly, so that nothing is stored that was not meant.

Pure. None and False stand for no value, except in a boolean field and, for False, in json.
What PostgreSQL would refuse or round away silently is refused here, by the field's name; no message
holds more than the beginning of a value.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from typing import Any, Final
from uuid import UUID

import nh3

from vallum.kernel import InvalidValue, shown
from vallum.schema import Column, Field

__all__ = ["parsed"]

_INTEGERS: Final = {"int2": 15, "int4": 31, "int8": 63}
_LARGEST_EXPONENT: Final = 400
_MOST_BITS: Final = 1024
_DEEPEST: Final = 64
# Classes stay, so that styled content looks as before; what runs or loads scripts goes.
_HTML_ATTRIBUTES: Final = {
    **nh3.ALLOWED_ATTRIBUTES,
    "*": {*nh3.ALLOWED_ATTRIBUTES.get("*", ()), "class", "title", "dir", "lang"},
}


def parsed(field: Field, column: Column | None, value: Any) -> Any:
    """The value as the column holds it; None for no value.

    Raises: InvalidValue.
    """
    if value is None or (value is False and field.type not in ("boolean", "json")):
        return False if field.type == "boolean" else None
    return _PARSERS[field.type](field, column, value)


def _boolean(field: Field, column: Column | None, value: Any) -> bool:
    if value is True or value is False:
        return value
    if type(value) is int and value in (0, 1):
        return bool(value)
    raise _wrong(field, value, "true or false")


def _integer(field: Field, column: Column | None, value: Any) -> int:
    if type(value) is not int:
        raise _wrong(field, value, "a whole number")
    bits = _INTEGERS.get(column.type if column else "int8", 63)
    if not -(1 << bits) <= value < 1 << bits:
        raise _wrong(field, value, f"a whole number of {bits + 1} bits")
    return value


def _id(field: Field, column: Column | None, value: Any) -> int:
    if isinstance(value, tuple | list) and len(value) == 2 and (value[1] is None or type(value[1]) is str):
        value = value[0]  # an id with its name, as reading gives it
    if type(value) is not int or value <= 0:
        raise _wrong(field, value, "an id")
    return _integer(field, column, value)


def _float(field: Field, column: Column | None, value: Any) -> Any:
    if type(value) not in (int, float, Decimal):
        raise _wrong(field, value, "a number")
    if type(value) is int and value.bit_length() > _MOST_BITS:
        raise _wrong(field, value, "a number of that size")
    if not math.isfinite(value):
        raise _wrong(field, value, "a finite number")
    if column is not None and column.type == "numeric":
        return _decimal(field, column, Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (column is not None and column.type == "float4" and abs(number) > 3.4e38):
        raise _wrong(field, value, "a number of that size")
    return number


def _decimal(field: Field, column: Column, value: Decimal) -> Decimal:
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise _wrong(field, value, "a number of that size")
    if column.precision is not None and value:
        whole = column.precision - (column.scale or 0)
        with localcontext(prec=2 * _LARGEST_EXPONENT + 100):
            rounded = round(value, column.scale or 0)
        if rounded and rounded.adjusted() >= whole:
            raise _wrong(field, value, f"a number with at most {whole} digits before the point")
    return value


def _text(field: Field, column: Column | None, value: Any) -> str:
    if isinstance(value, UUID) and column is not None and column.type == "uuid":
        return str(value)
    if not isinstance(value, str):
        raise _wrong(field, value, "text")
    text = str(value)  # a member of a StrEnum as what it says
    _check_text(field, text)
    if field.type == "html":
        text = nh3.clean(text, attributes=_HTML_ATTRIBUTES)
    if column is not None and column.size is not None and len(text) > column.size:
        raise InvalidValue(
            f"{len(text)} characters are too many for `{field}`", fix=f"give at most {column.size}"
        )
    if column is None or column.type != "uuid":
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise _wrong(field, value, "a UUID") from None


def _check_text(field: Field, value: str) -> None:
    if "\x00" in value:
        raise _wrong(field, value, "text without the character NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValue(
            f"half a character (a lone surrogate) in `{field}`", fix="give whole text"
        ) from None


def _selection(field: Field, column: Column | None, value: Any) -> str:
    text = _text(field, column, value)
    if field.selection and text not in field.selection:
        known = ", ".join(field.selection[:12])
        raise InvalidValue(f"{shown(text)} is no choice of `{field}`", fix=f"give one of {known}")
    return text


def _date(field: Field, column: Column | None, value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if type(value) is str and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _wrong(field, value, "a date such as 2026-12-31")


def _datetime(field: Field, column: Column | None, value: Any) -> datetime:
    if type(value) is str and 10 <= len(value) <= 40:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _wrong(field, value, "a moment such as 2026-12-31 23:59:59, in UTC") from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if not isinstance(value, datetime):
        raise _wrong(field, value, "a moment such as 2026-12-31 23:59:59, in UTC")
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise _wrong(field, value, "a moment of the years 1 to 9999") from None
    return moment if column is not None and column.type == "timestamptz" else moment.replace(tzinfo=None)


def _binary(field: Field, column: Column | None, value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if type(value) is str:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise InvalidValue(f"what is given for `{field}` is no file content", fix="give bytes, or base64 as text")


def _json(field: Field, column: Column | None, value: Any) -> Any:
    _check_json(field, value, 0)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise InvalidValue(
            f"what is given for `{field}` is no JSON", fix="leave out NaN and the like"
        ) from None


def _check_json(field: Field, value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidValue(
            f"what is given for `{field}` is nested too deep", fix=f"nest {_DEEPEST} times at most"
        )
    if isinstance(value, str):
        _check_text(field, value)
    elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise _wrong(field, value, "a number of that size")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidValue(f"{shown(key)} is no name in JSON (for `{field}`)", fix="give text")
            _check_text(field, key)
            _check_json(field, inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(field, inner, depth + 1)


def _reference(field: Field, column: Column | None, value: Any) -> str:
    text = _text(field, column, value)
    model, _, number = text.partition(",")
    if not model or not number.isascii() or not number.isdigit() or len(number) > 18 or int(number) == 0:
        raise _wrong(field, value, "a reference such as `res.partner,7`")
    return f"{model},{int(number)}"


_PARSERS: Final[Mapping[str, Callable[[Field, Column | None, Any], Any]]] = {
    "binary": _binary,
    "boolean": _boolean,
    "char": _text,
    "date": _date,
    "datetime": _datetime,
    "float": _float,
    "html": _text,
    "integer": _integer,
    "json": _json,
    "many2one": _id,
    "many2one_reference": _id,
    "monetary": _float,
    "reference": _reference,
    "selection": _selection,
    "text": _text,
}


def _wrong(field: Field, value: Any, wanted: str) -> InvalidValue:
    return InvalidValue(f"{shown(value, 42)} is not {wanted} (for `{field}`)", fix=f"give {wanted}")
