"""The time: the only module that reads it.

Everything else takes a `Clock`, so that a lockout, an expiry or a rule about
today can be tested at any instant. Instants are aware and in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from vallum.kernel.errors import SettingsError

__all__ = ["Clock", "FixedClock", "SystemClock", "today"]


@runtime_checkable
class Clock(Protocol):
    """Something that knows the present instant."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still until it is told to go on.

    >>> clock = FixedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    >>> clock.advance(timedelta(minutes=15))
    >>> clock.now().isoformat()
    '2026-03-01T12:15:00+00:00'
    """

    __slots__ = ("_now",)

    def __init__(self, now: datetime) -> None:
        self._now = _in_utc(now)

    def now(self) -> datetime:
        """The instant it stands at, aware, in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Go on by that much."""
        self._now += by


def today(clock: Clock, tz: str | None = None) -> date:
    """The date it is now in the time zone `tz` (an IANA name; UTC where there is none).

    >>> today(FixedClock(datetime(2026, 3, 1, 23, 30, tzinfo=UTC)), "Europe/Brussels")
    datetime.date(2026, 3, 2)

    Raises: SettingsError (a time zone nobody knows).
    """
    if tz is None:
        return clock.now().date()
    try:
        zone = ZoneInfo(tz)
    except (LookupError, ValueError, OSError) as error:
        raise SettingsError(
            f"no time zone is called `{tz}`", fix="use an IANA name such as `Europe/Brussels`"
        ) from error
    return clock.now().astimezone(zone).date()


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise SettingsError("a clock cannot stand at a naive datetime", fix="give it a time zone")
    return moment.astimezone(UTC)
