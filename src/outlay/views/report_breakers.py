"""The part of a report that says which breakers tripped, on what numbers, and what each saved or cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from outlay.agents.watch.words import brief, symptom
from outlay.economics.stop_loss import Effect, effect
from outlay.ledger import Call
from outlay.money import show
from outlay.prices.book import PriceBook
from outlay.views.tables import Table, left, right
from outlay.views.wording import DASH


class TripFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker that tripped, as its event says."""

    session: str
    n: int
    """Place of the event in the session's stream."""
    breaker: str
    action: str
    wanted: str
    """The action that the goal asks for, where it could not be done."""
    turn: int
    numbers: dict[str, float | int | str]


class BreakerLine(msgspec.Struct, frozen=True, kw_only=True):
    """A trip with its symptom in words and its effect in picodollars."""

    trip: TripFacts
    symptom: str
    effect: Effect


def breaker_lines(trips: Sequence[TripFacts], calls: Sequence[Call], book: PriceBook) -> list[BreakerLine]:
    """Every trip with what it saved or cost."""
    lines = []
    for trip in trips:
        own = [call for call in calls if call.session == trip.session and call.status == "ok"]
        end = min((other.n for other in trips if other.session == trip.session and other.n > trip.n), default=None)
        before = [call for call in own if _place(call) < trip.n]
        after = [call for call in own if _place(call) > trip.n and (end is None or _place(call) < end)]
        turns = trip.numbers.get("turns", 0)
        found = effect(trip.action, int(turns), before, after, book)
        lines.append(BreakerLine(trip=trip, symptom=symptom(trip.breaker, trip.numbers), effect=found))
    return lines


def _place(call: Call) -> int:
    """Place of a call's intent in its session's stream: the end of its key."""
    text = call.key.rpartition("#")[2]
    return int(text) if text.isdigit() else 0


def breakers(lines: Sequence[BreakerLine], names: Mapping[str, str]) -> Table:
    """The table of the trips. `names`: session id -> name."""
    rows = []
    for line in lines:
        trip, money = line.trip, line.effect
        rows.append(
            (
                names.get(trip.session, trip.session), trip.breaker, trip.action, str(trip.turn),
                brief(trip.breaker, trip.numbers), _money(money.spent_pico), _money(money.saved_pico),
                _money(money.cost_pico),
            )
        )  # fmt: skip
    columns = (
        left("SESSION"), left("BREAKER"), left("ACTION"), right("TURN"), left("SYMPTOM", flexible=True),
        right("SPENT"), right("SAVED*"), right("COST"),
    )  # fmt: skip
    note = (
        "* Estimated: after a stop, that the symptom would have lasted as long again; after a handover, what later "
        "calls did not read. Nothing is claimed for a warning. Spent: in the turns of the symptom."
    )
    return Table("Breakers", columns, tuple(rows), note=note)


def refused(counts: Mapping[str, int]) -> Table:
    """How often each rule said no."""
    rows = tuple((rule, str(times)) for rule, times in sorted(counts.items()))
    return Table("Rules that said no", (left("RULE"), right("TIMES")), rows)


def _money(pico: int | None) -> str:
    return DASH if pico is None else show(pico)
