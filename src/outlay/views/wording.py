"""How numbers, times and money are written for people, the same everywhere."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise

from outlay.economics.spend import Spend
from outlay.economics.tokenomics import Figure
from outlay.money import show

DASH = "–"


def tokens(count: int | None) -> str:
    """`950`, `12.3k`, `1.25M`; a dash for None."""
    if count is None:
        return DASH
    if count < 1000:
        return str(count)
    if count < 999_500:
        return f"{count / 1000:.1f}k" if count < 99_950 else f"{count / 1000:.0f}k"
    return f"{count / 1e6:.2f}M"


def percent(share: float | None) -> str:
    """`12 %`; a dash for None."""
    return DASH if share is None else f"{share:.0%}".replace("%", " %")


def duration(ms: int | None) -> str:
    """`850ms`, `12.3s`, `4m05s`, `2h07m`; a dash for None."""
    if ms is None:
        return DASH
    if ms < 1000:
        return f"{ms}ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f}s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def size(count: int) -> str:
    """Bytes, as `512 B`, `3.4 KiB`, `120 MiB`."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def clock_time(ms: int | None, *, seconds: bool = False) -> str:
    """Local time of day; a dash for None."""
    if ms is None:
        return DASH
    return dt.datetime.fromtimestamp(ms / 1000).astimezone().strftime("%H:%M:%S" if seconds else "%H:%M")


def date_time(ms: int | None) -> str:
    """Local date and time; a dash for None."""
    if ms is None:
        return DASH
    return dt.datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def cost(spend: Spend) -> str:
    """`$1.23`; `≥ $1.23` when a part is unknown; `unknown` when all is."""
    if spend.cost_pico is not None:
        return show(spend.cost_pico)
    return "unknown" if spend.least_pico is None else f"≥ {show(spend.least_pico)}"


def ratio(figure: Figure, digits: int = 2) -> str:
    """`1.52`, or `unknown (why)`."""
    return f"{figure.value:,.{digits}f}" if figure.value is not None else f"unknown ({figure.why_unknown})"


def usd(figure: Figure) -> str:
    """`$1.52`, or `unknown (why)`."""
    if figure.value is None:
        return f"unknown ({figure.why_unknown})"
    return f"${figure.value:,.2f}" if figure.value >= 1 else f"${figure.value:.4f}"


def plural(count: int, word: str) -> str:
    """`1 check`, `2 checks`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tabs and line ends, marks that turn the direction of writing, halves of characters."""


def printable(text: str) -> str:
    """A text of an agent as a terminal may have it: nothing in it can write to the terminal but itself."""
    return _NOT_TEXT.sub(lambda found: repr(found[0])[1:-1], text).expandtabs(4)


def sparkline(values: list[int], width: int, top: int | None = None) -> str:
    """Values as blocks of eight heights; more values than `width` are reduced to the highest of each stretch."""
    if not values:
        return ""
    if len(values) > width:
        edges = [round(n * len(values) / width) for n in range(width + 1)]
        values = [max(values[a:b]) for a, b in pairwise(edges)]
    highest = max(top or 0, *values) or 1
    return "".join("▁▂▃▄▅▆▇█"[min(7, value * 8 // highest)] for value in values)
