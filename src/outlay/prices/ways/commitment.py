"""Negotiated minimum: a sum per period that is paid anyway, a committed price, and what is beyond it."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np

from outlay.prices.calendar import add_months, month_number
from outlay.prices.trace import Trace
from outlay.prices.ways.per_token import plain, usd_text
from outlay.prices.ways.types import Bill, Mask, last_index, masked_sum


class Commitment(msgspec.Struct):
    """Minimum `M` per period at price `d` of list; beyond it `rho` of list."""

    id: str
    minimum_pico: int
    price: Fraction
    """Committed price as a share of list: 0.8."""
    beyond: Fraction
    """Price beyond the minimum, as a share of list."""
    months_per_period: int = 1
    rollover_periods: int = 0
    """For how many further periods unused minimum may be used; the oldest is used first."""
    term_periods: int = 1
    start_ms: int | None = None
    _kept: dict[int, Any] = {}

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        volumes = [v * scale for v in self._volumes(trace, offered)]
        cash, contracted, waste = settle(volumes, self.minimum_pico, self.price, self.beyond, self.rollover_periods)
        listed = sum(volumes, Fraction(0))
        billed = sum(cash, Fraction(0))
        rest = max(0, self.term_periods - len(volumes)) * self.minimum_pico
        lines = [
            ("minimum", f"{usd_text(Fraction(self.minimum_pico))} x {len(volumes)} periods"),
            ("list value", usd_text(listed)),
            (f"at {plain(self.price)} of list", usd_text(contracted)),
            ("unused minimum, lost", usd_text(waste)),
            ("billed", usd_text(billed)),
            ("full use from", f"{usd_text(self.minimum_pico / self.price)} of list value per period"),
        ]
        if self.beyond > self.price:
            best = best_minimum(volumes, self.price, self.beyond, self.rollover_periods)
            lines.append(("the minimum that would cost least here", usd_text(best)))
        if rest:
            lines.append(("committed beyond the trace", usd_text(Fraction(rest))))
        return Bill(
            listed=listed, contracted=contracted, billed=billed, effective=self._effective(trace, cash),
            marginal=self._marginal(trace, scale, offered, billed), served=offered, lines=tuple(lines),
        )  # fmt: skip

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        """Where a period's use reaches its minimum, and where the whole is worth it (list value = minimum)."""
        volumes = [v for v in self._volumes(trace, offered) if v]
        found = [self.minimum_pico / self.price / v for v in volumes]
        total = sum(volumes)
        return [*found[:60], Fraction(self.minimum_pico * len(volumes), total)] if total else []

    def _start(self, trace: Trace) -> int:
        return int(trace.at_ms[0]) if self.start_ms is None else self.start_ms

    def _periods(self, trace: Trace) -> list[tuple[int, int]]:
        start, step = self._start(trace), self.months_per_period
        number = month_number(start, int(trace.at_ms[0])) // step
        last = month_number(start, int(trace.at_ms[-1])) // step
        return [(add_months(start, n * step), add_months(start, (n + 1) * step)) for n in range(number, last + 1)]

    def _volumes(self, trace: Trace, offered: Mask) -> list[int]:
        """List value per period, picodollars."""
        if self._kept.get(0) is not trace or self._kept[1] is not offered:
            found = []
            for begin, end in self._periods(trace):
                i, j = (int(np.searchsorted(trace.at_ms, ms)) for ms in (begin, end))
                found.append(masked_sum(trace.list_pico[i:j], offered[i:j]))
            self._kept = {0: trace, 1: offered, 2: found}
        volumes: list[int] = self._kept[2]
        return volumes

    def _effective(self, trace: Trace, cash: list[Fraction]) -> Fraction:
        """The minimum spread over its period, what is beyond it as it comes."""
        first, last = int(trace.at_ms[0]), int(trace.at_ms[-1])
        total = Fraction(0)
        for (begin, end), paid in zip(self._periods(trace), cash, strict=True):
            overlap = min(end, last + 1) - max(begin, first)
            total += Fraction(self.minimum_pico * overlap, end - begin) + paid - self.minimum_pico
        return total

    def _marginal(self, trace: Trace, scale: Fraction, offered: Mask, billed: Fraction) -> Fraction | None:
        i = last_index(offered)
        if i is None:
            return None
        volumes = [v * scale for v in self._volumes(trace, offered)]
        period = next(n for n, (_, end) in enumerate(self._periods(trace)) if trace.at_ms[i] < end)
        volumes[period] += int(trace.list_pico[i]) * scale
        cash, _, _ = settle(volumes, self.minimum_pico, self.price, self.beyond, self.rollover_periods)
        return sum(cash, Fraction(0)) - billed


def best_minimum(volumes: list[Fraction], price: Fraction, beyond: Fraction, rollover: int) -> Fraction:
    """The minimum per period under which these volumes cost least, among no minimum and each period's own use.

    Without rollover the cost is piecewise linear in the minimum and bends only there, so this is the best of all: the
    minimum is raised as long as the share of periods above it exceeds price / beyond (the newsvendor's rule).
    """

    def cost(minimum: Fraction) -> Fraction:
        return sum(settle(volumes, minimum, price, beyond, rollover)[0], Fraction(0))

    return min([Fraction(0), *(volume * price for volume in volumes)], key=cost)


def settle(
    volumes: list[Fraction], minimum: Fraction | int, price: Fraction, beyond: Fraction, rollover: int
) -> tuple[list[Fraction], Fraction, Fraction]:
    """(cash per period, everything at its negotiated price, minimum that ended unused).

    `volumes` is list value per period. Use draws on unused minimum of earlier periods first, the oldest first, then
    on the period's own; what is beyond both is billed.
    """
    bank: deque[tuple[int, Fraction]] = deque()  # (last period it may be used in, money left)
    cash: list[Fraction] = []
    contracted = wasted = Fraction(0)
    for number, volume in enumerate(volumes):
        while bank and bank[0][0] < number:
            wasted += bank.popleft()[1]
        bank.append((number + rollover, Fraction(minimum)))
        due = volume * price
        contracted += due
        while due and bank:
            until, left = bank.popleft()
            taken = min(left, due)
            due -= taken
            if left > taken:
                bank.appendleft((until, left - taken))
        over = due / price * beyond
        contracted += over - due
        cash.append(minimum + over)
    wasted += sum((left for until, left in bank if until < len(volumes)), Fraction(0))
    return cash, contracted, wasted
