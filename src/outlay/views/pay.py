"""Ways to pay, shown: the comparison, the arithmetic of one plan, and how full its windows are."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np

from outlay.money import PICO_PER_USD, show
from outlay.prices.calendar import moment
from outlay.prices.compare import Comparison, Crossing, Option, end_name
from outlay.prices.plans import PER_TOKEN
from outlay.prices.trace import Trace
from outlay.prices.ways.admission import Standing
from outlay.prices.ways.subscription import Subscription, Window
from outlay.prices.ways.types import Bill
from outlay.views.tables import Table, left, right

_NAMES = {"list": "USD at list", "tokens": "tokens", "requests": "calls", "messages": "messages"}


def span(low: Fraction, high: Fraction) -> str:
    """`$1.00`, or `$1.00..2.00` where a figure is a range."""
    digits = 0 if low != high and low >= 100 * PICO_PER_USD else None
    one, other = (show(round(amount), digits=digits) for amount in (low, high))
    return one if one == other else f"{one}..{other.removeprefix('$')}"


def comparison_table(found: Comparison, *, wide: bool = False) -> Table:
    """One row per way to pay, the cheapest first; `wide` adds the two money columns that are left out at 80."""
    successes = found.trace.successes
    rows = []
    for option in found.options:
        bills = option.bills
        per = "-"
        if successes:
            per = span(option.low / successes, option.high / successes)
        rows.append(
            (
                option.id,
                _ends(bills, "listed"),
                _ends(bills, "contracted"),
                span(option.low, option.high),
                _ends(bills, "effective"),
                per,
                _next(bills),
                _service(bills),
            )
        )
    partial = frozenset(n for n, option in enumerate(found.options) if not option.complete)
    columns = (
        left("way to pay", flexible=True), right("list"), right("contracted"), right("billed"), right("effective"),
        right("per success", short="/success"), right("next call"), left("calls", flexible=True),
    )  # fmt: skip
    dropped = ([] if successes else [5]) + ([] if wide else [2, 1])
    for n in dropped:
        columns, rows = _without(columns, n), [_without(row, n) for row in rows]
    return Table("Ways to pay", columns, tuple(rows), dim=partial)


def _without(row: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    return row[:n] + row[n + 1 :]


def _ends(bills: tuple[Bill, ...], name: str) -> str:
    amounts = [getattr(bill, name) for bill in bills]
    return span(min(amounts), max(amounts))


def _next(bills: tuple[Bill, ...]) -> str:
    known = [b.marginal for b in bills if b.marginal is not None]
    if len(known) < len(bills):
        return "refused"
    text = span(min(known), max(known))
    longest = max(b.next_delay_ms for b in bills)
    return f"{text} in {longest / 3_600_000:.1f} h" if longest else text


def _service(bills: tuple[Bill, ...]) -> str:
    def most(name: str) -> str:
        values = sorted({getattr(b, name) for b in bills})
        return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,}..{values[-1]:,}"

    parts = []
    if any(b.blocked for b in bills):
        parts.append(f"{most('blocked')} refused")
    if any(b.overage for b in bills):
        parts.append(f"{most('overage')} beyond")
    if any(b.delayed for b in bills):
        hours = max(b.delay_ms for b in bills) / 3_600_000
        parts.append(f"{most('delayed')} wait {hours:,.1f} h")
    return ", ".join(parts) or "all"


def trace_lines(trace: Trace) -> list[str]:
    """What the trace is: calls, time, list value, outcomes, and what is missing from it."""
    begin, end = (moment(int(trace.at_ms[n])) for n in (0, -1))
    listed = show(trace.priced.total_pico)
    text = f"{len(trace):,} calls, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, {listed} at list price"
    if trace.successes is not None:
        text += f", {trace.successes:,} of {len(trace.outcomes):,} outcomes a success"
    lines = [text]
    missing = trace.unpriced + trace.unmeasured
    if missing:
        lines.append(
            f"lower bounds: {trace.unpriced:,} calls without a price and {trace.unmeasured:,} unmeasured are left out"
        )
    return lines


def verdict_lines(found: Comparison) -> list[str]:
    """The winner, by how much, and why others are out."""
    lines = []
    if found.winner is not None:
        lines.append(f"cheapest: {found.winner.id} at {span(found.winner.low, found.winner.high)}")
        if found.second is not None and found.regret is not None:
            low, high = found.regret
            lines.append(f"second best: {found.second.id}, {span(low, high)} more")
        if not found.certain:
            lines.append("not certain: within the ranges of the figures another way may be cheaper")
    missing = trace_lines(found.trace)[1:]
    if missing and found.winner is not None:
        lines.append("with calls left out the ranking may be wrong")
    return lines


def crossings_table(found: Comparison, low: Fraction, high: Fraction) -> Table:
    """Volumes at which the cheapest way changes, or at which one costs what paying per token does."""
    listed = found.trace.priced.total_pico
    rows = []
    every = shown_crossings(found, low, high)
    main = [c for c in every if c.cheapest or PER_TOKEN in (c.below, c.above)]
    for crossing in main:
        rows.append(
            (
                f"{float(crossing.scale):.4g}x", show(round(crossing.scale * listed)), show(round(crossing.usd_pico)),
                crossing.below, crossing.above, "<" if crossing.cheapest else "",
            )
        )  # fmt: skip
    columns = (
        right("volume"), right("list value"), right("cost there"), left("below: cheaper", flexible=True),
        left("above: cheaper", flexible=True), left(""),
    )  # fmt: skip
    note = "<: here the cheapest of all changes"
    if len(every) > len(main):
        note += f"; {len(every) - len(main)} more between other ways: --json, --chart"
    return Table("Break-even volumes", columns, tuple(rows), note=note)


def shown_crossings(found: Comparison, low: Fraction, high: Fraction) -> list[Crossing]:
    """Crossings between two scales."""
    return [c for c in found.crossings if low <= c.scale <= high]


# ---- JSON


def comparison_json(found: Comparison, low: Fraction, high: Fraction) -> dict[str, Any]:
    """Every figure of the comparison. Money in USD and in whole picodollars."""
    trace = found.trace
    return {
        "schema": "outlay.pay.compare/1",
        "price_book": found.book.id,
        "trace": {
            "calls": len(trace), "from": _iso(int(trace.at_ms[0])), "to": _iso(int(trace.at_ms[-1])),
            "list": money(Fraction(trace.priced.total_pico)), "successes": trace.successes,
            "outcomes": len(trace.outcomes), "unpriced_calls": trace.unpriced, "unmeasured_calls": trace.unmeasured,
            "models": trace.models, "rows": trace.priced.rows,
        },
        "scale": float(found.scale),
        "ways": [_option_json(option, trace.successes) for option in found.options],
        "winner": found.winner.id if found.winner else None,
        "second": found.second.id if found.second else None,
        "certain": found.certain,
        "regret": [money(r) for r in found.regret] if found.regret else None,
        "ruled_out": [msgspec.structs.asdict(out) for out in found.ruled_out],
        "crossings": [
            {
                "scale": float(c.scale), "cheaper_below": c.below, "cheaper_above": c.above,
                "cheapest_changes": c.cheapest, "cost": money(c.usd_pico),
                "list_value": money(c.scale * trace.priced.total_pico),
            }
            for c in shown_crossings(found, low, high)
        ],
    }  # fmt: skip


def money(amount: Fraction | None) -> dict[str, Any] | None:
    """`{"usd": 1.5, "pico": 1500000000000}`; null stays null."""
    return None if amount is None else {"usd": float(amount / 10**12), "pico": round(amount)}


def _option_json(option: Option, successes: int | None) -> dict[str, Any]:
    ends = []
    for n, bill in enumerate(option.bills):
        ends.append({"end": end_name(option, n), **bill_json(bill, successes)})
    return {"id": option.id, "kind": option.kind, "complete": option.complete, "note": option.note, "ends": ends}


def bill_json(bill: Bill, successes: int | None) -> dict[str, Any]:
    """The four money columns of a bill, and what became of the calls."""
    return {
        "ListCost": money(bill.listed), "ContractedCost": money(bill.contracted), "BilledCost": money(bill.billed),
        "EffectiveCost": money(bill.effective), "marginal_next_call": money(bill.marginal),
        "next_call_delay_ms": bill.next_delay_ms,
        "cost_per_success": money(bill.billed / successes) if successes else None,
        "served": int(np.count_nonzero(bill.served)), "refused": bill.blocked, "beyond": bill.overage,
        "delayed": bill.delayed, "delay_ms": bill.delay_ms, "lines": [list(line) for line in bill.lines],
    }  # fmt: skip


def _iso(at_ms: int) -> str:
    return moment(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---- windows


class Fill(msgspec.Struct, frozen=True):
    """One window now."""

    plan: str
    window: str
    meter: str
    used: int
    limit: int
    resets_ms: int | None
    """None: it begins with the next call."""
    full_ms: int | None
    """When it is used up at the rate since it began; None: not before it resets."""


def fills(way: Subscription, trace: Trace, now_ms: int) -> list[Fill]:
    """The windows of a subscription at `now_ms`, after the calls of the trace."""
    return [_fill(way.id, window, standing, now_ms) for window, standing in way.standing(trace, now_ms)]


def _fill(plan: str, window: Window, standing: Standing, now_ms: int) -> Fill:
    full: int | None = None
    if standing.used >= window.limit:
        full = now_ms
    elif standing.used and standing.start_ms is not None and now_ms > standing.start_ms:
        left = window.limit - standing.used
        full = now_ms + -(-left * (now_ms - standing.start_ms) // standing.used)
        if standing.end_ms is not None and full >= standing.end_ms:
            full = None
    return Fill(plan, window.rule.id, window.meter, standing.used, window.limit, standing.end_ms, full)


def windows_table(found: list[Fill], now_ms: int) -> Table:
    """One row per window: how much is used, when it resets, when it will be full."""
    rows = []
    for fill in found:
        amounts = [show(n) if fill.meter == "list" else f"{n:,}" for n in (fill.used, fill.limit)]
        share = f"{100 * fill.used / fill.limit:.0f} %"
        resets = "with the next call" if fill.resets_ms is None else _in(fill.resets_ms, now_ms)
        full = (
            "not before that"
            if fill.full_ms is None
            else "now"
            if fill.full_ms <= now_ms
            else _in(fill.full_ms, now_ms)
        )
        rows.append(
            (fill.plan, fill.window, f"{amounts[0]} of {amounts[1]}", share, resets, full if fill.used else "-")
        )
    columns = (
        left("plan", flexible=True), left("window"), right("used"), right(""), left("resets"), left("full"),
    )  # fmt: skip
    return Table("Windows", columns, tuple(rows))


def _in(at_ms: int, now_ms: int) -> str:
    wait = dt.timedelta(milliseconds=at_ms - now_ms)
    hours, minutes = divmod(int(wait.total_seconds()) // 60, 60)
    if hours >= 48:
        return f"in {hours // 24} d {hours % 24} h"
    return f"in {hours} h {minutes:02d} min"


def windows_json(found: list[Fill], *, lower_bound: bool) -> list[dict[str, Any]]:
    """Windows as data; times in ISO, UTC. `lower_bound`: calls without a price or a measurement are not in `used`."""
    return [
        {
            "plan": f.plan, "window": f.window, "unit": _NAMES[f.meter] if f.meter != "list" else "picodollars at list",
            "used": f.used, "limit": f.limit, "resets": None if f.resets_ms is None else _iso(f.resets_ms),
            "full": None if f.full_ms is None else _iso(f.full_ms), "lower_bound": lower_bound,
        }
        for f in found
    ]  # fmt: skip
