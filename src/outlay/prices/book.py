"""The price book: the user's own rows, then the frozen snapshot, then unknown."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from outlay import home
from outlay.prices import snapshot as frozen
from outlay.prices.own import DAYS, Discount, OwnBook, OwnRow, parse_own, read_own, refuse_overlaps
from outlay.prices.rates import Card, Effective, Rates, cost, dearest, make_card
from outlay.prices.snapshot import Model, Row, Snapshot
from outlay.prices.types import Priced

if TYPE_CHECKING:  # importing the ledger takes longer than reading the book
    from outlay.ledger.calls import Call
    from outlay.prices.many import Columns, PricedMany

STANDARD = frozenset({"", "default", "standard", "auto", "on_demand"})
"""Tiers that mean the list price. Any other that a model has no rates for makes its cost unknown."""
_DAY_MS = 86_400_000


class Unpriced(msgspec.Struct, frozen=True):
    """Why there is no card."""

    why: str


class Names(msgspec.Struct, frozen=True):
    """What `data/providers.toml` and `data/aliases.toml` write down."""

    providers: dict[str, str]
    makers: dict[str, str]
    aliases: dict[str, dict[str, str]]
    """Provider -> other exact id -> id in the snapshot."""


class PriceBook:
    """Exact prices of calls. Immutable; `id` names its whole content."""

    def __init__(self, listed: Snapshot, digest: str, names: Names, own: OwnBook) -> None:
        self._listed = listed
        self._names = names
        self._own = own
        self.snapshot_sha256 = digest
        self.id = _identity(digest, names, own)
        self._owned: dict[str, list[OwnRow]] = {}
        for row in own.rows:
            self._owned.setdefault(row.model, []).append(row)
        self._models: dict[tuple[str, str], Model | None] = {}
        self._timelines: dict[tuple[str, str, str, str], tuple[Timeline, ...] | Unpriced] = {}

    # ---- facts about the book

    @property
    def source(self) -> str:
        """Where the snapshot comes from: `genai-prices 0.2.3`."""
        return self._listed.source

    @property
    def date(self) -> str:
        """Date of the newest price change in the snapshot that had begun when it was frozen."""
        return self._listed.date

    @property
    def discounts(self) -> tuple[Discount, ...]:
        return self._own.discounts

    @property
    def own(self) -> OwnBook:
        """The user's rows and discounts."""
        return self._own

    @property
    def own_rows(self) -> tuple[OwnRow, ...]:
        return self._own.rows

    def listed(self) -> dict[str, list[str]]:
        """Provider -> ids in the snapshot, other ids of the same model left out."""
        return {provider: frozen.own_ids(self._listed, provider) for provider in self._listed.providers}

    def providers_of(self, model: str) -> list[str]:
        """Providers whose list has exactly this id."""
        return [p for p, table in self._listed.providers.items() if self._id_at(p, model.lower()) in table]

    # ---- prices

    def price(self, call: Call) -> Priced:
        """What a call cost at its time (`ended_ms`), or why that is unknown."""
        if call.quality == "unmeasured":
            return Priced(None, self.id, None, "the call's usage was not measured")
        found = self.card(
            call.model, call.provider, call.ended_ms, tier=call.tier, speed=call.speed, answered=call.answered_model
        )
        if isinstance(found, Unpriced):
            return Priced(None, self.id, None, found.why)
        total, why = cost(found.at(call.usage.input), call.usage)
        return Priced(total, self.id, found.row, f"{why} in {found.row}" if why else "")

    def price_many(self, columns: Columns) -> PricedMany:
        """`price` for millions of calls at once, with the same results; see outlay.prices.many."""
        from outlay.prices.many import price_columns

        return price_columns(self, columns)

    def rates(self, model: str, provider: str = "", at_ms: int = 0, *, tier: str = "", speed: str = "") -> Card | None:
        """The card that holds at a moment, or None when there is none."""
        found = self.card(model, provider, at_ms, tier=tier, speed=speed)
        return None if isinstance(found, Unpriced) else found

    def worst_case(
        self, model: str, provider: str, input_tokens: int, max_output_tokens: int, at_ms: int, *, tier: str = "",
        speed: str = "",
    ) -> int | None:  # fmt: skip
        """The most that a call can cost, in picodollars: all input at the dearest input rate, the longest answer.

        `input_tokens` is an upper estimate. None when the model has no price. Web searches are not included.
        """
        found = self.card(model, provider, at_ms, tier=tier, speed=speed)
        return None if isinstance(found, Unpriced) else dearest(found, input_tokens, max_output_tokens)

    def contracted(self, cost_pico: int, provider: str, model: str, at_ms: int) -> Fraction:
        """List cost after the contract's discount, exact (a fraction of a picodollar is possible)."""
        where = self.provider_of(model, provider)
        for discount in self._own.discounts:
            starts = discount.from_ms is None or at_ms >= discount.from_ms
            lasts = discount.until_ms is None or at_ms < discount.until_ms
            if self._alias(discount.provider) in (where, provider) and starts and lasts:
                return cost_pico * discount.factor
        return Fraction(cost_pico)

    def with_price(
        self,
        model: str,
        *,
        input: Decimal | str | float,
        output: Decimal | str | float,
        cache_read: Decimal | str | float | None = None,
        cache_write_5m: Decimal | str | float | None = None,
        cache_write_1h: Decimal | str | float | None = None,
        provider: str = "",
    ) -> PriceBook:
        """A book with one more own row, in USD per million tokens, that replaces all own rows of `model`."""
        given = {
            "model": model, "provider": provider, "input": input, "output": output, "cache_read": cache_read,
            "cache_write_5m": cache_write_5m, "cache_write_1h": cache_write_1h,
        }  # fmt: skip
        added = parse_own({"price": [{k: v for k, v in given.items() if v is not None}]}, f"price of {model!r}")
        kept = tuple(row for row in self._own.rows if (row.model, row.provider) != (model.lower(), provider))
        return PriceBook(
            self._listed, self.snapshot_sha256, self._names, OwnBook(kept + added.rows, self._own.discounts)
        )

    # ---- finding the card

    def card(
        self, model: str, provider: str, at_ms: int, *, tier: str = "", speed: str = "", answered: str | None = None
    ) -> Card | Unpriced:
        """The card of a model at a moment; the id in the answer counts before the id that was asked for."""
        variant = variant_of(tier, speed)
        if isinstance(variant, Unpriced):
            return variant
        lines = self.timelines(model, provider, variant, answered or "")
        if isinstance(lines, Unpriced):
            return lines
        for line in lines:
            if (found := line.at(at_ms)) is not None:
                return found
        return Unpriced(self.no_row(model, provider, variant))

    def timelines(self, model: str, provider: str, variant: str, answered: str = "") -> tuple[Timeline, ...] | Unpriced:
        """Every row that may price such calls, in order of precedence."""
        key = (model, provider, variant, answered)
        if key not in self._timelines:
            self._timelines[key] = self._find(model, provider, variant, answered)
        return self._timelines[key]

    def _find(self, model: str, provider: str, variant: str, answered: str) -> tuple[Timeline, ...] | Unpriced:
        asked = [id for id in dict.fromkeys((answered, model)) if id]
        lines: list[Timeline] = []
        for id in asked:
            places = ("", provider.lower(), self.provider_of(id, provider))
            fitting = [r for r in self._owned.get(id.lower(), []) if self._alias(r.provider) in places]
            lines += _own_lines(fitting, variant)
        for id in asked:
            where = self.provider_of(id, provider)
            if where and (found := self._listed_model(where, id.lower())):
                lines += _listed_lines(where, found, variant)
                break
        else:
            if not lines:
                return Unpriced(self._why_unknown(model, provider))
        return tuple(lines)

    def provider_of(self, model: str, provider: str) -> str:
        """The provider's name in the snapshot; for an empty one the maker's, or empty when that is ambiguous."""
        if provider:
            return self._alias(provider)
        found = [prefix for prefix in self._names.makers if model.lower().startswith(prefix)]
        return self._names.makers[max(found, key=len)] if found else ""

    def _alias(self, provider: str) -> str:
        return self._names.providers.get(provider.lower(), provider.lower())

    def _id_at(self, provider: str, id: str) -> str:
        return self._names.aliases.get(provider, {}).get(id, id)

    def _listed_model(self, provider: str, id: str) -> Model | None:
        key = (provider, id)
        if key not in self._models:
            self._models[key] = self._decode(provider, id)
        return self._models[key]

    def _decode(self, provider: str, id: str) -> Model | None:
        for where in (provider, *self._listed.fallbacks.get(provider, ())):
            if (found := frozen.model_at(self._listed, where, self._id_at(where, id))) is not None:
                return found
        return None

    def no_row(self, model: str, provider: str, variant: str) -> str:
        """Why a listed model has no price at a moment."""
        what = f"no {variant} price" if variant else "no price"
        return f"{what} for {model!r}{f' at {provider}' if provider else ''} at that time; add it to your price book"

    def _why_unknown(self, model: str, provider: str) -> str:
        where = self.provider_of(model, provider)
        if not where:
            at = self.providers_of(model)
            if at:
                return f"no provider named for {model!r}, which {', '.join(at[:4])} price; its maker has no own price"
            return f"no price for model {model!r}; add it to your price book"
        if where not in self._listed.providers:
            return f"no prices for provider {provider!r}; add {model!r} to your price book"
        return f"{where} lists no model {model!r}; add it to your price book"


