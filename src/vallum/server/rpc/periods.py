"""Periods that records are grouped by: where they begin and end, and what people call them.

Pure. Datetimes fall into periods of a time zone and are told in UTC. Names of months and the like
come from Unicode's locale data (babel), as Odoo's do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime

from vallum.server.rpc.shapes import moment

__all__ = ["Period", "label"]

_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_DAYS: Final = {"day": 1, "week": 7}
# Patterns of Unicode's locale data markup language.
_PATTERNS: Final = {
    "hour": "hh:00 dd MMM",
    "day": "dd MMM yyyy",
    "week": "'W'w YYYY",
    "month": "MMMM yyyy",
    "quarter": "QQQ yyyy",
    "year": "yyyy",
}


@dataclass(frozen=True, slots=True)
class Period:
    """A period: its local beginning, and the texts of beginning and end as fields hold them."""

    local: date
    granularity: str
    start_text: str
    end_text: str

    @classmethod
    def of(cls, start: Any, granularity: str, kind: str, zone: ZoneInfo | None) -> Period:
        """The period that begins at `start`, in the time zone for datetimes."""
        end = _next(start, granularity)
        if kind == "date":
            return cls(start, granularity, start.isoformat(), end.isoformat())
        return cls(start, granularity, moment(_utc(start, zone)), moment(_utc(end, zone)))


def _next(start: Any, granularity: str) -> Any:
    """The beginning of the period after the one that begins at `start`."""
    if granularity == "hour":
        return start + timedelta(hours=1)
    if granularity in _DAYS:
        return start + timedelta(days=_DAYS[granularity])
    months = start.month - 1 + _MONTHS[granularity]
    return start.replace(year=start.year + months // 12, month=months % 12 + 1)


def _utc(local: datetime, zone: ZoneInfo | None) -> datetime:
    return local if zone is None else local.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)


def label(period: Period, lang: str) -> str:
    """What people call a period.

    >>> label(Period.of(date(2026, 9, 1), "month", "date", None), "en_US")
    'September 2026'
    """
    pattern, locale = _PATTERNS[period.granularity], _locale(lang)
    if isinstance(period.local, datetime):
        return format_datetime(period.local, pattern, locale=locale)
    return format_date(period.local, pattern, locale=locale)


def _locale(lang: str) -> Locale:
    try:
        return Locale.parse(lang.partition("@")[0])
    except (UnknownLocaleError, ValueError):
        return Locale("en", "US")
