"""What retries, cascades or other prices would have cost on trials that were made."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from outlay.economics.passk import PUBLISHED_ICC, icc
from outlay.economics.retries import Cascade, Expected, Fallback, Gate, by_correlation, cascade, per_task
from outlay.economics.trials import LEAST_KNOWN, Trial, by_task
from outlay.errors import InputError
from outlay.experiments.results import Results, find_arm, trials_of
from outlay.money import pico
from outlay.prices.book import PriceBook
from outlay.prices.rates import Effective, Rates, cost, effective
from outlay.tokens import Usage


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """One arm with up to so many tries a task."""

    arm: str
    tries: int
    once: Expected
    """As measured: one try a task, through the same gate."""
    low: Expected
    """With the most alike repeats assumed: least help from trying again."""
    high: Expected
    """With the least alike ones; equal to `low` when the likeness was measured or given as one number."""
    assumed: tuple[float, float]
    """Likeness (outcome correlation within a task) that `low` and `high` stand on, greatest first."""
    measured: bool
    """The likeness comes from this arm's own repeats."""
    each: Expected | None
    """From each task's own rate; None without repeats. It takes 0 of n for never."""


def retry(
    trials: Sequence[Trial],
    tries: int,
    *,
    assumed: tuple[float, float] | None = None,
    gate: Gate | None = None,
    fallback: Fallback | None = None,
) -> Retried:
    """Retries of one arm. `assumed`: range of likeness; without it the arm's own, else the published range."""
    data = by_task(trials)
    own = icc(data.successes, data.trials)
    if assumed is None:
        assumed = (own, own) if own is not None else PUBLISHED_ICC
    least, most = sorted(min(1.0, max(0.0, value)) for value in assumed)
    return Retried(
        arm=trials[0].arm,
        tries=tries,
        once=by_correlation(trials, least, 1, gate, fallback),
        low=by_correlation(trials, most, tries, gate, fallback),
        high=by_correlation(trials, least, tries, gate, fallback),
        assumed=(most, least),
        measured=own is not None and assumed == (own, own),
        each=per_task(data, tries, gate, fallback) if own is not None else None,
    )


def chain(results: Results, names: Sequence[str], gate: Gate | None = None) -> Cascade:
    """The named arms one after the other. Raises InputError for an arm without single trials."""
    arms = [find_arm(results, name) for name in names]
    groups = [trials_of(results, arm) for arm in arms]
    for arm, group in zip(arms, groups, strict=True):
        if not group:
            raise InputError(f"{arm}: only totals are published; a cascade needs single tasks")
    return cascade(groups, gate)


class NewPrice(msgspec.Struct, frozen=True):
    """Another price for an arm: a factor on what was paid, or rates for its tokens."""

    factor: Fraction | None
    rates: Effective | None
    says: str


_CLASSES = {"input": "fresh", "output": "output"} | {
    name: name for name in ("fresh", "cache_read", "cache_write_5m", "cache_write_1h")
}


def parse_price(text: str, book: PriceBook | None, at_ms: int) -> NewPrice:
    """`x0.5`, `provider:model` of the price book, or `input:3,output:15,...` in USD per million tokens."""
    if text.startswith(("x", "*")):
        try:
            factor = Fraction(text[1:])
        except (ValueError, ZeroDivisionError):
            factor = Fraction(-1)
        if factor <= 0:
            raise InputError(f"--price {text!r}: a factor is x and a number above 0, such as x0.5")
        return NewPrice(factor, None, f"{float(factor):g} times what was paid")
    name, _, rest = text.partition(":")
    if name in _CLASSES:
        return NewPrice(None, effective(_rates(text)), f"{text} USD per million tokens")
    if book is None or not rest:
        raise InputError(f"--price {text!r}: write x0.5, PROVIDER:MODEL, or input:3,output:15,cache_read:0.3")
    card = book.rates(rest, name, at_ms)
    if card is None:
        raise InputError(f"--price {text!r}: {book.no_row(rest, name, '')}")
    base = card.steps[0][1]  # a trial's calls are summed, so what a long context costs more cannot be told
    return NewPrice(None, base, f"the list price of {text} ({card.row}; no surcharge for long contexts)")


def _rates(text: str) -> Rates:
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, amount = part.strip().partition(":")
        if name not in _CLASSES:
            raise InputError(f"--price {text!r}: no token class {name!r}; there are {', '.join(_CLASSES)}")
        found[_CLASSES[name]] = pico(amount) // 10**6
    if not {"fresh", "output"} <= found.keys():
        raise InputError(f"--price {text!r}: it needs input and output at least")
    return Rates(**found)


def reprice(trials: Sequence[Trial], price: NewPrice) -> list[Trial]:
    """The trials at that price. Raises InputError when rates are asked for and tokens were not measured."""
    if price.factor is not None:
        factor = price.factor
        return [_with_cost(t, None if t.cost_pico is None else round(t.cost_pico * factor)) for t in trials]
    measured = sum(trial.tokens is not None for trial in trials)
    if measured < LEAST_KNOWN * len(trials):
        raise InputError(
            f"{trials[0].arm}: rates need token counts and {measured} of {len(trials)} trials have them; "
            "use a factor (x0.5)"
        )
    assert price.rates is not None
    return [_with_cost(t, None if t.tokens is None else _cost(t.tokens, price.rates)) for t in trials]


def _with_cost(trial: Trial, cost_pico: int | None) -> Trial:
    return msgspec.structs.replace(trial, cost_pico=cost_pico or None, coordination_pico=None, verification_pico=None)


def _cost(tokens: Usage, rates: Effective) -> int | None:
    return cost(rates, tokens)[0]
