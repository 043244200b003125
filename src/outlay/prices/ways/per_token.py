"""Per token: every call at its list price, less what a contract takes off."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from outlay.prices.book import PriceBook
from outlay.prices.trace import Trace
from outlay.prices.ways.types import Bill, Mask, count, last_index


class PerToken(msgspec.Struct, frozen=True):
    """Pay as you go, at the book's prices and its contract discounts."""

    id: str
    book: PriceBook

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        listed = trace.worth(offered) * scale
        contracted = self._contracted(trace, offered) * scale if self.book.discounts else listed
        last = last_index(offered)
        marginal = None if last is None else self._one(trace, last) * scale
        lines = (
            ("calls", f"{count(offered):,} x {_plain(scale)}"),
            ("list price of every call", _usd(listed)),
            ("after contract discounts", _usd(contracted)),
        )
        return Bill(
            listed=listed, contracted=contracted, billed=contracted, effective=contracted, marginal=marginal,
            served=offered, lines=lines,
        )  # fmt: skip

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        return []

    def _one(self, trace: Trace, i: int) -> Fraction:
        """One call after contract discounts."""
        kind = trace.columns.kinds[int(trace.columns.kind[i])]
        return Fraction(self.book.contracted(int(trace.list_pico[i]), kind.provider, kind.model, int(trace.at_ms[i])))

    def _contracted(self, trace: Trace, offered: Mask) -> Fraction:
        total = Fraction(0)
        for code, kind in enumerate(trace.columns.kinds):
            mine = offered & (trace.columns.kind == code)
            edges = sorted({ms for d in self.book.discounts for ms in (d.from_ms, d.until_ms) if ms is not None})
            bounds = [int(trace.at_ms[0]), *(e for e in edges if e > int(trace.at_ms[0]))]
            for begin, end in zip(bounds, [*bounds[1:], None], strict=True):
                part = mine & (trace.at_ms >= begin)
                if end is not None:
                    part &= trace.at_ms < end
                listed = trace.worth(part)
                total += self.book.contracted(listed, kind.provider, kind.model, begin)
        return total


def _usd(amount: Fraction) -> str:
    from outlay.money import show

    return show(round(amount))


def _plain(scale: Fraction) -> str:
    return f"{float(scale):g}"


usd_text, plain = _usd, _plain
