"""What a tool's results cost: tokens when they are first read, and again in every later turn until compaction.

The growth of a session's input between two calls is exact; it is shared out over the results that came between them,
by characters. From then on they are part of every request, until the context shrinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from outlay.economics.contexts import by_session, growth
from outlay.ledger.calls import Call
from outlay.prices.book import PriceBook, Unpriced
from outlay.prices.rates import Effective


class Used(Protocol):
    """A tool call with its result: `outlay.readers.trace.Use` is one."""

    @property
    def session(self) -> str: ...
    @property
    def call(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def chars(self) -> int: ...


class Cost(msgspec.Struct):
    """What results cost. Money is in picodollars, estimated from exact growth; None when a price is missing."""

    uses: int = 0
    first_read: int = 0
    """Tokens, when they entered the context."""
    read_again: int = 0
    """Tokens, added up over the later calls that had them in their context."""
    first_read_pico: int | None = 0
    read_again_pico: int | None = 0

    @property
    def pico(self) -> int | None:
        """Both together."""
        if self.first_read_pico is None or self.read_again_pico is None:
            return None
        return self.first_read_pico + self.read_again_pico

    def add(self, other: Cost) -> None:
        """Take in another cost."""
        self.uses += other.uses
        self.first_read += other.first_read
        self.read_again += other.read_again
        self.first_read_pico = _sum(self.first_read_pico, other.first_read_pico)
        self.read_again_pico = _sum(self.read_again_pico, other.read_again_pico)


def of_uses(
    calls: Iterable[Call], uses: Sequence[Used], compacted: Iterable[tuple[str, str]], book: PriceBook
) -> list[Cost]:
    """The cost of every use, in order. `compacted` holds (session, key of the last call before a compaction)."""
    sessions = by_session(calls)
    ends = set(compacted)
    after: dict[tuple[str, str], list[int]] = {}
    for number, use in enumerate(uses):
        after.setdefault((use.session, use.call), []).append(number)
    costs = [Cost(uses=1) for _ in uses]
    for session, own in sessions.items():
        _session(session, own, uses, after, ends, book, costs)
    return costs


def by_tool(uses: Sequence[Used], costs: Sequence[Cost]) -> dict[str, Cost]:
    """Costs added up by tool, the dearest first."""
    found: dict[str, Cost] = {}
    for use, cost in zip(uses, costs, strict=True):
        found.setdefault(use.tool, Cost()).add(cost)
    return dict(sorted(found.items(), key=lambda item: (-(item[1].pico or 0), -item[1].first_read, item[0])))


def _session(
    session: str,
    own: Sequence[Call],
    uses: Sequence[Used],
    after: Mapping[tuple[str, str], list[int]],
    ends: set[tuple[str, str]],
    book: PriceBook,
    costs: list[Cost],
) -> None:
    rates = [_rates(call, book) for call in own]
    epoch = _epochs(session, own, ends)
    for place, call in enumerate(own[:-1]):
        numbers = after.get((session, call.key), ())
        chars = sum(uses[n].chars for n in numbers)
        if not chars or epoch[place] != epoch[place + 1]:
            continue
        grown = growth(call, own[place + 1])
        later = [p for p in range(place + 2, len(own)) if epoch[p] == epoch[place]]
        first_rate = _new_rate(own[place + 1], rates[place + 1])
        again = [_old_rate(own[p], own[p - 1], rates[p]) for p in later]
        again_rate = None if any(rate is None for rate in again) else sum(rate or 0.0 for rate in again)
        for n in numbers:
            tokens = round(grown * uses[n].chars / chars)
            cost = costs[n]
            cost.first_read, cost.read_again = tokens, tokens * len(later)
            cost.first_read_pico = None if first_rate is None else round(tokens * first_rate)
            cost.read_again_pico = None if again_rate is None else round(tokens * again_rate)


def _epochs(session: str, own: Sequence[Call], ends: set[tuple[str, str]]) -> list[int]:
    """A number for every call that changes where the context was compacted: noted, or shrunk to less than half."""
    found, number = [], 0
    for place, call in enumerate(own):
        before = own[place - 1] if place else None
        if before is not None and ((session, before.key) in ends or call.usage.input < before.usage.input / 2):
            number += 1
        found.append(number)
    return found


def _rates(call: Call, book: PriceBook) -> Effective | None:
    card = book.card(
        call.model, call.provider, call.ended_ms, tier=call.tier, speed=call.speed, answered=call.answered_model
    )
    return None if isinstance(card, Unpriced) else card.at(call.usage.input)


def _new_rate(call: Call, rates: Effective | None) -> float | None:
    """Picodollars per token of the call's new input: fresh or written to a cache, as it was."""
    usage = call.usage
    new = usage.fresh + usage.cache_write_5m + usage.cache_write_1h
    if rates is None or rates.fresh is None:
        return None
    if not new:
        return float(rates.fresh)
    parts = ((usage.fresh, rates.fresh), (usage.cache_write_5m, rates.cache_write_5m),
             (usage.cache_write_1h, rates.cache_write_1h))  # fmt: skip
    if any(count and rate is None for count, rate in parts):
        return None
    return sum(count * (rate or 0) for count, rate in parts) / new


def _old_rate(call: Call, before: Call, rates: Effective | None) -> float | None:
    """Picodollars per token of what the request before already held: read from a cache as far as the cache held."""
    new = _new_rate(call, rates)
    if rates is None or new is None or rates.cache_read is None:
        return None
    held = min(1.0, call.usage.cache_read / before.usage.input) if before.usage.input else 0.0
    return held * rates.cache_read + (1 - held) * new


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
