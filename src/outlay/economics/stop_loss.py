"""What a breaker saved or cost: estimates, each from calls of the session that the ledger names."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlay.ledger import Call
from outlay.prices.book import PriceBook
from outlay.tokens import Usage


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Money around one trip. None: unknown, or nothing is claimed."""

    spent_pico: int | None = None
    """What the turns of the symptom cost: a fact."""
    saved_pico: int | None = None
    """An estimate; `how` says from what."""
    cost_pico: int | None = None
    """What the action itself cost, by the calls that it made dearer."""
    how: str = ""


def effect(action: str, symptom_turns: int, before: Sequence[Call], after: Sequence[Call], book: PriceBook) -> Effect:
    """The effect of one trip.

    before, after: the session's answered calls around it, in order; `after` ends with the next fresh context.
    symptom_turns: how many turns the symptom had lasted; 0 when it is not counted in turns.
    """
    spent = _cost(before[-symptom_turns:], book) if symptom_turns else None
    if action == "stop":
        how = f"as much again as the {symptom_turns} turns of the symptom" if spent is not None else ""
        return Effect(spent_pico=spent, saved_pico=spent, cost_pico=0, how=how)
    if action == "handover" and before and after:
        return _handed_over(spent, before[-1], after, book)
    if action == "replace" and after:
        first = msgspec.structs.replace(after[0].usage, output=0, reasoning=0)
        cost = book.price(msgspec.structs.replace(after[0], usage=first)).cost_pico
        return Effect(spent_pico=spent, cost_pico=cost, how="cost: the input of the first call to the new model")
    return Effect(spent_pico=spent)


def _handed_over(spent: int | None, last: Call, after: Sequence[Call], book: PriceBook) -> Effect:
    """Every later call reads so much less from the cache; the first one pays for the new context."""
    fewer = last.usage.input + last.usage.output - after[0].usage.input
    reads = Usage(cache_read=max(fewer, 0))
    saved = _cost([msgspec.structs.replace(call, usage=reads) for call in after], book)
    new = after[0].usage
    made = Usage(fresh=new.fresh, cache_write_5m=new.cache_write_5m, cache_write_1h=new.cache_write_1h)
    cost = _cost([msgspec.structs.replace(after[0], usage=made)], book)
    how = f"{max(fewer, 0):,} tokens less to read in each of {len(after)} later calls"
    return Effect(spent_pico=spent, saved_pico=saved, cost_pico=cost, how=how)


def _cost(calls: Sequence[Call], book: PriceBook) -> int | None:
    costs = [book.price(call).cost_pico for call in calls]
    return None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None)
