"""Single values as PostgreSQL compares, casts and prints them.

Pure. Invariant: the answer is PostgreSQL's under its defaults (ISO dates, shortest
floats); what depends on a database's settings raises UnsupportedDomain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from vallum.kernel import UnsupportedDomain

__all__ = [
    "ORDER",
    "Tokens",
    "as_text",
    "date_part",
    "equal",
    "first_text",
    "folded",
    "from_json",
    "is_like",
    "order",
    "tokens",
]


def first_text(raw: Any, languages: Iterable[str]) -> Any:
    """The text of the first language that has one, out of texts by language.

    Raises: UnsupportedDomain.
    """
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise UnsupportedDomain(f"{raw!r:.60} does not hold texts by language")
    return next((raw[code] for code in languages if raw.get(code) is not None), None)


_PARTS: Final[Mapping[str, Callable[[datetime], float]]] = {
    "year": lambda d: d.year,
    "quarter": lambda d: (d.month + 2) // 3,
    "month": lambda d: d.month,
    "week": lambda d: d.isocalendar().week,
    "doy": lambda d: d.timetuple().tm_yday,
    "dow": lambda d: d.isoweekday() % 7,
    "day": lambda d: d.day,
    "hour": lambda d: d.hour,
    "minute": lambda d: d.minute,
    "second": lambda d: d.second + d.microsecond / 1_000_000,
}


def date_part(value: Any, part: str, tz: str | None) -> float:
    """A part of a date, or of a moment in UTC as a clock in `tz` shows it.

    Raises: UnsupportedDomain.
    """
    if part not in _PARTS or not isinstance(value, date):
        raise UnsupportedDomain(f"no part `{part}` of {value!r:.60}")
    moment = _moment(value)
    if tz:
        moment = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(tz))
    return _PARTS[part](moment)


def _moment(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, time.min)


def from_json(value: Any, kind: str) -> Any:
    """A value out of a jsonb, cast from its text to a type.

    Raises: UnsupportedDomain.
    """
    if kind == "float8" and isinstance(value, float):
        return value
    text = value if isinstance(value, str) else as_text(value)
    try:
        match kind:
            case "bool":
                return {"true": True, "false": False}[text]
            case "int4":
                return int(text)
            case "float8":
                return float(text)
            case "numeric":
                return Decimal(text)
            case "varchar" | "text":
                return text
            case "date":
                return date.fromisoformat(text)
            case "timestamp":
                return datetime.fromisoformat(text)
    except (ValueError, KeyError, InvalidOperation) as error:
        raise UnsupportedDomain(f"{value!r:.60} cannot be read as {kind}") from error
    raise UnsupportedDomain(f"no values by company of the type {kind}")


def as_text(value: Any) -> str:
    """A value as PostgreSQL casts it to text.

    Raises: UnsupportedDomain.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | UUID():
            return str(value)
        case float():
            return _float_text(value)
        case Decimal():
            return (
                format(value if value else abs(value), "f")
                if value.is_finite()
                else _float_text(float(value))
            )
        case datetime():
            text = value.isoformat(sep=" ")
            return text.rstrip("0") if value.microsecond else text
        case date():
            return value.isoformat()
    raise UnsupportedDomain(f"how PostgreSQL prints a {type(value).__name__} is not known here")


def _float_text(value: float) -> str:
    """The shortest digits that give the number back: an exponent from 1e15 on and below 1e-4."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if _halfway(value):
        raise UnsupportedDomain(f"how PostgreSQL prints {value!r} is not known here")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    places = len(digits) - 1 + int(exponent)
    if value and not -4 <= places < 15:
        tail = "".join(map(str, digits[1:]))
        return (
            f"{'-' * sign}{digits[0]}{'.' if tail else ''}{tail}e{'-' if places < 0 else '+'}{abs(places):02}"
        )
    return format(Decimal(repr(value)).normalize(), "f")


def _halfway(value: float) -> bool:
    """Whether Python's digits lie exactly between two numbers: there PostgreSQL takes one digit more."""
    off = Fraction(repr(value)) - Fraction(value)
    other = math.nextafter(value, math.inf if off > 0 else -math.inf)
    return bool(off) and not math.isinf(other) and 2 * off == Fraction(other) - Fraction(value)


ORDER: Final[Mapping[str, Callable[[int], bool]]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def _comparable(left: Any, right: Any) -> tuple[Any, Any]:
    """Two values as PostgreSQL compares them.

    Raises: UnsupportedDomain where the types have nothing in common.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        if type(left) is type(right):
            return left, right
    elif isinstance(left, int | float | Decimal) and isinstance(right, int | float | Decimal):
        if isinstance(left, float) or isinstance(right, float):
            return float(left), float(right)
        return left, right
    elif isinstance(left, date) and isinstance(right, date):
        return _moment(left), _moment(right)
    elif type(left) is type(right) and isinstance(left, str | UUID | bytes):
        return left, right
    raise UnsupportedDomain(f"a {type(left).__name__} is compared with a {type(right).__name__}")


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; NaN is itself.

    Raises: UnsupportedDomain.
    """
    left, right = _comparable(left, right)
    return bool(left == right or (left != left and right != right))


def order(left: Any, right: Any) -> int:
    """Below, at or above zero as left is less than, equal to or greater than right.

    Raises: UnsupportedDomain.
    """
    left, right = _comparable(left, right)
    if isinstance(left, str):
        raise UnsupportedDomain("the order of texts depends on the database's collation")
    # NaN equals itself and is greater than all others.
    strange_left, strange_right = left != left, right != right
    if strange_left or strange_right:
        return int(strange_left) - int(strange_right)
    return int(left > right) - int(left < right)


# LIKE

_SOME: Final = -1
_ONE: Final = -2
Tokens: TypeAlias = "tuple[int, ...]"


@lru_cache(maxsize=1024)
def tokens(pattern: str) -> Tokens:
    """A pattern of LIKE taken apart: code points, `%` and `_`.

    Raises: UnsupportedDomain.
    """
    found: list[int] = []
    letters = iter(pattern)
    for letter in letters:
        if letter == "\\":
            escaped = next(letters, None)
            if escaped is None:
                raise UnsupportedDomain("the pattern ends with the escape character")
            found.append(ord(escaped))
        elif letter == "%":
            if found[-1:] != [_SOME]:
                found.append(_SOME)
        else:
            found.append(_ONE if letter == "_" else ord(letter))
    return tuple(found)


def is_like(text: str, pattern: Tokens) -> bool:
    """Whether a text has the form of a pattern; the time is bounded by the product of their lengths."""
    at = position = 0
    retry, resume = -1, 0
    while position < len(text):
        token = pattern[at] if at < len(pattern) else None
        if token == _SOME:
            at += 1
            retry, resume = at, position
        elif token is not None and (token == _ONE or token == ord(text[position])):
            at += 1
            position += 1
        elif retry >= 0:
            resume += 1
            at, position = retry, resume
        else:
            return False
    return all(token == _SOME for token in pattern[at:])


def folded(text: str) -> str:
    """The text as ILIKE compares it: small letters, one for one.

    In databases of the `C` locale PostgreSQL folds ASCII only.
    """
    # Of all letters only `İ` has a small form of two: PostgreSQL takes its simple form.
    return "".join("i" if letter == "\u0130" else letter.lower() for letter in text)
