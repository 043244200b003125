"""Credits: a token card, a card per message or per request, bought in packs that may expire."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import numpy as np

from outlay.errors import InputError
from outlay.prices.calendar import add_months, months
from outlay.prices.rates import Effective
from outlay.prices.trace import Trace
from outlay.prices.ways.per_token import plain, usd_text
from outlay.prices.ways.subscription import monthly
from outlay.prices.ways.types import Bill, Mask, count, last_index, masked_sum

UNIT = 10**9
"""Credits are counted in billionths, so that a card's rates per million tokens have three exact decimals."""


class Credits(msgspec.Struct):
    """A credit plan. Amounts of credits are in billionths of a credit."""

    id: str
    credit_pico: int
    """Price of one whole credit."""
    tokens: tuple[tuple[str, Effective], ...] = ()
    """(model, billionths of a credit per token of each class)."""
    messages: tuple[tuple[str, int], ...] = ()
    """(model, billionths of a credit per message of the user; its tool calls are free)."""
    requests: tuple[tuple[str, int], ...] = ()
    """(model, billionths of a credit per call)."""
    fee_pico: int = 0
    """Per month."""
    included: int = 0
    """Billionths of a credit that come with each month's fee and end with the month."""
    pack: int = 1
    """Billionths of a credit in a pack; 1: billed as used."""
    expiry_months: int | None = None
    start_ms: int | None = None
    _kept: dict[int, Any] = {}

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        used_by, priced = self.used(trace)
        served = offered & priced
        start = int(trace.at_ms[0]) if self.start_ms is None else self.start_ms
        first, last = int(trace.at_ms[0]), int(trace.at_ms[-1])
        fees, share, _ = monthly(self.fee_pico, start, first, last)
        charged = np.where(served, used_by, 0)
        excess = self._excess(trace, charged, scale, start)
        packs = self._packs(trace, charged, excess, scale)
        bought = packs * self.pack
        used = masked_sum(used_by, served) * scale
        paid = sum((amount for _, amount in excess), Fraction(0))
        cash = Fraction(bought * self.credit_pico, UNIT)
        accrued = paid * self.credit_pico / UNIT
        listed = trace.worth(served) * scale
        lines = [
            ("credits used", f"{float(used / UNIT):,.1f}"),
            ("beyond those included", f"{float(paid / UNIT):,.1f}"),
        ]
        if self.fee_pico:
            lines.append(("fees", usd_text(Fraction(fees))))
        if self.pack > 1:
            lines.append(("packs", f"{packs:,} of {self.pack / UNIT:,g} credits = {usd_text(cash)}"))
            lines.append(("bought and unused (breakage)", f"{float((bought - paid) / UNIT):,.1f} credits"))
        else:
            lines.append(("credits at their price", usd_text(cash if self.pack > 1 else accrued)))
        if used:
            per_credit = used * self.credit_pico / UNIT
            lines.append(
                ("list value / price of the credits", f"{float(listed / per_credit):.3f}" if per_credit else "-")
            )
        billed = fees + (cash if self.pack > 1 else accrued)
        return Bill(
            listed=listed, contracted=fees + accrued, billed=billed, effective=share + accrued,
            marginal=self._marginal(trace, charged, served, last_index(offered), scale, start, billed - fees),
            served=served, blocked=count(offered) - count(served), lines=tuple(lines),
        )  # fmt: skip

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        used = masked_sum(self.used(trace)[0], offered)
        if not used:
            return []
        found = [Fraction(self.included, used)] if self.included else []
        if self.pack > 1:
            found += [Fraction(self.included + n * self.pack, used) for n in range(40)]
        return found

    def used(self, trace: Trace) -> tuple[Any, Mask]:
        """(billionths of a credit that each call uses, whether a card says so: other calls are not served).

        Raises InputError when the trace cannot tell.
        """
        if self._kept.get(0) is not trace:
            priced = trace.of_model([name for name, _ in (*self.tokens, *self.messages, *self.requests)])
            self._kept = {0: trace, 1: (self._count(trace), priced)}
        found: tuple[Any, Mask] = self._kept[1]
        return found

    def _count(self, trace: Trace) -> Any:
        total = np.zeros(len(trace), dtype=np.int64)
        counts = trace.columns.counts
        for model, rates in self.tokens:
            mine = trace.of_model([model])
            for name, rate in (
                ("fresh", rates.fresh), ("cache_read", rates.cache_read), ("cache_write_5m", rates.cache_write_5m),
                ("cache_write_1h", rates.cache_write_1h), ("output", rates.output),
            ):  # fmt: skip
                total += np.where(mine, counts[name], 0) * (rate or 0)
        if self.messages and trace.message is None:
            raise InputError(
                f"plan {self.id!r} bills per message of the user; the trace does not say where one begins "
                "(field `message` on every line of a JSONL trace)"
            )
        for model, each in self.messages:
            assert trace.message is not None
            total += np.where(trace.of_model([model]) & trace.message, each, 0)
        for model, each in self.requests:
            total += np.where(trace.of_model([model]), each, 0)
        return total

    def _excess(
        self, trace: Trace, charged: Any, scale: Fraction, start: int
    ) -> list[tuple[tuple[int, int], Fraction]]:
        """Per month: ((index of its first call, index after its last), what is used beyond what is included)."""
        running = np.concatenate(([0], np.cumsum(charged)))
        found = []
        for begin, end in months(start, int(trace.at_ms[0]), int(trace.at_ms[-1])):
            i, j = (int(np.searchsorted(trace.at_ms, ms)) for ms in (begin, end))
            used = int(running[j] - running[i]) * scale
            found.append(((i, j), max(Fraction(0), used - self.included)))
        return found

    def _packs(
        self, trace: Trace, charged: Any, excess: list[tuple[tuple[int, int], Fraction]], scale: Fraction
    ) -> int:
        """Packs bought: one when a call needs it; the oldest is used first; what is left of it ends when it expires."""
        if self.pack <= 1:
            return 0
        total = sum((amount for _, amount in excess), Fraction(0))
        if self.expiry_months is None:
            return -(-total.numerator // (total.denominator * self.pack))
        packs, left, expires = 0, Fraction(0), 0
        for (i, j), amount in excess:
            if not amount:
                continue
            running = np.concatenate(([0], np.cumsum(charged[i:j])))
            done, end = Fraction(self.included), int(running[-1]) * scale
            while done < end:
                # The call that takes the use beyond `done` needs credits at its own time.
                call = int(np.searchsorted(running, _floor(done / scale), side="right")) - 1
                now = int(trace.at_ms[i + call])
                if now >= expires or not left:
                    left, expires = Fraction(0), add_months(now, self.expiry_months)
                until = int(np.searchsorted(trace.at_ms[i:j], expires))
                usable = int(running[until]) * scale - done
                if not left:
                    # Packs that are used up before the first of them expires need no watching.
                    whole = _floor(usable / self.pack)
                    packs += whole
                    done += whole * self.pack
                    if whole:
                        continue
                    packs, left = packs + 1, Fraction(self.pack)
                taken = min(left, usable)
                left -= taken
                done += taken
        return packs

    def _marginal(
        self, trace: Trace, charged: Any, served: Mask, i: int | None, scale: Fraction, start: int, before: Fraction
    ) -> Fraction | None:
        """What credits cost with call `i` made twice, less what they cost."""
        if i is None or not served[i]:
            return None
        twice = charged.copy()
        twice[i] *= 2
        excess = self._excess(trace, twice, scale, start)
        paid = sum((amount for _, amount in excess), Fraction(0))
        if self.pack > 1:
            paid = Fraction(self._packs(trace, twice, excess, scale) * self.pack)
        return paid * self.credit_pico / UNIT - before


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator


__all__ = ["UNIT", "Credits", "plain"]
