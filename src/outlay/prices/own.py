"""The user's own price book: `[[price]]` rows in TOML, which stand above the snapshot.

[[price]]
model = "exact-id"              # required; `provider = "..."` limits the row to one provider
from = 2026-01-01T00:00:00Z     # both optional; from is included, until is not
until = 2026-07-01T00:00:00Z
hours = ["00:30", "16:30"]      # optional part of the UTC day; such rows stand above those without
input = 3                       # USD per million tokens; required, as is output
output = 15
cache_read = 0.3
cache_write_5m = 3.75
cache_write_1h = 6
web_search = 0.01               # USD each
request = 0                     # USD per call
batch = 0.5                     # multipliers of every token rate: batch, flex, priority, fast
[[price.tier]]
above_input_tokens = 200_000    # strictly above; reprices the whole call
input = 6
output = 22.5

[[discount]]                    # what a contract takes off the list, for ContractedCost
provider = "anthropic"
factor = 0.85
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD, PICO_PER_USD_PER_MTOK
from outlay.prices.rates import Rates
from outlay.prices.snapshot import Row

MULTIPLIERS = ("batch", "flex", "priority", "fast")
_PER_MTOK = {
    "input": "fresh", "output": "output", "cache_read": "cache_read", "cache_write_5m": "cache_write_5m",
    "cache_write_1h": "cache_write_1h", "reasoning": "reasoning",
}  # fmt: skip
_EACH = {"web_search": "web_search", "request": "request"}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KNOWN = {"model", "provider", "from", "until", "hours", "days", "tier", *_PER_MTOK, *_EACH, *MULTIPLIERS}
_DAY_MS = 86_400_000


class OwnRow(msgspec.Struct, frozen=True):
    """One `[[price]]`, compiled."""

    model: str
    """Lower case."""
    provider: str
    """Empty: any provider."""
    row: Row
    until_ms: int | None
    origin: str
    """File and number of the row, for messages."""


class Discount(msgspec.Struct, frozen=True):
    """A contract's share of the list price, for one provider and a stretch of time."""

    provider: str
    factor: Fraction
    from_ms: int | None
    until_ms: int | None


class OwnBook(msgspec.Struct, frozen=True):
    """All rows of one or several files."""

    rows: tuple[OwnRow, ...] = ()
    discounts: tuple[Discount, ...] = ()


def read_own(path: Path) -> OwnBook:
    """Rows of one file. Raises InputError that names the file, the row and the field."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise InputError(f"cannot read the price book {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"price book {path}: not TOML: {error}") from None
    return parse_own(table, str(path))


def parse_own(table: Mapping[str, Any], name: str) -> OwnBook:
    """Rows of a parsed price book; `name` stands in the messages."""
    if unknown := set(table) - {"price", "discount"}:
        raise InputError(
            f"price book {name}: no such table {sorted(unknown)[0]!r}; there are [[price]] and [[discount]]"
        )
    for kind in ("price", "discount"):
        if not isinstance(table.get(kind, []), list):
            raise InputError(f"price book {name}: write [[{kind}]] with two brackets")
    rows = [
        row
        for n, entry in enumerate(table.get("price", []), 1)
        for row in _price(entry, f"price book {name}, price {n}")
    ]
    discounts = tuple(
        _discount(entry, f"price book {name}, discount {n}") for n, entry in enumerate(table.get("discount", []), 1)
    )
    refuse_overlaps(rows)
    return OwnBook(tuple(rows), discounts)


def refuse_overlaps(rows: list[OwnRow]) -> None:
    """Raise InputError when two rows price the same model at the same time.

    A row for certain hours or days may stand above one without; two such rows must not meet.
    """
    groups: dict[tuple[object, ...], list[OwnRow]] = {}
    for row in rows:
        narrow = (row.row.hours is None, not row.row.days)
        groups.setdefault((row.model, row.provider, narrow, row.row.variant), []).append(row)
    for group in groups.values():
        ordered = sorted(group, key=lambda r: -1 if r.row.from_ms is None else r.row.from_ms)
        for n, one in enumerate(ordered):
            for following in ordered[n + 1 :]:
                apart = following.row.from_ms is not None and one.until_ms is not None
                if apart and (following.row.from_ms or 0) >= (one.until_ms or 0):
                    break
                if _meet(one.row, following.row):
                    raise InputError(
                        f"{following.origin}: overlaps {one.origin} for {one.model!r}; "
                        "give the earlier one an `until` no later than the other's `from`"
                    )


def _meet(one: Row, other: Row) -> bool:
    """Whether two rows share an hour of a day (their dates do)."""
    if one.days and other.days and not set(one.days) & set(other.days):
        return False
    if one.hours is None or other.hours is None:
        return True
    return any(a < d and c < b for a, b in _spans(one.hours) for c, d in _spans(other.hours))


def _spans(hours: tuple[int, int]) -> list[tuple[int, int]]:
    start, end = hours
    return [(start, end)] if start <= end else [(start, _DAY_MS), (0, end)]


def amount(value: object, what: str) -> Fraction:
    """A number that is finite and not negative, exactly as written. Raises InputError naming `what`."""
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation:
        raise InputError(f"{what}: {value!r} is no number") from None
    if not number.is_finite() or number < 0:
        raise InputError(f"{what}: {value} is no price; prices are 0 or more")
    return Fraction(number)


def whole_pico(exact: Fraction, what: str) -> int:
    """An exact rate as whole picodollars. Raises InputError when it is finer than that."""
    if exact.denominator != 1:
        raise InputError(f"{what}: finer than a millionth of a dollar per million tokens")
    return exact.numerator


def instant(value: object, what: str) -> int | None:
    """Milliseconds UTC of a TOML date or date-time; without an offset it is UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            raise InputError(f"{what}: {value!r} is no time; write 2026-01-31T12:00:00Z") from None
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return int(aware.timestamp() * 1000)
    if isinstance(value, dt.date):
        return int(dt.datetime.combine(value, dt.time(), dt.UTC).timestamp()) * 1000
    raise InputError(f"{what}: {value!r} is no time; write 2026-01-31T12:00:00Z")


