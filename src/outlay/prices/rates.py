"""Rate cards: what one token of each class costs, in whole picodollars, and the exact cost of a call under them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from outlay.tokens import Usage


class Rates(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Picodollars per token (1 USD per million tokens is 1,000,000). None: the list states no rate for this class."""

    fresh: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    """Where reasoning has a rate of its own; None: it costs what output costs."""
    web_search: int | None = None
    """Picodollars per web search."""
    request: int | None = None
    """Picodollars per call, beside its tokens."""


class Effective(msgspec.Struct, frozen=True):
    """Rates with the rules for unstated classes applied; None means that no cost can be computed.

    An unstated cache read costs what input costs: cached input is input until the list says otherwise (so
    genai-prices). The same holds for cache writes when no write rate is stated at all; when only the five-minute
    rate is stated, the one-hour rate stays unknown, because it is dearer by an amount nobody stated.
    """

    fresh: int | None
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    output: int | None
    reasoning: int | None
    web_search: int | None
    request: int


def effective(rates: Rates) -> Effective:
    """The rates that a call is charged."""
    write = rates.fresh if rates.cache_write_5m is None else rates.cache_write_5m
    hour = rates.cache_write_1h
    if hour is None and rates.cache_write_5m is None:
        hour = rates.fresh
    return Effective(
        fresh=rates.fresh,
        cache_read=rates.fresh if rates.cache_read is None else rates.cache_read,
        cache_write_5m=write,
        cache_write_1h=hour,
        output=rates.output,
        reasoning=rates.output if rates.reasoning is None else rates.reasoning,
        web_search=rates.web_search,
        request=rates.request or 0,
    )


class Card(msgspec.Struct, frozen=True):
    """The rates of one (provider, model, variant, interval), by size of the whole input."""

    row: str
    """Id of the price row: `anthropic/claude-opus-4-6[2026-03-13]`, with `.batch` and the like for a variant."""
    steps: tuple[tuple[int, Effective], ...]
    """(input tokens above which these rates hold for the whole call, rates); the first is (-1, base)."""

    def at(self, input_tokens: int) -> Effective:
        """The rates of a call whose whole input (cache reads and writes included) is `input_tokens`.

        A step starts strictly above its threshold and reprices the whole call.
        """
        found = self.steps[0][1]
        for above, rates in self.steps[1:]:
            if input_tokens > above:
                found = rates
        return found


def make_card(row: str, base: Rates, tiers: Iterable[tuple[int, Rates]] = ()) -> Card:
    """A card from stated rates; `tiers` in ascending order, each complete."""
    steps = [(-1, effective(base))] + [(above, effective(rates)) for above, rates in tiers]
    return Card(row, tuple(steps))


def cost(rates: Effective, usage: Usage) -> tuple[int | None, str]:
    """Exact cost in picodollars, or None and the class that has tokens but no rate."""
    total = rates.request
    for count, rate, name in (
        (usage.fresh, rates.fresh, "input"),
        (usage.cache_read, rates.cache_read, "cache_read"),
        (usage.cache_write_5m, rates.cache_write_5m, "cache_write_5m"),
        (usage.cache_write_1h, rates.cache_write_1h, "cache_write_1h"),
        (usage.output - usage.reasoning, rates.output, "output"),
        (usage.reasoning, rates.reasoning, "output"),
        (usage.web_searches, rates.web_search, "web_search"),
    ):
        if count:
            if rate is None:
                return None, f"no rate for {name}"
            total += count * rate
    return total, ""


def dearest(card: Card, input_tokens: int, max_output_tokens: int) -> int | None:
    """The most a call can cost: its input at the dearest input rate, its longest answer, at any reachable step."""
    most: int | None = None
    for above, rates in card.steps:
        if above >= input_tokens and above >= 0:
            continue
        known = [
            rate
            for rate in (rates.fresh, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
            if rate is not None
        ]
        answers = [rate for rate in (rates.output, rates.reasoning) if rate is not None]
        if not known or (max_output_tokens and not answers):
            return None
        here = rates.request + input_tokens * max(known) + max_output_tokens * max(answers, default=0)
        most = here if most is None else max(most, here)
    return most
