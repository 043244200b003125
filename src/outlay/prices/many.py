"""Pricing millions of calls at once: whole numbers in numpy, the same picodollars as one by one.

A cost is a sum of products of 64-bit integers. Whether that can overflow is checked before it is computed, per card;
where it could, those calls are priced one by one in Python's unbounded integers. Totals are added in two halves of
32 bits, so that no sum overflows either. No float takes part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from outlay.ledger.calls import Call
from outlay.prices.rates import Effective, cost
from outlay.tokens import Usage

if TYPE_CHECKING:
    from outlay.prices.book import PriceBook, Timeline

_Ints = NDArray[np.int64]
_Mask = NDArray[np.bool_]
CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")
_DAY_MS = 86_400_000
_TOP = 2**63 - 1


class Kind(msgspec.Struct, frozen=True):
    """What decides which rows price a call, time aside."""

    model: str
    provider: str = ""
    tier: str = ""
    speed: str = ""
    answered: str = ""
    measured: bool = True


class Columns:
    """Calls as columns, each of length n: `kind` (index into `kinds`), `at_ms` (UTC) and `counts[class]`."""

    def __init__(self, kinds: list[Kind], kind: Any, at_ms: Any, counts: dict[str, Any]) -> None:
        self.kinds = kinds
        self.kind: NDArray[np.int32] = np.asarray(kind, dtype=np.int32)
        self.at_ms: _Ints = np.asarray(at_ms, dtype=np.int64)
        none = np.zeros(len(self.at_ms), dtype=np.int64)
        self.counts: dict[str, _Ints] = {
            name: np.asarray(counts[name], dtype=np.int64) if name in counts else none for name in CLASSES
        }

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def input(self) -> _Ints:
        """Tokens of the whole input of each call."""
        c = self.counts
        return c["fresh"] + c["cache_read"] + c["cache_write_5m"] + c["cache_write_1h"]

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Columns:
        """Columns of calls, in their order."""
        codes: dict[Kind, int] = {}
        kind: list[int] = []
        at: list[int] = []
        counts: dict[str, list[int]] = {name: [] for name in CLASSES}
        for call in calls:
            key = kind_of(call)
            kind.append(codes.setdefault(key, len(codes)))
            at.append(call.ended_ms)
            for name in CLASSES:
                counts[name].append(getattr(call.usage, name))
        return cls(list(codes), kind, at, counts)

    def usage(self, index: int) -> Usage:
        """The counters of one call."""
        return Usage(**{name: int(column[index]) for name, column in self.counts.items()})


def kind_of(call: Call) -> Kind:
    """What decides which rows price `call`."""
    return Kind(
        call.model, call.provider, call.tier, call.speed, call.answered_model or "", call.quality != "unmeasured"
    )


class PricedMany:
    """Costs of many calls. `cost_pico` is meaningless where `known` is false."""

    def __init__(self, n: int, book: str) -> None:
        self.cost_pico: _Ints = np.zeros(n, dtype=np.int64)
        self.known: _Mask = np.zeros(n, dtype=np.bool_)
        self.book = book
        self.beyond: dict[int, int] = {}
        """Calls whose cost does not fit 64 bits: index -> picodollars (0 in `cost_pico`)."""
        self.unknown: dict[str, int] = {}
        """Why -> how many calls."""
        self.rows: dict[str, int] = {}
        """Price row -> how many calls it priced."""

    @property
    def total_pico(self) -> int:
        """Exact sum of the known costs."""
        return exact_sum(self.cost_pico) + sum(self.beyond.values())


def exact_sum(column: _Ints) -> int:
    """The sum of 64-bit integers, without overflow (for fewer than 2**31 of them)."""
    high = int(np.sum(column >> 32, dtype=np.int64))
    low = int(np.sum(column & 0xFFFFFFFF, dtype=np.int64))
    return (high << 32) + low


def price_columns(book: PriceBook, columns: Columns) -> PricedMany:
    """Price every call; the costs, rows and reasons are those of `PriceBook.price`."""
    from outlay.prices.book import Unpriced, variant_of

    result = PricedMany(len(columns), book.id)
    whole_input = columns.input
    for code, kind in enumerate(columns.kinds):
        chosen = np.flatnonzero(columns.kind == code)
        if not len(chosen):
            continue
        if not kind.measured:
            _unknown(result, "the call's usage was not measured", len(chosen))
            continue
        variant = variant_of(kind.tier, kind.speed)
        if isinstance(variant, Unpriced):
            _unknown(result, variant.why, len(chosen))
            continue
        lines = book.timelines(kind.model, kind.provider, variant, kind.answered)
        if isinstance(lines, Unpriced):
            _unknown(result, lines.why, len(chosen))
            continue
        left = _by_time(result, columns, whole_input, chosen, lines)
        if len(left):
            _unknown(result, book.no_row(kind.model, kind.provider, variant), len(left))
    return result


def _unknown(result: PricedMany, why: str, count: int) -> None:
    result.unknown[why] = result.unknown.get(why, 0) + count


def _by_time(result: PricedMany, columns: Columns, whole_input: _Ints, chosen: Any, lines: tuple[Timeline, ...]) -> Any:
    """Price calls of one kind by the first line that holds at their time; returns those that none does."""
    for line in lines:
        if not len(chosen):
            break
        holds = _holds(line, columns.at_ms[chosen])
        here = chosen if holds is None else chosen[holds]
        chosen = chosen[:0] if holds is None else chosen[~holds]
        if not len(here):
            continue
        steps = line.card.steps
        size = whole_input[here] if len(steps) > 1 else None
        for n, (above, rates) in enumerate(steps):
            part = here
            if size is not None:
                inside = size > above
                if n + 1 < len(steps):
                    inside &= size <= steps[n + 1][0]
                part = here[inside]
            if len(part):
                _charge(result, columns, part, rates, line.card.row)
    return chosen


def _holds(line: Timeline, at: _Ints) -> _Mask | None:
    """Where the line holds; None: everywhere."""
    mask: _Mask | None = None
    if line.from_ms is not None:
        mask = at >= line.from_ms
    if line.until_ms is not None:
        mask = (at < line.until_ms) if mask is None else mask & (at < line.until_ms)
    if line.days:
        on_day = np.isin((at // _DAY_MS + 3) % 7, line.days)
        mask = on_day if mask is None else mask & on_day
    if line.hours is not None:
        start, end = line.hours
        now = at % _DAY_MS
        inside = (now >= start) & (now < end) if start <= end else (now >= start) | (now < end)
        mask = inside if mask is None else mask & inside
    return mask


def _charge(result: PricedMany, columns: Columns, part: Any, rates: Effective, row: str) -> None:
    result.rows[row] = result.rows.get(row, 0) + len(part)
    terms = [
        ("fresh", rates.fresh, "input"),
        ("cache_read", rates.cache_read, "cache_read"),
        ("cache_write_5m", rates.cache_write_5m, "cache_write_5m"),
        ("cache_write_1h", rates.cache_write_1h, "cache_write_1h"),
        ("output", rates.output, "output"),
        ("web_searches", rates.web_search, "web_search"),
    ]
    if rates.reasoning is not None and rates.output is not None and rates.reasoning != rates.output:
        terms.append(("reasoning", rates.reasoning - rates.output, "output"))
    total: _Ints = np.full(len(part), rates.request, dtype=np.int64)
    missing: _Mask | None = None
    bound = rates.request
    for name, rate, label in terms:
        count = columns.counts[name][part]
        if rate is None:
            lacking = count != 0
            if lacking.any():
                fresh = lacking if missing is None else lacking & ~missing
                _unknown(result, f"no rate for {label} in {row}", int(fresh.sum()))
                missing = lacking if missing is None else missing | lacking
            continue
        bound += int(np.abs(count).max()) * abs(rate)
        if bound > _TOP:
            _one_by_one(result, columns, part, rates, row)
            return
        total += count * rate
    result.cost_pico[part] = total
    result.known[part] = True
    if missing is not None:
        result.known[part[missing]] = False
        result.cost_pico[part[missing]] = 0


def _one_by_one(result: PricedMany, columns: Columns, part: Any, rates: Effective, row: str) -> None:
    for index in part:
        exact, why = cost(rates, columns.usage(index))
        result.known[index] = exact is not None
        if exact is None:
            _unknown(result, f"{why} in {row}", 1)
        elif exact <= _TOP:
            result.cost_pico[index] = exact
        else:
            result.beyond[int(index)] = exact
