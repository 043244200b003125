"""Prices of sums: calls that the same rates apply to are added up first and priced once, exactly.

Rates are linear in tokens, so a sum over calls costs what the calls cost, as long as every call of it falls under the
same price row, the same hours and the same size step. A price class says which of those a call falls under.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod

import msgspec

from outlay.prices.book import PriceBook, Timeline, Unpriced, variant_of
from outlay.prices.rates import Effective

_CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")
_RATES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_search", "request")
_DAY_MS = 86_400_000
_MONDAY_MS = 3 * _DAY_MS
"""What the week of 1970-01-01, a Thursday, had behind it."""


class Service(msgspec.Struct, frozen=True):
    """A row of the ledger's `services`."""

    id: int
    model: str
    answered_model: str
    provider: str
    tier: str
    speed: str


class Plan(msgspec.Struct, frozen=True):
    """How calls of one service fall into price classes."""

    lines: tuple[Timeline, ...]
    why_unknown: str
    times: tuple[int, ...]
    """Milliseconds since the epoch at which another row begins to hold."""
    hours: tuple[int, ...]
    """Milliseconds of the UTC day, the same."""
    days: tuple[int, ...]
    """Days of the UTC week (Monday is 0) but Monday, where some row holds on some days only; else none."""
    sizes: tuple[int, ...]
    """Input tokens above which other rates hold."""
    bare: tuple[str, ...]
    """Token classes for which some row states no rate: calls that have such tokens are a class of their own."""

    @property
    def size(self) -> int:
        """How many classes there are."""
        return prod(len(steps) + 1 for steps in (self.times, self.hours, self.days, self.sizes)) << len(self.bare)

    def expression(self, base: int) -> str:
        """The price class as SQL (SQLite's and DuckDB's) over the columns of a call `f`, counted from `base`."""
        whole = "(f.fresh + f.cache_read + f.cache_write_5m + f.cache_write_1h)"
        steps = [
            [f"(f.ended_ms >= {t})" for t in self.times],
            [f"(f.ended_ms % {_DAY_MS} >= {h})" for h in self.hours],
            [f"((f.ended_ms + {_MONDAY_MS}) % {7 * _DAY_MS} >= {day * _DAY_MS})" for day in self.days],
            [f"({whole} > {above})" for above in self.sizes],
            *([f"(f.{name} > 0)"] for name in self.bare),
        ]
        terms, factor = [str(base)], 1
        for tests in steps:
            terms += [f"{factor} * CAST({test} AS INTEGER)" for test in tests]
            factor *= len(tests) + 1
        return " + ".join(terms)

    def classes(self) -> Iterator[Effective | None]:
        """The rates of every class in order; None where the cost is unknown."""
        if not self.lines:
            yield from [None] * self.size
            return
        spans = [range(len(steps) + 1) for steps in (self.sizes, self.days, self.hours, self.times)]
        for bits in range(1 << len(self.bare)):
            used = [name for n, name in enumerate(self.bare) if bits >> n & 1]
            for size, day, hour, passed in product(*spans):
                rates = self._rates(passed, hour, day, size)
                known = rates is not None and all(getattr(rates, _rate(name)) is not None for name in used)
                yield rates if known else None

    def _rates(self, passed: int, hour: int, day: int, size: int) -> Effective | None:
        at_ms = self.times[passed - 1] if passed else (self.times[0] - 1 if self.times else 0)
        of_day_ms = self.hours[hour - 1] if hour else 0
        for line in self.lines:
            if line.holds(at_ms, of_day_ms, day):
                return line.card.at(self.sizes[size - 1] + 1 if size else 0)
        return None


def plan(book: PriceBook, service: Service) -> Plan:
    """How calls of a service are priced under a book."""
    variant = variant_of(service.tier, service.speed)
    if isinstance(variant, Unpriced):
        return Plan((), variant.why, (), (), (), (), ())
    lines = book.timelines(service.model, service.provider, variant, service.answered_model)
    if isinstance(lines, Unpriced):
        return Plan((), lines.why, (), (), (), (), ())
    times = {t for line in lines for t in (line.from_ms, line.until_ms) if t is not None}
    hours = {h for line in lines if line.hours is not None for h in line.hours}
    days = range(1, 7) if any(line.days for line in lines) else ()
    sizes = {above for line in lines for above, _ in line.card.steps if above >= 0}
    bare = {
        name
        for line in lines
        for _, rates in line.card.steps
        for name in _CLASSES
        if getattr(rates, _rate(name)) is None
    }
    why = book.no_row(service.model, service.provider, variant)
    return Plan(lines, why, _sorted(times), _sorted(hours), tuple(days), _sorted(sizes), tuple(sorted(bare)))


class Classes(msgspec.Struct, frozen=True):
    """The price classes of all services, numbered through."""

    expression: str
    """The class of a call `f` as SQL."""
    rows: list[tuple[int, ...]]
    """(class, service, 1 if the cost is known, rates in picodollars)"""


def classes(plans: Mapping[int, Plan]) -> Classes:
    """Number the classes of all services."""
    cases: list[str] = []
    rows: list[tuple[int, ...]] = []
    for id, how in plans.items():
        cases.append(f"WHEN {id} THEN {how.expression(len(rows))}")
        for rates in how.classes():
            numbers = (0,) * len(_RATES) if rates is None else tuple(getattr(rates, n) or 0 for n in _RATES)
            rows.append((len(rows), id, int(rates is not None), *numbers))
    if not cases:
        return Classes("0", [(0, 0, 0, *(0,) * len(_RATES))])
    return Classes(f"CASE f.service {' '.join(cases)} END", rows)


def _rate(name: str) -> str:
    return "web_search" if name == "web_searches" else name


def _sorted(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(values))
