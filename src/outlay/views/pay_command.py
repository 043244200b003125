"""What `outlay pay` does: reads the trace and the plans, asks, and prints."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

import click
import msgspec
import numpy as np

from outlay import home
from outlay.clock import Clock
from outlay.errors import InputError
from outlay.prices.book import load
from outlay.prices.compare import check_trace, end_name
from outlay.prices.compare import compare as compare_ways
from outlay.prices.plans import PER_TOKEN, SHIPPED, Plan, build, read_plans
from outlay.prices.ways.subscription import Subscription
from outlay.views import pay
from outlay.views.pay_print import console, print_table
from outlay.views.pay_trace import load_trace, when


def parse_scale(text: str) -> tuple[Fraction, Fraction]:
    """`0.1..100`, or one number twice. Raises InputError for anything else, and outside 0.001 to 10000."""
    try:
        low, _, high = text.partition("..")
        ends = Fraction(Decimal(low)), Fraction(Decimal(high or low))
    except (InvalidOperation, ValueError):
        raise InputError(f"--scale {text!r}: write a range such as 0.1..100, or one number") from None
    if not Fraction(1, 1000) <= ends[0] <= ends[1] <= 10_000:
        raise InputError(f"--scale {text!r}: the lower end comes first, both lie between 0.001 and 10000")
    return ends


def all_plans(files: Sequence[Path], only: Sequence[str] = ()) -> list[Plan]:
    """Shipped plans, those of the state folder (`plans/*.toml`), and the given files; a later one replaces by id."""
    found: dict[str, Plan] = {}
    for path in (SHIPPED, *sorted((home.home() / "plans").glob("*.toml")), *files):
        found.update({plan.id: plan for plan in read_plans(path)})
    if unknown := [id for id in only if id not in found]:
        raise InputError(f"no plan {unknown[0]!r}; there are {', '.join(found)}")
    return [plan for plan in found.values() if not only or plan.id in only]


def compare(
    trace: str | None, since: str | None, until: str | None, source: str | None, prices: Sequence[Path],
    plans: Sequence[Path], only: Sequence[str], scale: str, data: str, partial: bool, chart: Sequence[Path], dark: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """`outlay pay compare`."""
    low, high = parse_scale(scale)
    chosen = all_plans(plans, only)
    book = load(prices)
    calls = load_trace(book, trace, since, until, source)
    at = low if low == high else Fraction(1)
    found = compare_ways(calls, chosen, book, scale=at, data=data, partial=partial)
    ends = (Fraction(1, 1000), Fraction(10_000)) if low == high else (low, high)
    for path in chart:
        from outlay.views.pay_chart import draw_costs

        draw_costs(found, ends[0], ends[1], path, dark=dark)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(pay.comparison_json(found, *ends)), indent=1))
        return
    out = console()
    for line in pay.trace_lines(calls):
        out.print(line)
    if at != 1:
        out.print(f"every counter multiplied by {float(at):g}")
    out.print()
    print_table(pay.comparison_table(found, wide=out.width >= 110), out)
    out.print()
    for line in pay.verdict_lines(found):
        out.print(line)
    if pay.shown_crossings(found, *ends):
        out.print()
        print_table(pay.crossings_table(found, *ends), out)
    if found.ruled_out:
        out.print("\nRuled out", style="bold")
        for gone in found.ruled_out:
            out.print(f"{gone.id}: {gone.why}")
    out.print(f"\nprices: book {book.id}, {book.source} of {book.date}", style="dim")
    for path in chart:
        out.print(f"chart: {path}", style="dim")


def explain(
    plan: str, trace: str | None, since: str | None, until: str | None, source: str | None, prices: Sequence[Path],
    plans: Sequence[Path], only: Sequence[str], scale: str, partial: bool, as_json: bool,
) -> None:  # fmt: skip
    """`outlay pay explain`."""
    at = parse_scale(scale)[0]
    base = plan.removesuffix(f" + {PER_TOKEN}")
    chosen = [p for p in all_plans(plans) if p.id == base or p.scheme == "mix"] if plan != PER_TOKEN else []
    if plan != PER_TOKEN and base not in [p.id for p in chosen]:
        raise InputError(f"no plan {plan!r}; `outlay pay plans` lists them")
    if any(p.id == base and p.scheme == "mix" for p in chosen):
        chosen = all_plans(plans)
    book = load(prices)
    calls = load_trace(book, trace, since, until, source)
    check_trace(calls, partial=partial)
    found = compare_ways(calls, chosen, book, scale=at, partial=partial, crossings=False)
    option = next((o for o in found.options if o.id == plan), None)
    if option is None:
        why = next((out.why for out in found.ruled_out if out.id == plan), "it does not apply to this trace")
        raise InputError(f"plan {plan!r} is ruled out: {why}")
    if as_json:
        bills = [{"end": end_name(option, n), **pay.bill_json(b, calls.successes)} for n, b in enumerate(option.bills)]
        click.echo(
            msgspec.json.format(msgspec.json.encode({"plan": plan, "price_book": book.id, "ends": bills}), indent=1)
        )
        return
    for line in pay.trace_lines(calls):
        click.echo(line)
    for n, bill in enumerate(option.bills):
        click.echo(f"\n{end_name(option, n)}")
        rows = [*bill.lines, ("ListCost", pay.span(bill.listed, bill.listed))]
        rows += [("ContractedCost", pay.span(bill.contracted, bill.contracted))]
        rows += [("BilledCost", pay.span(bill.billed, bill.billed))]
        rows += [("EffectiveCost", pay.span(bill.effective, bill.effective))]
        rows += [("the next call", "refused" if bill.marginal is None else pay.span(bill.marginal, bill.marginal))]
        way = option.ends[n]
        if isinstance(way, Subscription) and bill.overage:
            worth = way.shadow_prices(calls, at, np.ones(len(calls), dtype=np.bool_))
            rows += [(f"one more dollar in {name}", f"saves ${float(saved):.2f}") for name, saved in worth]
        width = max(len(what) for what, _ in rows)
        for what, amount in rows:
            click.echo(f"  {what:<{width}}  {amount}")
    table = next((p.table for p in chosen if p.id == base), {})
    for key in ("note", "when", "kind"):
        if table.get(key):
            click.echo(f"{'' if key != 'note' else chr(10)}{key}: {table[key]}")
    for seen in table.get("seen", ()):
        click.echo(f"seen: {seen}")


def windows(
    trace: str | None, since: str | None, until: str | None, source: str | None, prices: Sequence[Path],
    plans: Sequence[Path], only: Sequence[str], at: str | None, as_json: bool,
) -> None:  # fmt: skip
    """`outlay pay windows`."""
    now = Clock().now_ms()
    as_of = when(at, now, "--at") or now
    chosen = [p for p in all_plans(plans, only) if p.scheme == "plan" and not p.table.get("unpublished")]
    book = load(prices)
    calls = load_trace(book, trace, since, until, source)
    if int(calls.at_ms[-1]) > as_of:
        raise InputError("the trace goes on after --at; end it there with --until")
    found: list[pay.Fill] = []
    for plan in chosen:
        if not only and not all(plan.serves(model) for model in calls.models):
            continue
        for high in (True, False) if plan.ranged else (True,):
            way = build(plan, high=high, trace=calls, book=book)
            assert isinstance(way, Subscription)
            if plan.ranged:
                way.id = f"{plan.id} ({'better' if high else 'worse'} end)"
            found += pay.fills(way, calls, as_of)
    if as_json:
        windows_found = pay.windows_json(found, lower_bound=bool(calls.unpriced + calls.unmeasured))
        click.echo(msgspec.json.format(msgspec.json.encode(windows_found), indent=1))
        return
    if not found:
        raise InputError("no subscription serves every model of the trace; choose one with --only")
    print_table(pay.windows_table(found, as_of))
    for line in pay.trace_lines(calls)[1:]:
        click.echo(line)


def list_plans(plans: Sequence[Path], as_json: bool) -> None:
    """`outlay pay plans`."""
    from outlay.views.tables import Table, left

    found = all_plans(plans)
    if as_json:
        rows = [{"scheme": p.scheme, **p.table} for p in found]
        click.echo(msgspec.json.format(msgspec.json.encode(rows, enc_hook=str), indent=1))
        return
    lines = tuple(
        (p.id, "subscription" if p.scheme == "plan" else p.scheme,
         str(p.table.get("when", "")), str(p.table.get("unpublished") or p.table.get("note", "")))
        for p in found
    )  # fmt: skip
    columns = (left("plan"), left("scheme"), left("of"), left("note", flexible=True))
    print_table(Table("Plans", columns, lines))


__all__ = ["all_plans", "compare", "explain", "list_plans", "parse_scale", "windows"]
