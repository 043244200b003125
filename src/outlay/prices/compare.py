"""One trace under every way to pay: costs, the winner, every volume at which two ways cost the same."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np

from outlay.errors import InputError
from outlay.prices.book import PriceBook
from outlay.prices.plans import PER_TOKEN, Plan, build, build_mix, per_token
from outlay.prices.trace import Trace
from outlay.prices.ways.mix import Mix, Part
from outlay.prices.ways.types import Bill, Way

LOWEST, HIGHEST = Fraction(1, 1000), Fraction(10_000)
"""Scales between which crossings are sought."""
_PER_DECADE = 5
_PRECISION = Fraction(1, 10**6)


class RuledOut(msgspec.Struct, frozen=True):
    """A plan that cannot carry the trace, and why."""

    id: str
    why: str


class Option(msgspec.Struct):
    """One way to pay at one or both ends of its ranges."""

    id: str
    ends: tuple[Way, ...]
    """One way; or two: the end that is better for the buyer, and the worse one."""
    bills: tuple[Bill, ...] = ()
    note: str = ""
    kind: str = ""

    @property
    def low(self) -> Fraction:
        return min(bill.billed for bill in self.bills)

    @property
    def high(self) -> Fraction:
        return max(bill.billed for bill in self.bills)

    @property
    def complete(self) -> bool:
        """Whether every call is served."""
        return not any(bill.blocked for bill in self.bills)


class Crossing(msgspec.Struct, frozen=True):
    """A scale at which one way stops being cheaper than another (or their costs are equal)."""

    scale: Fraction
    below: str
    """The cheaper one just below it."""
    above: str
    """The cheaper one just above it."""
    usd_pico: Fraction
    """What `above` costs there."""
    cheapest: bool
    """Whether no other way is cheaper there: here the answer changes."""


class Comparison(msgspec.Struct):
    """The answer. `options` by cost, complete ones first."""

    trace: Trace
    book: PriceBook
    scale: Fraction
    options: list[Option]
    ruled_out: list[RuledOut]
    crossings: list[Crossing]
    winner: Option | None
    second: Option | None
    certain: bool
    """Whether the winner is cheapest at every end of every range."""

    @property
    def regret(self) -> tuple[Fraction, Fraction] | None:
        """What the second best would cost more (at its lower and upper end, against the winner's other end)."""
        if self.winner is None or self.second is None:
            return None
        return self.second.low - self.winner.high, self.second.high - self.winner.low


class Curves:
    """Costs by scale, each asked once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.all = np.ones(len(trace), dtype=np.bool_)
        self._known: dict[tuple[int, Fraction], Fraction | None] = {}

    def cost(self, way: Way, scale: Fraction) -> Fraction | None:
        """BilledCost at a scale; None where the way cannot serve every call."""
        key = (id(way), scale)
        if key not in self._known:
            try:
                bill = way.bill(self.trace, scale, self.all)
                self._known[key] = None if bill.blocked else bill.billed
            except InputError:
                self._known[key] = None
        return self._known[key]


def candidates(plans: Sequence[Plan], trace: Trace, book: PriceBook, data: str) -> tuple[list[Option], list[RuledOut]]:
    """Every way that can carry the trace, mixes included, and those that cannot."""
    payg: Way = per_token(book)
    found = [Option(PER_TOKEN, (payg,), kind="book")]
    out: list[RuledOut] = []
    built: dict[str, tuple[Way, ...]] = {PER_TOKEN: found[0].ends}
    for plan in plans:
        if plan.scheme == "mix":
            continue
        why = plan.rules_out(trace, data)
        gated = why and (not any(plan.serves(m) for m in trace.models) or not why.startswith("does not serve"))
        if why:
            out.append(RuledOut(plan.id, why))
        if gated:
            continue
        try:
            ends = tuple(
                build(plan, high=high, trace=trace, book=book) for high in ((True, False) if plan.ranged else (True,))
            )
            option = Option(plan.id, ends, note=str(plan.table.get("note", "")), kind=str(plan.table.get("kind", "")))
            built[plan.id] = ends
            if not why:
                _ = [way.bill(trace, Fraction(1), np.ones(len(trace), dtype=np.bool_)) for way in ends]
                found.append(option)
        except InputError as error:
            if not why:
                out.append(RuledOut(plan.id, str(error)))
            continue
        if plan.scheme == "plan" and (why or plan.table.get("overage", "drop") != "payg"):
            found.append(_then_per_token(plan, ends, payg))
    found += [_mixed(plan, built, {p.id: p.models for p in plans}) for plan in plans if plan.scheme == "mix"]
    return found, out


def _then_per_token(plan: Plan, ends: tuple[Way, ...], payg: Way) -> Option:
    name = f"{plan.id} + {PER_TOKEN}"
    ways: list[Way] = []
    for way in ends:
        first = msgspec.structs.replace(way, beyond="drop")  # type: ignore[type-var]
        ways.append(Mix(name, (Part(first, plan.models), Part(payg))))
    return Option(name, tuple(ways), kind=str(plan.table.get("kind", "")))


def _mixed(plan: Plan, built: dict[str, tuple[Way, ...]], models: dict[str, tuple[str, ...]]) -> Option:
    ends = []
    for n in (0, 1) if any(len(ways) > 1 for ways in built.values()) else (0,):
        ends.append(build_mix(plan, {id: ways[min(n, len(ways) - 1)] for id, ways in built.items()}, models))
    return Option(plan.id, tuple(ends), note=str(plan.table.get("note", "")), kind="mix")


def check_trace(trace: Trace, *, partial: bool) -> None:
    """Refuse a trace with calls that have no list value, unless they are to be left out on purpose."""
    if partial:
        return
    if trace.unmeasured:
        raise InputError(
            f"{trace.unmeasured:,} of {len(trace):,} calls were not measured, so no total would be right; "
            "--partial leaves them out and gives lower bounds"
        )
    if trace.unpriced:
        why = ", ".join(sorted(trace.priced.unknown)[:3])
        raise InputError(
            f"{trace.unpriced:,} of {len(trace):,} calls have no price ({why}); --prices FILE adds a price, "
            "--partial leaves them out and gives lower bounds"
        )


def compare(
    trace: Trace, plans: Sequence[Plan], book: PriceBook, *, scale: Fraction = Fraction(1), data: str = "",
    partial: bool = False, crossings: bool = True,
) -> Comparison:  # fmt: skip
    """Put the trace under every plan at a scale. Raises InputError for a trace with unknown costs."""
    check_trace(trace, partial=partial)
    curves = Curves(trace)
    found, out = candidates(plans, trace, book, data)
    kept = []
    for option in found:
        try:
            option.bills = tuple(way.bill(trace, scale, curves.all) for way in option.ends)
            kept.append(option)
        except InputError as error:
            out.append(RuledOut(option.id, str(error)))
    kept.sort(key=lambda option: (not option.complete, option.low + option.high))
    complete = [option for option in kept if option.complete]
    winner = complete[0] if complete else None
    family = "" if winner is None else winner.id.partition(" + ")[0]
    second = next((option for option in complete[1:] if option.id.partition(" + ")[0] != family), None)
    certain = winner is not None and all(
        winner.high <= other.low for other in complete[1:] if other.id.partition(" + ")[0] != family
    )
    lines = _crossings(curves, kept) if crossings else []
    return Comparison(trace, book, scale, kept, out, lines, winner, second, certain)


def grid() -> list[Fraction]:
    """Scales at even ratios, exact decimals."""
    steps = range(-3 * _PER_DECADE, 4 * _PER_DECADE + 1)
    return [_seven_digits(Fraction(10 ** (n / _PER_DECADE))) for n in steps]


def end_name(option: Option, end: int) -> str:
    """`id`, or `id (better end)` and `id (worse end)` where figures are ranges."""
    return option.id if len(option.ends) == 1 else f"{option.id} ({('better', 'worse')[end]} end)"


def _crossings(curves: Curves, options: Sequence[Option]) -> list[Crossing]:
    ways = [(end_name(option, n), way) for option in options for n, way in enumerate(option.ends)]
    points = set(grid())
    for _, way in ways:
        near = [_seven_digits(at) for at in way.breaks(curves.trace, curves.all)[:8]]
        points.update(at for at in near if LOWEST <= at <= HIGHEST)
    scales = sorted(points)
    found = []
    for i, one in enumerate(ways):
        for other in ways[i + 1 :]:
            if one[0].partition(" (")[0].partition(" + ")[0] != other[0].partition(" (")[0].partition(" + ")[0]:
                found += _between(curves, one, other, scales)
    marked = [msgspec.structs.replace(c, cheapest=_is_cheapest(curves, ways, c)) for c in found]
    return sorted(marked, key=lambda c: c.scale)


def _is_cheapest(curves: Curves, ways: Sequence[tuple[str, Way]], crossing: Crossing) -> bool:
    costs = [curves.cost(way, crossing.scale) for _, way in ways]
    return crossing.usd_pico <= min(cost for cost in costs if cost is not None) * (1 + 2 * _PRECISION)


def _sign(curves: Curves, one: Way, other: Way, scale: Fraction) -> int | None:
    a, b = curves.cost(one, scale), curves.cost(other, scale)
    return None if a is None or b is None else (a > b) - (a < b)


def _between(
    curves: Curves, one: tuple[str, Way], other: tuple[str, Way], scales: Sequence[Fraction]
) -> list[Crossing]:
    """Crossings of two curves: sign changes between neighbouring scales, narrowed by halving."""
    found = []
    previous: tuple[Fraction, int] | None = None
    for scale in scales:
        sign = _sign(curves, one[1], other[1], scale)
        if not sign:
            previous = previous if sign == 0 else None
            continue
        if previous is not None and previous[1] != sign:
            at = _narrow(curves, one[1], other[1], previous[0], scale, previous[1])
            cost = curves.cost(one[1] if sign < 0 else other[1], at)
            names = (one[0], other[0]) if previous[1] < 0 else (other[0], one[0])
            found.append(Crossing(at, *names, cost or Fraction(0), False))
        previous = (scale, sign)
    return found


def _seven_digits(value: Fraction) -> Fraction:
    """Rounded to seven significant digits: small numerators keep the ways' sums inside 64 bits."""
    return Fraction(f"{float(value):.7g}")


def _narrow(curves: Curves, one: Way, other: Way, low: Fraction, high: Fraction, sign: int) -> Fraction:
    """The scale at which the sign changes, to six digits: the upper side of the change.

    Between jumps the curves are straight, so a guess on the chord and its neighbour mostly end the search at once;
    where they do not, the interval is halved.
    """
    while high - low > low * _PRECISION:
        guess = _chord(curves, one, other, low, high)
        for at in (guess, _seven_digits(guess * (1 + _PRECISION)), _seven_digits((low + high) / 2)):
            if not low < at < high:
                continue
            now = _sign(curves, one, other, at)
            if now == 0:
                return at
            if now is None or now == sign:
                low = at
            else:
                high = at
        if _seven_digits((low + high) / 2) in (low, high):
            break
    return high


def _chord(curves: Curves, one: Way, other: Way, low: Fraction, high: Fraction) -> Fraction:
    """Where the straight line through the two differences is zero."""
    gaps = []
    for at in (low, high):
        a, b = curves.cost(one, at), curves.cost(other, at)
        gaps.append(a - b if a is not None and b is not None else Fraction(0))
    if gaps[0] == gaps[1]:
        return _seven_digits((low + high) / 2)
    return _seven_digits(low + (high - low) * gaps[0] / (gaps[0] - gaps[1]))
