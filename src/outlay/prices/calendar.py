"""Instants at which periods begin: calendar days, weeks and months in a time zone, and months since a start.

Milliseconds UTC throughout. Local midnights follow the zone, so a day is 23 or 25 hours long when clocks change; a
month since the 31st begins on the last day of shorter months.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from outlay.errors import InputError

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def zone(name: str) -> dt.tzinfo:
    """The time zone of that name. Raises InputError when there is none."""
    if name in ("", "UTC"):
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"no time zone {name!r}; write a name such as Europe/Berlin") from None


def moment(at_ms: int, tz: dt.tzinfo = dt.UTC) -> dt.datetime:
    """The instant as a date-time, exact to the millisecond."""
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=at_ms)).astimezone(tz)


def to_ms(when: dt.datetime) -> int:
    """Milliseconds UTC of an aware date-time, exact."""
    return (when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def _midnight(day: dt.date, tz: dt.tzinfo) -> int:
    return to_ms(dt.datetime.combine(day, dt.time(), tz))


def calendar_start(kind: str, at_ms: int, tz: dt.tzinfo = dt.UTC) -> int:
    """When the calendar `day`, `week` (from Monday) or `month` around an instant began."""
    day = moment(at_ms, tz).date()
    if kind == "week":
        day -= dt.timedelta(days=day.weekday())
    elif kind == "month":
        day = day.replace(day=1)
    return _midnight(day, tz)


def calendar_next(kind: str, start_ms: int, tz: dt.tzinfo = dt.UTC) -> int:
    """When the calendar period that began at `start_ms` ends."""
    day = moment(start_ms, tz).date()
    if kind == "month":
        day = day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1)
    else:
        day += dt.timedelta(days=7 if kind == "week" else 1)
    return _midnight(day, tz)


def add_months(start_ms: int, months: int, tz: dt.tzinfo = dt.UTC) -> int:
    """The same day and time `months` months later, on the month's last day where it has no such day."""
    start = moment(start_ms, tz)
    total = start.year * 12 + start.month - 1 + months
    year, month = total // 12, total % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return to_ms(start.replace(year=year, month=month, day=day, fold=0))


def month_number(start_ms: int, at_ms: int, tz: dt.tzinfo = dt.UTC) -> int:
    """Which month since `start_ms` an instant lies in, from 0; negative before the start."""
    start, now = moment(start_ms, tz), moment(at_ms, tz)
    guess = (now.year - start.year) * 12 + now.month - start.month
    while add_months(start_ms, guess, tz) > at_ms:
        guess -= 1
    while add_months(start_ms, guess + 1, tz) <= at_ms:
        guess += 1
    return guess


def months(start_ms: int, first_ms: int, last_ms: int, tz: dt.tzinfo = dt.UTC) -> Iterator[tuple[int, int]]:
    """(begin, end) of every month since `start_ms` that holds an instant from `first_ms` to `last_ms`."""
    number = month_number(start_ms, first_ms, tz)
    while (begin := add_months(start_ms, number, tz)) <= last_ms:
        number += 1
        yield begin, add_months(start_ms, number, tz)
