"""What a set of calls consumed and cost under a price book, and how far that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from outlay.ledger.calls import Call
from outlay.prices.book import PriceBook, Unpriced
from outlay.tokens import ZERO, Usage

K = TypeVar("K")

CLASSES = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
"""The six token classes; `reasoning` is a part of `output`."""


class Classes(msgspec.Struct, frozen=True):
    """Cost by token class, in picodollars. `reasoning` is part of `output`, as with tokens."""

    fresh: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    other: int = 0
    """Web searches and fees per request."""

    def __add__(self, other: Classes) -> Classes:
        return Classes(*(getattr(self, n) + getattr(other, n) for n in self.__struct_fields__))

    @property
    def total(self) -> int:
        """The whole cost: every class once."""
        return self.fresh + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.output + self.other


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """Counters and cost of a set of calls."""

    calls: int = 0
    """All attempts, failed ones too."""
    usage: Usage = ZERO
    known: Classes = Classes()
    """Cost of the calls whose cost is known."""
    unpriced: int = 0
    """Calls that were measured but have no price."""
    unmeasured: int = 0
    """Calls whose counters are missing or only a lower bound: lost, cut off, or answered without usage."""
    possible_pico: int | None = 0
    """The most that the unmeasured calls may have cost beyond what is in `known`; None when that is unknown."""
    recorded_pico: int = 0
    """What the sources themselves reported as cost, kept beside ours."""
    why_unknown: tuple[str, ...] = ()
    """Why calls have no price, each reason once."""

    @property
    def cost_pico(self) -> int | None:
        """The cost, when it is known to the end; else None."""
        return self.known.total if not self.unpriced and not self.unmeasured else None

    @property
    def least_pico(self) -> int | None:
        """What it cost at least: the sum over the calls with a known cost; None when there is no such call."""
        return self.known.total if self.calls > self.unpriced + self.unmeasured or self.known.total else None

    def __add__(self, other: Spend) -> Spend:
        possible = (
            None
            if self.possible_pico is None or other.possible_pico is None
            else self.possible_pico + other.possible_pico
        )
        return Spend(
            calls=self.calls + other.calls,
            usage=self.usage + other.usage,
            known=self.known + other.known,
            unpriced=self.unpriced + other.unpriced,
            unmeasured=self.unmeasured + other.unmeasured,
            possible_pico=possible,
            recorded_pico=self.recorded_pico + other.recorded_pico,
            why_unknown=tuple(dict.fromkeys((*self.why_unknown, *other.why_unknown))),
        )


NOTHING = Spend()


def is_measured(call: Call) -> bool:
    """Whether the counters are the whole truth. A call that surely was not billed is measured: it used nothing."""
    return call.quality not in ("unmeasured", "lower_bound") and call.status != "lost"


def spend_of(call: Call, book: PriceBook) -> Spend:
    """One call's share of a Spend."""
    measured = is_measured(call)
    known, why = Classes(), ""
    if call.quality != "unmeasured" and call.usage != ZERO:
        known, why = class_costs(call, book)
    return Spend(
        calls=1,
        usage=call.usage,
        known=known,
        unpriced=int(bool(why)),
        unmeasured=int(not measured),
        possible_pico=0 if measured else _beyond(call.possible_cost_pico, known.total),
        recorded_pico=call.recorded_cost_pico or 0,
        why_unknown=(why,) if why else (),
    )


def _beyond(possible_pico: int | None, known_pico: int) -> int | None:
    return None if possible_pico is None else max(possible_pico - known_pico, 0)


def class_costs(call: Call, book: PriceBook) -> tuple[Classes, str]:
    """Cost of a call by token class; the sum is `book.price(call)`. Zeros and the reason when it has no price."""
    priced = book.price(call)
    if priced.cost_pico is None:
        return Classes(), priced.why_unknown
    card = book.card(
        call.model, call.provider, call.ended_ms, tier=call.tier, speed=call.speed, answered=call.answered_model
    )
    assert not isinstance(card, Unpriced)
    rates, usage = card.at(call.usage.input), call.usage
    reasoning = usage.reasoning * (rates.reasoning or 0)
    parts = Classes(
        fresh=usage.fresh * (rates.fresh or 0),
        cache_read=usage.cache_read * (rates.cache_read or 0),
        cache_write_5m=usage.cache_write_5m * (rates.cache_write_5m or 0),
        cache_write_1h=usage.cache_write_1h * (rates.cache_write_1h or 0),
        output=(usage.output - usage.reasoning) * (rates.output or 0) + reasoning,
        reasoning=reasoning,
    )
    return msgspec.structs.replace(parts, other=priced.cost_pico - parts.total), ""


def total(calls: Iterable[Call], book: PriceBook) -> Spend:
    """Spend of all calls together."""
    return sum((spend_of(call, book) for call in calls), NOTHING)


def group(calls: Iterable[Call], book: PriceBook, key: Callable[[Call], K]) -> dict[K, Spend]:
    """Spend by `key`, in order of first appearance."""
    found: dict[K, Spend] = {}
    for call in calls:
        name = key(call)
        found[name] = found.get(name, NOTHING) + spend_of(call, book)
    return found
