"""Per token: every call at its list price, less what a contract takes off."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import numpy as np

from outlay.prices.book import PriceBook
from outlay.prices.trace import Trace
from outlay.prices.ways.types import Bill, Mask, masked_sum


class PerToken(msgspec.Struct, frozen=True):
    """Pay as you go, at the book's prices and its contract discounts."""

    id: str
    book: PriceBook

    def bill(self, trace: Trace, scale: Fraction, offered: Mask) -> Bill:
        listed = masked_sum(trace.list_pico, offered) * scale
        contracted = self._contracted(trace, offered) * scale
        last = _last(trace, offered)
        marginal = None if last is None else self._contracted(trace, last) * scale
        lines = (
            ("calls", f"{int(offered.sum()):,} x {_plain(scale)}"),
            ("list price of every call", _usd(listed)),
            ("after contract discounts", _usd(contracted)),
        )
        return Bill(
            listed=listed, contracted=contracted, billed=contracted, effective=contracted, marginal=marginal,
            served=offered, lines=lines,
        )  # fmt: skip

    def breaks(self, trace: Trace, offered: Mask) -> list[Fraction]:
        return []

    def _contracted(self, trace: Trace, offered: Mask) -> Fraction:
        if not self.book.discounts:
            return Fraction(masked_sum(trace.list_pico, offered))
        total = Fraction(0)
        for code, kind in enumerate(trace.columns.kinds):
            mine = offered & (trace.columns.kind == code)
            edges = sorted({ms for d in self.book.discounts for ms in (d.from_ms, d.until_ms) if ms is not None})
            bounds = [int(trace.at_ms[0]), *(e for e in edges if e > int(trace.at_ms[0]))]
            for begin, end in zip(bounds, [*bounds[1:], None], strict=True):
                part = mine & (trace.at_ms >= begin)
                if end is not None:
                    part &= trace.at_ms < end
                listed = masked_sum(trace.list_pico, part)
                total += self.book.contracted(listed, kind.provider, kind.model, begin)
        return total


def _last(trace: Trace, offered: Mask) -> Mask | None:
    """A mask of the last offered call alone."""
    found = np.flatnonzero(offered)
    if not len(found):
        return None
    mask = np.zeros(len(trace), dtype=np.bool_)
    mask[found[-1]] = True
    return mask


def _usd(amount: Fraction) -> str:
    from outlay.money import show

    return show(round(amount))


def _plain(scale: Fraction) -> str:
    return f"{float(scale):g}"


last_call, usd_text, plain = _last, _usd, _plain
