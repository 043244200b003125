"""Subscription: a fee per month, windows that limit its use, and what happens beyond them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import msgspec
import numpy as np

from outlay.prices.calendar import month_number, months
from outlay.prices.trace import Trace
from outlay.prices.ways.admission import Admitted, Rule, Standing, Sums, admit, frees, move_to
from outlay.prices.ways.per_token import plain, usd_text
from outlay.prices.ways.types import Bill, Mask, count, last_index, masked_sum

Meter = Literal["list", "tokens", "requests", "messages"]


class Window(msgspec.Struct, frozen=True):
    """A limit on use: `limit` in the unit of `meter` (picodollars of list value, gross tokens, calls, messages)."""

    rule: Rule
    limit: int
    meter: Meter = "list"
    models: tuple[str, ...] = ()
    """Models it counts; empty: all."""


class Subscription(msgspec.Struct):
    """A subscription as it is bought. One instance answers many questions and keeps what it has added up."""

    id: str
    fee_pico: int
    """Per month."""
    windows: tuple[Window, ...]
    beyond: Literal["payg", "wait", "drop", "fallback"] = "drop"
    rate: Fraction = Fraction(1)
    """What a call beyond the windows costs, as a share of its list price (`payg`)."""
    fallback: tuple[int, ...] = ()
    """`fallback`: list price of every call of the trace under the other model, picodollars."""
    start_ms: int | None = None
    """When it was bought; None: with the first call."""
    _kept: dict[int, Any] = {}

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        came, counts = self.admitted(trace, scale, offered)
        served = came.served
        admitted = count(served)
        blocked = count(offered) - admitted
        whole = trace.worth(offered) * scale
        inside = came.worth * scale
        over = self._over(trace, scale, offered & ~served, whole - inside) if blocked else Fraction(0)
        fees, share, number = self._fees(trace, came.clock_ms)
        pays = self.beyond in ("payg", "fallback")
        counted, listed = (offered, whole) if pays else (served, inside)
        marginal, wait_ms = self._next(trace, scale, offered, came, counts)
        months_text = f"{number} {'month' if number == 1 else 'months'}"
        lines = [("fee", f"{usd_text(Fraction(self.fee_pico))} x {months_text} = {usd_text(Fraction(fees))}")]
        lines += [("admitted", f"{admitted:,} calls x {plain(scale)}, worth {usd_text(inside)} at list")]
        if fees:
            lines.append(("value multiplier", f"{float(inside / fees):.2f} (list value admitted / fees)"))
        if blocked and pays:
            lines.append(("beyond the windows", f"{blocked:,} calls at {plain(self._rate)} x list = {usd_text(over)}"))
        elif blocked:
            lines.append(("refused", f"{blocked:,} calls"))
        if came.delayed:
            lines.append(("waited", f"{came.delayed:,} calls, {came.delay_ms / 3_600_000:,.1f} hours together"))
        return Bill(
            listed=listed, contracted=fees + over, billed=fees + over, effective=share + over, marginal=marginal,
            served=counted, blocked=0 if pays else blocked, overage=blocked if pays else 0, delayed=came.delayed,
            delay_ms=came.delay_ms, next_delay_ms=wait_ms, lines=tuple(lines),
        )  # fmt: skip

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        """Where the busiest stretch first fills a window that stands still: bounds from its whole use."""
        weights = self._weights(trace)
        found = []
        for window, weight in zip(self.windows, weights, strict=True):
            total = masked_sum(weight, offered)
            if total:
                found.append(Fraction(window.limit, total))
        return found

    def shadow_prices(self, trace: Trace, scale: Fraction, offered: Mask) -> list[tuple[str, Fraction]]:
        """Per window: what one more unit of its limit would have saved (for list meters: dollars per dollar).

        Measured by widening each window alone by a hundredth; for choosing where the next call should go.
        """
        cost = self.bill(trace, scale, offered).billed
        found = []
        for n, window in enumerate(self.windows):
            more = max(1, window.limit // 100)
            wider = (
                *self.windows[:n],
                msgspec.structs.replace(window, limit=window.limit + more),
                *self.windows[n + 1 :],
            )
            saved = cost - msgspec.structs.replace(self, windows=wider).bill(trace, scale, offered).billed
            found.append((window.rule.id, saved / more))
        return found

    def admitted(self, trace: Trace, scale: Fraction, offered: Mask) -> tuple[Admitted, list[Mask]]:
        """What the windows let through at a scale; limits are divided by the scale instead of scaling every call."""
        counts = [self._counted(trace, window) for window in self.windows]
        weights = self._weights(trace)
        rules = [
            msgspec.structs.replace(w.rule, need=_need(w.limit, scale), start_ms=self._start(trace))
            for w in self.windows
        ]
        came = admit(
            trace.at_ms,
            offered,
            rules,
            weights,
            counts,
            trace.list_pico,
            wait=self.beyond == "wait",
            sums=self._sums(trace, offered),
        )
        return came, counts

    def standing(self, trace: Trace, now_ms: int) -> list[tuple[Window, Standing]]:
        """Each window as it stands at `now_ms`, after all calls of the trace."""
        came, _ = self.admitted(trace, Fraction(1), np.ones(len(trace), dtype=np.bool_))
        found = []
        for window, standing in zip(self.windows, came.standing, strict=True):
            rule = msgspec.structs.replace(window.rule, start_ms=self._start(trace))
            move_to(rule, standing, now_ms)
            found.append((window, standing))
        return found

    @property
    def _rate(self) -> Fraction:
        return self.rate if self.beyond == "payg" else Fraction(int(self.beyond == "fallback"))

    def _start(self, trace: Trace) -> int:
        return int(trace.at_ms[0]) if self.start_ms is None else self.start_ms

    def _over(self, trace: Trace, scale: Fraction, beyond: Mask, listed: Fraction) -> Fraction:
        """What the calls beyond the windows cost, worth `listed`."""
        if self.beyond == "fallback":
            listed = masked_sum(self._beyond_prices(trace), beyond) * scale
        return listed * self._rate

    def _beyond_prices(self, trace: Trace) -> Any:
        return np.array(self.fallback, dtype=np.int64) if self.beyond == "fallback" else trace.list_pico

    def _memory(self, trace: Trace) -> dict[str, Any]:
        if self._kept.get(0) is not trace:
            self._kept = {0: trace, 1: {}}
        kept: dict[str, Any] = self._kept[1]
        return kept

    def _sums(self, trace: Trace, offered: Mask) -> Sums:
        kept = self._memory(trace)
        if kept.get("offered") is not offered:
            kept["offered"], kept["sums"] = offered, {}
        sums: Sums = kept["sums"]
        return sums

    def _weights(self, trace: Trace) -> list[Any]:
        kept = self._memory(trace)
        if "weights" not in kept:
            kept["weights"] = [weight(trace, window.meter) for window in self.windows]
        weights: list[Any] = kept["weights"]
        return weights

    def _counted(self, trace: Trace, window: Window) -> Mask:
        if not window.models:
            return np.ones(len(trace), dtype=np.bool_)
        return trace.of_model(window.models)

    def _fees(self, trace: Trace, last_ms: int) -> tuple[int, Fraction, int]:
        """(fees in cash, the share of them between the first call and `last_ms`, number of months)."""
        return monthly(self.fee_pico, self._start(trace), int(trace.at_ms[0]), last_ms)

    def _next(
        self, trace: Trace, scale: Fraction, offered: Mask, came: Admitted, counts: list[Mask]
    ) -> tuple[Fraction | None, int]:
        i = last_index(offered)
        if i is None:
            return None, 0
        full = []
        for w, window in enumerate(self.windows):
            rule = msgspec.structs.replace(window.rule, need=_need(window.limit, scale))
            if counts[w][i] and came.standing[w].used >= rule.need:
                full.append(frees(rule, came.standing[w]))
        if self.beyond == "wait":
            served_ms = max([came.clock_ms, *full])
            more = self._fees(trace, served_ms)[0] - self._fees(trace, came.clock_ms)[0]
            return Fraction(more), served_ms - int(trace.at_ms[i])
        if not full:
            return Fraction(0), 0
        if self.beyond == "drop":
            return None, 0
        return int(self._beyond_prices(trace)[i]) * scale * self._rate, 0


def monthly(fee_pico: int, start_ms: int, first_ms: int, last_ms: int) -> tuple[int, Fraction, int]:
    """(fees of every month from first to last call, the share of them between the two, number of months)."""
    fees, share, number = 0, Fraction(0), 0
    for begin, end in months(start_ms, first_ms, last_ms):
        fees += fee_pico
        number += 1
        overlap = min(end, last_ms + 1) - max(begin, first_ms)
        share += Fraction(fee_pico * overlap, end - begin)
    return fees, share, number


def weight(trace: Trace, meter: Meter) -> Any:
    """What each call uses of a window, in the meter's unit."""
    counts = trace.columns.counts
    if meter == "list":
        return trace.list_pico
    if meter == "tokens":
        return trace.columns.input + counts["output"]
    if meter == "messages" and trace.message is not None:
        return trace.message.astype(np.int64)
    return np.ones(len(trace), dtype=np.int64)


def _need(limit: int, scale: Fraction) -> int:
    """The least unscaled use that, scaled, reaches the limit."""
    need = -(-limit * scale.denominator // scale.numerator)
    return max(1, min(need, 2**62))


__all__ = ["Subscription", "Window", "month_number", "monthly", "weight"]