def _rates(entry: Mapping[str, Any], where: str, factor: Fraction = Fraction(1)) -> Rates:
    found = {}
    for key, name in _PER_MTOK.items():
        if key in entry:
            exact = amount(entry[key], f"{where}: {key}") * PICO_PER_USD_PER_MTOK * factor
            found[name] = whole_pico(exact, f"{where}: {key}")
    for key, name in _EACH.items():
        if key in entry:
            found[name] = whole_pico(amount(entry[key], f"{where}: {key}") * PICO_PER_USD, f"{where}: {key}")
    return Rates(**found)


def _hours(value: object, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2):
        raise InputError(f'{where}: hours is a pair of times of the UTC day, such as ["00:30", "16:30"]')
    found = []
    for text in value:
        try:
            time = text if isinstance(text, dt.time) else dt.time.fromisoformat(str(text))
        except ValueError:
            raise InputError(f"{where}: {text!r} is no time of day; write 16:30") from None
        found.append(((time.hour * 60 + time.minute) * 60 + time.second) * 1000)
    return found[0], found[1]


def _days(value: object, where: str) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or any(day not in DAYS for day in value):
        raise InputError(f"{where}: days is a list of {', '.join(DAYS)}")
    return tuple(sorted(DAYS.index(day) for day in value))


def _price(entry: Mapping[str, Any], where: str) -> list[OwnRow]:
    model = entry.get("model")
    if not isinstance(model, str) or not model:
        raise InputError(f"{where}: `model` is missing; write the exact id of the model")
    where = f"{where} ({model})"
    if unknown := set(entry) - _KNOWN:
        raise InputError(f"{where}: no such field {sorted(unknown)[0]!r}; there are {', '.join(sorted(_KNOWN))}")
    for needed in ("input", "output"):
        if needed not in entry:
            raise InputError(f"{where}: `{needed}` is missing (USD per million tokens)")
    from_ms, until_ms = instant(entry.get("from"), f"{where}: from"), instant(entry.get("until"), f"{where}: until")
    if from_ms is not None and until_ms is not None and until_ms <= from_ms:
        raise InputError(f"{where}: `until` is not after `from`")
    hours, days = _hours(entry.get("hours"), where), _days(entry.get("days"), where)
    rows = []
    stated = [name for name in MULTIPLIERS if name in entry]
    factors = [("", Fraction(1))] + [(name, amount(entry[name], f"{where}: {name}")) for name in stated]
    for variant, factor in factors:
        row = Row(_rates(entry, where, factor), _tiers(entry, where, factor), from_ms, hours, variant, days)
        rows.append(OwnRow(model.lower(), str(entry.get("provider", "")), row, until_ms, where))
    return rows


def _tiers(entry: Mapping[str, Any], where: str, factor: Fraction) -> tuple[tuple[int, Rates], ...]:
    tiers = []
    for n, tier in enumerate(entry.get("tier", []), 1):
        above = tier.get("above_input_tokens")
        if not isinstance(above, int) or isinstance(above, bool) or above < 0:
            raise InputError(f"{where}, tier {n}: `above_input_tokens` is missing or no whole number")
        if unknown := set(tier) - {"above_input_tokens", *_PER_MTOK, *_EACH}:
            raise InputError(f"{where}, tier {n}: no such field {sorted(unknown)[0]!r}")
        # A class that a tier does not restate keeps the rate of the row.
        tiers.append((above, _rates({**entry, **tier}, f"{where}, tier {n}", factor)))
    tiers.sort(key=lambda t: t[0])
    if len({above for above, _ in tiers}) < len(tiers):
        raise InputError(f"{where}: two tiers start above the same number of tokens")
    return tuple(tiers)


def _discount(entry: Mapping[str, Any], where: str) -> Discount:
    if unknown := set(entry) - {"provider", "factor", "from", "until"}:
        raise InputError(f"{where}: no such field {sorted(unknown)[0]!r}")
    provider = entry.get("provider")
    if not isinstance(provider, str) or not provider:
        raise InputError(f"{where}: `provider` is missing")
    factor = amount(entry.get("factor"), f"{where}: factor")
    if factor > 1:
        raise InputError(f"{where}: factor {float(factor):g} is above 1; 0.85 means 15 % off the list")
    return Discount(
        provider, factor, instant(entry.get("from"), f"{where}: from"), instant(entry.get("until"), f"{where}: until")
    )
