"""Turn the values of conditions into what a column holds.

Pure. Conversions follow what Odoo does before it compares; what Odoo would hand to
PostgreSQL only to fail there raises InvalidValue instead.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from vallum.kernel import InvalidValue, shown
from vallum.schema import Field

__all__ = ["as_date", "as_datetime", "column_value", "is_whole_date", "parse_relative"]

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TRUE_TEXTS: Final = frozenset({"1", "true", "t", "yes", "y", "on"})


def column_value(field: Field, value: Any) -> Any:
    """The value as the field's column holds it; None for a falsy value of most types.

    Raises: InvalidValue.
    """
    match field.type:
        case "boolean":
            return bool(value)
        case "integer":
            return _integer(field, value)
        case "many2one" | "many2one_reference":
            return _id(field, value)
        case "float" | "monetary":
            return _float(field, value)
        case "date":
            return None if value is False else as_date(field, value)
        case "datetime":
            return None if value is False else as_datetime(field, value)
        case "char" | "text" | "html" | "selection" | "reference" | "binary":
            return None if value is False else _text(value)
    return None if value is False else value


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _integer(field: Field, value: Any) -> Any:
    try:
        number = int(value or 0)
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid(field, value, "a whole number") from error
    if abs(number) > 2**63 - 1:
        raise _invalid(field, value, "a whole number of 64 bits")
    return number


def _id(field: Field, value: Any) -> int | None:
    if value is False:
        return None
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise _invalid(field, value, "an id")
    return int(value) or None


def _float(field: Field, value: Any) -> Any:
    try:
        if "numeric" not in (field.column or "") or isinstance(value, Decimal):
            return value if isinstance(value, Decimal) else float(value or 0.0)
        number = float(value or 0.0)
        return number if math.isnan(number) or math.isinf(number) else Decimal(repr(number))
    except (TypeError, ValueError, InvalidOperation, OverflowError) as error:
        raise _invalid(field, value, "a number") from error


def is_whole_date(value: Any) -> bool:
    """Whether the value names a day without a time."""
    if isinstance(value, str):
        return _DAY.fullmatch(value) is not None
    return isinstance(value, date) and not isinstance(value, datetime)


def as_date(field: Field, value: Any) -> date:
    """The day of a value.

    Raises: InvalidValue.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return as_datetime(field, value).date()


def as_datetime(field: Field, value: Any) -> datetime:
    """The moment of a value, in UTC and without a time zone, as columns hold it.

    Raises: InvalidValue.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise _invalid(field, value, "a date such as 2026-12-31 or 2026-12-31 23:59:59") from error
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    raise _invalid(field, value, "a date")


def start_of_day(day: date, tz: str | None) -> datetime:
    """The moment, in UTC, at which a day begins in a time zone."""
    start = datetime.combine(day, time.min)
    if not tz or day.year in (1, 9999):
        return start
    return start.replace(tzinfo=ZoneInfo(tz)).astimezone(UTC).replace(tzinfo=None)


_UNITS: Final = {"d": "days", "w": "weeks", "H": "hours", "M": "minutes", "S": "seconds"}


def parse_relative(field: Field, text: str, now: datetime) -> date | datetime:
    """A relative date of Odoo 19: `today`, `now`, then terms such as `-3d`, `+1m`, `=monday`, `=1d`.

    Raises: InvalidValue.
    """
    terms = text.split()
    moment: date | datetime
    if terms and terms[0] == "today":
        moment, terms = now.date(), terms[1:]
    elif terms and terms[0] == "now":
        moment, terms = now.replace(microsecond=0), terms[1:]
    else:
        moment = now.date() if not any(t[-1:] in "HMS" for t in terms) else now.replace(microsecond=0)
    for term in terms:
        moment = _moved(field, moment, term, text)
    return moment


_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _moved(field: Field, moment: date | datetime, term: str, text: str) -> date | datetime:
    sign, unit, digits = term[:1], term[-1:], term[1:-1]
    if sign in ("+", "-", "=") and term[1:] in _WEEKDAYS:
        return _to_weekday(moment, _WEEKDAYS.index(term[1:]), sign)
    if sign not in ("+", "-", "=") or not digits.isdigit():
        raise _invalid(field, text, "a date, or a relative date such as `today -3d`")
    number = int(digits)
    try:
        if sign == "=":
            names = {"d": "day", "m": "month", "y": "year", "H": "hour", "M": "minute", "S": "second"}
            return _replaced(moment, names[unit], number)
        number = -number if sign == "-" else number
        if unit in ("m", "y"):
            return _shifted(moment, number * (12 if unit == "y" else 1))
        return moment + timedelta(**{_UNITS[unit]: number})
    except (KeyError, ValueError, OverflowError) as error:
        raise _invalid(field, text, "a date, or a relative date such as `today -3d`") from error


def _replaced(moment: date | datetime, name: str, number: int) -> date | datetime:
    changes: dict[str, int] = {name: number}
    if isinstance(moment, datetime):
        finer = ("hour", "minute", "second")
        if name in finer:
            changes.update(dict.fromkeys(finer[finer.index(name) + 1 :], 0))
        changes["microsecond"] = 0
    return moment.replace(**changes)  # type: ignore[arg-type]


def _shifted(moment: date | datetime, months: int) -> date | datetime:
    month = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(month, 12)
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return moment.replace(year=year, month=month + 1)


def _to_weekday(moment: date | datetime, weekday: int, sign: str) -> date | datetime:
    ahead = (weekday - moment.weekday()) % 7
    if sign == "=":
        return moment + timedelta(days=weekday - moment.weekday())
    return moment + timedelta(days=ahead if sign == "+" else ahead - 7 if ahead else 0)


def _invalid(field: Field, value: Any, wanted: str) -> InvalidValue:
    return InvalidValue(f"{shown(value)} is not {wanted} (for `{field}`)", fix=f"give {wanted}")
