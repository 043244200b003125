"""Days of a time zone in SQL: the zone's offset as a function of time, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from outlay.errors import InputError

_EPOCH = date(1970, 1, 1)
_STEP_MS = 3_600_000
_PROBE_MS = 14 * 86_400_000


def zone(name: str | None) -> tzinfo:
    """The zone of that name (`Europe/Vienna`, `UTC`); this machine's when there is none."""
    if not name:
        return _local()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InputError(f"no time zone {name!r}; write it like Europe/Vienna, America/New_York or UTC") from None


def _local() -> tzinfo:
    import os
    from pathlib import Path

    name = os.environ.get("TZ", "").lstrip(":")
    try:
        if name:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (KeyError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


def offset_ms(where: tzinfo, at_ms: int) -> int:
    """Milliseconds by which local time is ahead of UTC at a moment."""
    shift = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(where).utcoffset()
    return int((shift or timedelta()).total_seconds() * 1000)


def changes(where: tzinfo, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """(moment, offset from then on) of every change of the offset in a span; the first is the span's beginning."""
    found = [(from_ms, offset_ms(where, from_ms))]
    at = from_ms
    while at < until_ms:
        then = min(at + _PROBE_MS, until_ms)
        if offset_ms(where, then) != found[-1][1]:
            low, high = at, then
            while high - low > 1:
                middle = (low + high) // 2
                if offset_ms(where, middle) == found[-1][1]:
                    low = middle
                else:
                    high = middle
            found.append((high, offset_ms(where, high)))
            at = high
        else:
            at = then
    return found


def day_expression(where: tzinfo, from_ms: int, until_ms: int) -> str:
    """Days since 1970-01-01 in the zone, as SQL (SQLite's and DuckDB's) over `ended_ms`."""
    spans = changes(where, from_ms, until_ms)
    cases = [f"WHEN ended_ms >= {at} THEN {shift}" for at, shift in reversed(spans[1:])]
    shift = f"CASE {' '.join(cases)} ELSE {spans[0][1]} END" if cases else str(spans[0][1])
    local = f"(ended_ms + {shift})"
    # what is left over is never negative where all of it is after 1970, which is much the cheaper to compute
    rest = f"{local} % 86400000" if from_ms > _PROBE_MS else f"({local} % 86400000 + 86400000) % 86400000"
    return f"CAST(({local} - {rest}) / 86400000 AS INTEGER)"


def day_of(number: int) -> date:
    """The date of a number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=number)


def begins_ms(day: date, where: tzinfo) -> int:
    """When a local day begins, in milliseconds since the epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=where).timestamp() * 1000)
