"""The clock: aware, in UTC, and still where a test wants it still."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from vallum.kernel import Clock, FixedClock, SettingsError, SystemClock, today


def test_system_clock_tells_aware_utc() -> None:
    """The present is an instant in UTC, between two looks at the machine's own clock."""
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)


def test_fixed_clock_stands_until_advanced() -> None:
    """Time passes only when a test says so."""
    clock = FixedClock(datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == clock.now() == datetime(2026, 3, 1, 10, tzinfo=UTC)
    clock.advance(timedelta(days=1))
    assert clock.now() == datetime(2026, 3, 2, 10, tzinfo=UTC)


def test_fixed_clock_with_naive_instant_is_refused() -> None:
    """An instant without a time zone is no instant."""
    with pytest.raises(SettingsError, match="naive"):
        FixedClock(datetime(2026, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("tz", "expected"),
    [
        (None, date(2026, 3, 1)),
        ("Europe/Brussels", date(2026, 3, 2)),
        ("America/Los_Angeles", date(2026, 3, 1)),
    ],
)
def test_today_is_the_date_of_the_zone(tz: str | None, expected: date) -> None:
    """At one instant it is not the same date everywhere."""
    assert today(FixedClock(datetime(2026, 3, 1, 23, 30, tzinfo=UTC)), tz) == expected


@pytest.mark.parametrize("tz", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "a\0b"])
def test_today_in_unknown_zone_is_refused(tz: str) -> None:
    """A time zone nobody knows is an error, never UTC in silence, and never a file."""
    with pytest.raises(SettingsError, match="time zone"):
        today(SystemClock(), tz)


@pytest.mark.parametrize("clock", [SystemClock(), FixedClock(datetime(2026, 1, 1, tzinfo=UTC))])
def test_clocks_keep_the_protocol(clock: object) -> None:
    """Both clocks are clocks."""
    assert isinstance(clock, Clock)