class Timeline(msgspec.Struct, frozen=True):
    """One card and when it holds. Within a group of the snapshot's rows the last that holds stands first."""

    card: Card
    from_ms: int | None
    until_ms: int | None
    hours: tuple[int, int] | None
    days: tuple[int, ...] = ()

    def at(self, at_ms: int) -> Card | None:
        """The card, when it holds at that moment."""
        return self.card if self.holds(at_ms, at_ms % _DAY_MS, weekday(at_ms)) else None

    def holds(self, at_ms: int, of_day_ms: int, day: int) -> bool:
        """Whether it holds at a moment of which part of the UTC day and day of the week are given apart."""
        if self.from_ms is not None and at_ms < self.from_ms:
            return False
        if self.until_ms is not None and at_ms >= self.until_ms:
            return False
        if self.days and day not in self.days:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        return start <= of_day_ms < end if start <= end else of_day_ms >= start or of_day_ms < end


def weekday(at_ms: int) -> int:
    """Day of the UTC week, Monday is 0 (the epoch was a Thursday)."""
    return (at_ms // _DAY_MS + 3) % 7


def variant_of(tier: str, speed: str) -> str | Unpriced:
    """The variant that a call's tier and speed name; empty for the list price."""
    named = [name for name in (tier.lower(), speed.lower()) if name not in STANDARD]
    if len(set(named)) > 1:
        return Unpriced(f"no list prices {named[0]} and {named[1]} together")
    return named[0] if named else ""


def _own_lines(rows: Iterable[OwnRow], variant: str) -> list[Timeline]:
    fitting = [r for r in rows if r.row.variant == variant]
    # The narrower row first: one for this provider, for these hours, for these days.
    fitting.sort(key=lambda r: (not r.provider, r.row.hours is None, not r.row.days))
    lines = []
    for own in fitting:
        row = own.row
        name = _row_id("own", own.model, row.from_ms, variant, row.hours, row.days)
        card = make_card(name, row.base, row.tiers)
        lines.append(Timeline(card, row.from_ms, own.until_ms, row.hours, row.days))
    return lines


def _listed_lines(provider: str, model: Model, variant: str) -> list[Timeline]:
    standard = [*reversed(model.rows)]
    # genai-prices: when no row holds, the first does.
    standard.append(Row(model.rows[0].base, model.rows[0].tiers))
    if not variant:
        return [_line(provider, model.id, row, None, "") for row in standard]
    overrides = [row for row in model.variants if row.variant == variant]
    lines = []
    for override in sorted(overrides, key=lambda row: -(row.from_ms or 0)):
        lines += [_line(provider, model.id, row, override, variant) for row in standard]
    return lines


def _line(provider: str, id: str, row: Row, override: Row | None, variant: str) -> Timeline:
    starts = [r.from_ms for r in (row, override) if r is not None and r.from_ms is not None]
    from_ms = max(starts, default=None)
    base, tiers = (row.base, row.tiers) if override is None else _overlay(row, override)
    hours = row.hours if override is None or override.hours is None else override.hours
    days = row.days if override is None or not override.days else override.days
    name = _row_id(provider, id, from_ms, variant, hours, days)
    return Timeline(make_card(name, base, tiers), from_ms, None, hours, days)


def _overlay(row: Row, override: Row) -> tuple[Rates, tuple[tuple[int, Rates], ...]]:
    """Rates of `row` with every class that `override` states replaced, at every step of both."""
    steps = sorted({above for above, _ in (*row.tiers, *override.tiers)})

    def merged(above: int | None) -> Rates:
        under, over = _at(row, above), _at(override, above)
        stated = {n: getattr(over, n) for n in Rates.__struct_fields__ if getattr(over, n) is not None}
        return msgspec.structs.replace(under, **stated)

    return merged(None), tuple((above, merged(above)) for above in steps)


def _at(row: Row, above: int | None) -> Rates:
    found = row.base
    for start, rates in row.tiers:
        if above is not None and start <= above:
            found = rates
    return found


def _row_id(
    book: str, model: str, from_ms: int | None, variant: str, hours: tuple[int, int] | None = None,
    days: tuple[int, ...] = (),
) -> str:  # fmt: skip
    import datetime as dt

    marks = []
    if from_ms is not None:
        moment = dt.datetime.fromtimestamp(from_ms / 1000, dt.UTC)
        marks.append(moment.strftime("%Y-%m-%d" if from_ms % _DAY_MS == 0 else "%Y-%m-%dT%H:%M:%SZ"))
    if hours is not None:
        marks.append("-".join(f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}" for ms in hours))
    if days:
        marks.append(",".join(DAYS[day] for day in days))
    return f"{book}/{model}{f'[{chr(32).join(marks)}]' if marks else ''}{f'.{variant}' if variant else ''}"


def _identity(digest: str, names: Names, own: OwnBook) -> str:
    rows = [(r.model, r.provider, r.row, r.until_ms) for r in own.rows]
    discounts = [(d.provider, str(d.factor), d.from_ms, d.until_ms) for d in own.discounts]
    content = msgspec.json.encode([digest, names, rows, discounts], order="sorted")
    return hashlib.sha256(content).hexdigest()[:16]


# ---- loading


@lru_cache(maxsize=1)
def _names() -> Names:
    providers = tomllib.loads((frozen.DATA / "providers.toml").read_text())
    aliases = tomllib.loads((frozen.DATA / "aliases.toml").read_text())
    return Names(providers["names"], providers["makers"], aliases)


def own_files(folder: Path) -> list[Path]:
    """The user's books in the state folder, in order of name."""
    return sorted((folder / "prices").glob("*.toml"))


def load(user_books: Sequence[Path] = ()) -> PriceBook:
    """The book in force: the frozen snapshot, the books in the state folder, then the given files on top.

    A given file's rows replace those of the state folder for the same model. Raises InputError with file and row.
    """
    listed, digest = current_snapshot(home.home())
    own = OwnBook()
    for group in (own_files(home.home()), list(user_books)):
        own = _merge(own, [read_own(path) for path in group])
    return PriceBook(listed, digest, _names(), own)


def current_snapshot(folder: Path) -> tuple[Snapshot, str]:
    """The snapshot that `outlay prices update` chose, else the one that came with Outlay."""
    chosen = folder / "prices" / "frozen" / "snapshot.toml"
    path = chosen if chosen.exists() else frozen.MANIFEST
    return frozen.read(path.with_suffix(".json"), frozen.manifest(path).sha256)


def _merge(under: OwnBook, books: list[OwnBook]) -> OwnBook:
    added = [row for book in books for row in book.rows]
    refuse_overlaps(added)
    replaced = {(row.model, row.provider) for row in added}
    kept = tuple(row for row in under.rows if (row.model, row.provider) not in replaced)
    discounts = tuple(d for book in books for d in book.discounts)
    return OwnBook(kept + tuple(added), discounts or under.discounts)


def rebuild(listed: Snapshot, digest: str, own: OwnBook) -> PriceBook:
    """A book over a given snapshot and given own rows (kept books, comparisons)."""
    return PriceBook(listed, digest, _names(), own)


__all__ = ["Card", "Effective", "PriceBook", "Timeline", "Unpriced", "load"]
