"""Mixes: each call goes to the first part that takes it; parts stand in order of what one more call costs there."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from outlay.prices.trace import Trace
from outlay.prices.ways.types import Bill, Mask, Way, count, last_index


class Part(msgspec.Struct, frozen=True):
    """A way, and which calls it is offered."""

    way: Way
    models: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def offered(self, trace: Trace, left: Mask) -> Mask:
        """Of the calls that are left, those meant for this part."""
        mask = left
        if self.models:
            mask = mask & trace.of_model(self.models)
        if self.roles:
            mask = mask & trace.of_role(self.roles)
        return mask


class Mix(msgspec.Struct):
    """Several ways, one after the other. What the last refuses stays unserved."""

    id: str
    parts: tuple[Part, ...]

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        left = offered
        asked: list[tuple[Part, Mask, Bill]] = []
        for part in self.parts:
            meant = part.offered(trace, left)
            bill = part.way.bill(trace, scale, meant)
            asked.append((part, meant, bill))
            left = left & ~bill.served
        marginal, wait_ms = _next(trace, scale, offered, asked)
        return _together([(part, bill) for part, _, bill in asked], offered & ~left, count(left), marginal, wait_ms)

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        return [at for part in self.parts for at in part.way.breaks(trace, part.offered(trace, offered))]


def _next(
    trace: Trace, scale: Fraction, offered: Mask, asked: Sequence[tuple[Part, Mask, Bill]]
) -> tuple[Fraction | None, int]:
    """(what one more call like the last would add, how long it would wait): it goes to the first part that takes it."""
    i = last_index(offered)
    if i is None:
        return None, 0
    for part, meant, bill in asked:
        if meant[i]:
            if bill.marginal is not None:
                return bill.marginal, bill.next_delay_ms
        elif part.offered(trace, offered)[i]:
            # An earlier part took the last call and would refuse one more: here that one would be new.
            more = meant.copy()
            more[i] = True
            with_it = part.way.bill(trace, scale, more)
            if with_it.served[i]:
                return with_it.billed - bill.billed, 0
    return None, 0


def _together(
    bills: Sequence[tuple[Part, Bill]], served: Mask, blocked: int, marginal: Fraction | None, wait_ms: int
) -> Bill:
    def total(name: str) -> Fraction:
        return sum((getattr(bill, name) for _, bill in bills), Fraction(0))

    return Bill(
        listed=total("listed"), contracted=total("contracted"), billed=total("billed"), effective=total("effective"),
        marginal=marginal, next_delay_ms=wait_ms, served=served, blocked=blocked,
        overage=sum(bill.overage for _, bill in bills), delayed=sum(bill.delayed for _, bill in bills),
        delay_ms=sum(bill.delay_ms for _, bill in bills),
        lines=tuple((f"{part.way.id}: {what}", amount) for part, bill in bills for what, amount in bill.lines),
    )  # fmt: skip
