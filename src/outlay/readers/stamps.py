"""Timestamps as agents write them: RFC 3339 with 0 to 9 digits and any offset, or milliseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FIRST_YEAR, _LAST_YEAR = 1900, 2900
"""Outside of them no agent worked, and a calendar may come to its end."""
_LAST_MS = 29_000_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANY = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d+))?\s*(Z|[+-]\d\d:?\d\d)?$", re.IGNORECASE)


_SIXTY = {f"{number:02}": number for number in range(60)}


class Stamps:
    """`millis` for many stamps of the usual form, most of them of the same hours."""

    def __init__(self) -> None:
        self._hours: dict[str, int] = {}

    def millis(self, stamp: str | None) -> int | None:
        """The same as the function `millis`."""
        if stamp is None or len(stamp) != 24 or stamp[23] != "Z" or stamp[19] != "." or stamp[16] != ":":
            return millis(stamp)
        minute, second, thousandth = _SIXTY.get(stamp[14:16]), _SIXTY.get(stamp[17:19]), stamp[20:23]
        if minute is None or second is None or not thousandth.isdecimal():
            return millis(stamp)
        hour = stamp[:14]
        base = self._hours.get(hour)
        if base is None:
            found = millis(f"{hour}00:00Z")
            if found is None:
                return millis(stamp)
            base = self._hours[hour] = found
        return base + minute * 60_000 + second * 1000 + int(thousandth)


def millis(stamp: str | int | float | None) -> int | None:
    """Milliseconds since the epoch, UTC; None for what is no time. A stamp without an offset is UTC."""
    if stamp is None:
        return None
    if not isinstance(stamp, str):
        return int(stamp) if 0 < stamp < _LAST_MS else None
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return _odd(stamp)
    return _since_epoch(moment)


def _since_epoch(moment: datetime) -> int | None:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _odd(stamp: str) -> int | None:
    found = _ANY.match(stamp.strip())
    if found is None:
        return None
    fraction = ((found[2] or "") + "000000")[:6]
    zone = (found[3] or "Z").upper()
    try:
        return _since_epoch(
            datetime.fromisoformat(f"{found[1].replace(' ', 'T')}.{fraction}{'+00:00' if zone == 'Z' else zone}")
        )
    except ValueError:
        return None
