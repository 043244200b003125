"""Two price books beside each other: which rows differ, and what that does to a trace."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD_PER_MTOK
from outlay.prices.book import PriceBook
from outlay.prices.many import Columns
from outlay.prices.rates import Card, Effective

RATES = ("fresh", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search")


class Change(msgspec.Struct, frozen=True):
    """One model whose price differs at a moment. Rates in picodollars per token; None: no price there."""

    provider: str
    model: str
    rate: str
    before: int | None
    after: int | None


class Effect(msgspec.Struct, frozen=True):
    """What a change of books does to a trace. None where a book cannot price every call."""

    model: str
    calls: int
    before_pico: int | None
    after_pico: int | None


def changes(one: PriceBook, other: PriceBook, at_ms: int) -> list[Change]:
    """Every rate of every listed or own model that differs at a moment, base step."""
    names = {(p, m) for book in (one, other) for p, ids in book.listed().items() for m in ids}
    names |= {(row.provider, row.model) for book in (one, other) for row in book.own_rows}
    found = []
    for provider, model in sorted(names):
        cards = [book.rates(model, provider, at_ms) for book in (one, other)]
        found += _differing(provider, model, cards[0], cards[1])
    return found


def _differing(provider: str, model: str, one: Card | None, other: Card | None) -> list[Change]:
    if one is None and other is None:
        return []
    rates = [card.at(0) if card else None for card in (one, other)]
    found = []
    for name in RATES:
        before, after = (_rate(r, name) for r in rates)
        if before != after:
            found.append(Change(provider, model, name, before, after))
    return found


def _rate(rates: Effective | None, name: str) -> int | None:
    value: int | None = None if rates is None else getattr(rates, name)
    return value


def effects(one: PriceBook, other: PriceBook, columns: Columns) -> list[Effect]:
    """Cost per model under both books, for models whose cost differs; a total stands last, as model ''."""
    found, sums = [], [0, 0]
    known = [True, True]
    total = 0
    for code, kind in enumerate(columns.kinds):
        mine = columns.kind == code
        part = Columns(
            [kind], columns.kind[mine] * 0, columns.at_ms[mine], {n: c[mine] for n, c in columns.counts.items()}
        )
        if not len(part):
            continue
        priced = [book.price_many(part) for book in (one, other)]
        costs = [None if p.unknown else p.total_pico for p in priced]
        total += len(part)
        for n, cost in enumerate(costs):
            sums[n] += cost or 0
            known[n] &= cost is not None
        if costs[0] != costs[1]:
            found.append(Effect(kind.model, len(part), costs[0], costs[1]))
    before, after = (amount if fine else None for amount, fine in zip(sums, known, strict=True))
    return [*found, Effect("", total, before, after)]


def per_mtok(rate: int | None) -> str:
    """A rate as USD per million tokens, or `-`."""
    return "-" if rate is None else f"${rate / PICO_PER_USD_PER_MTOK:g}"


def the_book(books: Sequence[tuple[str, PriceBook]], id: str) -> PriceBook:
    """A kept book by the beginning of its id. Raises InputError when none or several fit."""
    fitting = {book.id: book for _, book in books if book.id.startswith(id)}
    if len(fitting) != 1:
        known = ", ".join(book.id for _, book in books)
        raise InputError(f"{'no' if not fitting else 'more than one'} price book {id!r} is kept; there are {known}")
    return next(iter(fitting.values()))
