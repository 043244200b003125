"""Mixes: each call goes to the first part that takes it; parts stand in order of what one more call costs there."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from outlay.prices.trace import Trace
from outlay.prices.ways.types import Bill, Mask, Way


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
        bills: list[tuple[Part, Bill]] = []
        for part in self.parts:
            bill = part.way.bill(trace, scale, part.offered(trace, left))
            bills.append((part, bill))
            left = left & ~bill.served
        return _together(bills, offered & ~left, int(left.sum()))

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        return [at for part in self.parts for at in part.way.breaks(trace, part.offered(trace, offered))]


def _together(bills: Sequence[tuple[Part, Bill]], served: Mask, blocked: int) -> Bill:
    def total(name: str) -> Fraction:
        return sum((getattr(bill, name) for _, bill in bills), Fraction(0))

    marginals = [bill.marginal for _, bill in bills if bill.marginal is not None]
    return Bill(
        listed=total("listed"), contracted=total("contracted"), billed=total("billed"), effective=total("effective"),
        marginal=min(marginals, default=None), served=served, blocked=blocked,
        overage=sum(bill.overage for _, bill in bills), delayed=sum(bill.delayed for _, bill in bills),
        delay_ms=sum(bill.delay_ms for _, bill in bills),
        lines=tuple((f"{part.way.id}: {what}", amount) for part, bill in bills for what, amount in bill.lines),
    )  # fmt: skip
