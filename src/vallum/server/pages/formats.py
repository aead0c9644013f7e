"""How values read: numbers, dates, records, in the viewer's language.

Pure. Nothing here escapes: what comes out is text, and templates escape it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_skeleton
from babel.numbers import format_decimal

__all__ = ["absolute", "locale_of", "moment", "number", "period", "plain", "short", "url_part"]


def locale_of(lang: str) -> Locale:
    """The locale of a language as users have it (`de_DE`), English where there is none.

    >>> locale_of("de_DE").language, locale_of("xx").language, locale_of("sr@latin").language
    ('de', 'en', 'sr')
    """
    try:
        return Locale.parse(lang.split("@")[0])
    except (ValueError, UnknownLocaleError):
        return Locale("en", "US")


def number(value: float | Decimal, lang: str = "en_US") -> str:
    """A number with its thousands apart.

    >>> number(12345), number(0.5), number(12345, "de_DE")
    ('12,345', '0.5', '12.345')
    """
    return format_decimal(value, locale=locale_of(lang))


def moment(value: datetime | str) -> datetime:
    """An aware moment; one without a zone is in UTC, as columns hold it."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def zone_of(name: str | None) -> ZoneInfo:
    """The time zone of that name, UTC where there is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def absolute(value: datetime | str, zone: str | None = None) -> str:
    """A moment to the second, with its zone.

    >>> absolute(datetime(2026, 11, 25, 21, 5, 9), "Europe/Brussels")
    '2026-11-25 22:05:09 CET'
    """
    return moment(value).astimezone(zone_of(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def period(start: date, grain: str, lang: str = "en_US") -> str:
    """A period by its first day: a year, quarter or month in words, anything shorter by its day.

    >>> period(date(2026, 3, 1), "month"), period(date(2026, 4, 1), "quarter")
    ('March 2026', 'Q2 2026')
    >>> period(date(2026, 1, 1), "year")
    '2026'
    >>> period(date(2026, 3, 1), "month", "de_DE"), period(date(2026, 3, 2), "week")
    ('März 2026', '2026-03-02')
    """
    skeleton = {"year": "y", "quarter": "yQQQ", "month": "yMMMM"}.get(grain)
    if skeleton is None:
        return start.strftime("%Y-%m-%d")
    return format_skeleton(skeleton, start, locale=locale_of(lang))


def plain(value: Any, lang: str = "en_US") -> str:
    """A value of a record as a person reads it: names of records, words for yes and no.

    >>> plain((7, "Azure Interior")), plain(True), plain(None), plain([1, 2, 3]), plain(1234.5)
    ('Azure Interior', 'yes', '', '3 records', '1,234.5')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int):
        return value[1] if isinstance(value[1], str) else f"#{value[0]}"
    if isinstance(value, list | tuple):
        return f"{len(value)} record{'' if len(value) == 1 else 's'}" if value else ""
    if isinstance(value, int | float | Decimal):
        return number(value, lang)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return f"{len(value)} bytes"
    return str(value)


def short(value: str, most: int = 120) -> str:
    """Text cut to a length; the whole of it belongs into a title or behind a link.

    >>> short("abcdefgh", 5)
    'abcd…'
    """
    return value if len(value) <= most else value[: most - 1] + "…"


def url_part(value: object) -> str:
    """A value as one part of an address."""
    return quote(str(value), safe="")
