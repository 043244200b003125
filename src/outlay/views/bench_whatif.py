"""`outlay bench whatif`: retries, cascades and other prices, in tables that show what was assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from outlay.clock import Clock
from outlay.economics.retries import Cascade, Expected, Fallback, Gate
from outlay.economics.success import ArmStats, arm_stats
from outlay.errors import InputError
from outlay.experiments import whatif as compute
from outlay.experiments.results import Results, find_arm, trials_of
from outlay.experiments.whatif_pay import PaidWay
from outlay.money import pico
from outlay.views.bench import dollars, percent
from outlay.views.bench_command import load
from outlay.views.bench_print import finite, print_table
from outlay.views.tables import Table, left, right


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, computed."""

    retries: tuple[compute.Retried, ...] = ()
    cascade: Cascade | None = None
    members: tuple[ArmStats, ...] = ()
    """The cascade's arms alone, on all their own tasks."""
    prices: tuple[tuple[str, ArmStats, ArmStats], ...] = ()
    """The price in words, the arm as measured, the arm at that price."""
    ways: tuple[PaidWay, ...] = ()
    """Arms under other ways to pay."""
    notes: tuple[str, ...] = ()


def whatif(
    files: Sequence[Path], tasks: Sequence[str], arms: Sequence[str], as_json: bool, retries: int | None,
    icc: str | None, cascade: str | None, false_accept: float, false_reject: float, fallback: str | None,
    prices: Sequence[str], pay: bool, plans: Sequence[Path], only: Sequence[str],
) -> None:  # fmt: skip
    """Computes and prints."""
    if retries is None and cascade is None and not prices and not pay:
        raise InputError("say what to compute: --retries K, --cascade A,B, --price ARM=PRICE or --pay")
    if (plans or only) and not pay:
        raise InputError("--plans and --only go with --pay")
    if retries is not None and retries < 1:
        raise InputError(f"--retries {retries}: there is at least one try")
    if icc is not None and retries is None:
        raise InputError("--icc goes with --retries")
    results = load(files, tasks, arms)
    if not results.trials:
        raise InputError("only totals are published in these files; what-if needs single trials")
    gate = Gate(false_accept, false_reject)
    person = None if fallback is None else Fallback(pico(fallback))
    notes: list[str] = []
    ways = _ways(results, plans, only, notes) if pay else []
    results, priced = _prices(results, prices)
    answer = Answer(
        retries=() if retries is None else tuple(_retries(results, retries, _range(icc), gate, person, notes)),
        cascade=None if cascade is None else compute.chain(results, _names(cascade), gate),
        members=() if cascade is None else tuple(_alone(results, _names(cascade))),
        prices=tuple(priced),
        ways=tuple(ways),
        notes=tuple(notes),
    )
    if as_json:
        encoded = msgspec.json.encode(finite(msgspec.to_builtins(answer, str_keys=True)))
        click.echo(msgspec.json.format(encoded, indent=2))
    else:
        _print(answer, gate, person)


def _ways(results: Results, plans: Sequence[Path], only: Sequence[str], notes: list[str]) -> list[PaidWay]:
    from outlay.experiments.whatif_pay import pay
    from outlay.prices.book import load as load_book
    from outlay.runs.lookup import open_ledger
    from outlay.views.pay_command import all_plans

    with open_ledger() as ledger:
        found, why = pay(results, ledger, all_plans(plans, only), load_book())
    notes += why
    return found


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, _, high = text.partition("..")
    try:
        ends = float(low), float(high or low)
    except ValueError:
        ends = -1.0, -1.0
    if not all(0 <= end <= 1 for end in ends):
        raise InputError(f"--icc {text!r}: write a number from 0 to 1, or two as 0.5..0.9")
    return ends


def _prices(results: Results, wishes: Sequence[str]) -> tuple[Results, list[tuple[str, ArmStats, ArmStats]]]:
    """Results with the new prices in them, and before and after."""
    found = []
    book = None
    for wish in wishes:
        name, equals, text = wish.rpartition("=")
        if not equals or not name:
            raise InputError(f"--price {wish!r}: write ARM=PRICE, such as solo=x0.5")
        if book is None:
            from outlay.prices.book import load as load_book

            book = load_book()
        price = compute.parse_price(text, book, Clock().now_ms())
        arm = find_arm(results, name)
        old = trials_of(results, arm)
        if not old:
            raise InputError(f"{arm}: only totals are published; other prices need single trials")
        new = compute.reprice(old, price)
        found.append((price.says, arm_stats(old), arm_stats(new)))
        kept = [trial for trial in results.trials if trial.arm != arm]
        results = msgspec.structs.replace(results, trials=(*kept, *new))
    return results, found


def _retries(
    results: Results, tries: int, assumed: tuple[float, float] | None, gate: Gate, person: Fallback | None,
    notes: list[str],
) -> list[compute.Retried]:  # fmt: skip
    rows = []
    for arm in dict.fromkeys(trial.arm for trial in results.trials):
        if arm in results.contradicted():
            notes.append(f"{arm} is left out: its published figures contradict each other.")
            continue
        try:
            rows.append(compute.retry(trials_of(results, arm), tries, assumed=assumed, gate=gate, fallback=person))
        except InputError as error:
            notes.append(f"{arm} is left out: {error}.")
    return sorted(rows, key=lambda row: row.high.per_success)


def _alone(results: Results, names: Sequence[str]) -> list[ArmStats]:
    return [arm_stats(trials_of(results, find_arm(results, name))) for name in names]


def _print(answer: Answer, gate: Gate, person: Fallback | None) -> None:
    from rich.console import Console

    width = min(Console().width, 120)
    blocks = []
    if answer.prices:
        blocks.append(_price_table(answer.prices))
    if answer.ways:
        blocks.append(_way_table(answer.ways))
    if answer.retries:
        blocks.append(_retry_table(answer.retries, gate, person))
    if answer.cascade is not None:
        blocks.append(_cascade_table(answer.cascade, answer.members, gate))
    for number, table in enumerate(blocks):
        if number:
            click.echo()
        click.secho(table.title, bold=True)
        print_table(table, width)
    for note in answer.notes:
        click.echo(note)


def _price_table(prices: Sequence[tuple[str, ArmStats, ArmStats]]) -> Table:
    rows = [
        (new.arm, dollars(old.cost.value), dollars(new.cost.value), dollars(new.mean_cost)) for _, old, new in prices
    ]
    columns = (left("arm", flexible=True), right("was"), right("would be"), right("per try"))
    note = " ".join(f"{new.arm}: at {says}." for says, _, new in prices)
    return Table("Cost per success at other prices", columns, tuple(rows), note=note)


def _way_table(ways: Sequence[PaidWay]) -> Table:
    def span(low: float, high: float) -> str:
        return dollars(low) if dollars(low) == dollars(high) else f"{dollars(low)} to {dollars(high)}"

    rows = []
    for number, one in enumerate(ways):
        first = not number or ways[number - 1].arm != one.arm
        each = one.per_success
        cells = (span(one.low, one.high), "-" if each is None else span(*each))
        rows.append((one.arm if first else "", one.way, *cells))
    columns = (left("arm", flexible=True), left("way to pay"), right("billed"), right("per success"))
    note = (
        "Each arm's own calls alone, at their own times: a fee for a month falls on them whole. Ways that cannot carry "
        "all of them are left out; `outlay pay compare` says why, and looks at larger volumes."
    )
    return Table("Under other ways to pay", columns, tuple(rows), note=note)


def _retry_table(rows: Sequence[compute.Retried], gate: Gate, person: Fallback | None) -> Table:
    wrong, own = gate.false_accept > 0, any(row.measured for row in rows)
    columns = [
        left("arm", flexible=True), right("1 try"), right("a success", short="costs"), right(f"{rows[0].tries} tries"),
        right("a success", short="costs"),
    ]  # fmt: skip
    columns += [right("wrong")] * wrong + [right("alike")] * own
    cells = []
    for row in rows:
        line = [
            row.arm, percent(row.once.success), dollars(row.once.per_success),
            _both(row, lambda e: 100 * e.success, lambda v: f"{v:.0f}") + " %",
            "$" + _both(row, lambda e: e.per_success, dollars).replace("$", ""),
        ]  # fmt: skip
        if wrong:
            line.append(_both(row, lambda e: 100 * e.wrong, lambda v: f"{v:.0f}") + " %")
        if own:
            low, high = row.assumed[1], row.assumed[0]
            line.append(f"{high:.2f}" if low == high else f"{low:.2f}-{high:.2f}")
        cells.append(tuple(line))
    note = f"{_gate_words(gate)} {_likeness(rows)}"
    if person is not None:
        note += f" After the last refused try a person does the task for {dollars(person.cost)}; that counts."
    return Table(f"Up to {rows[0].tries} tries a task", tuple(columns), tuple(cells), note=note)


def _likeness(rows: Sequence[compute.Retried]) -> str:
    """What was taken for the outcome correlation."""
    if all(row.measured for row in rows):
        return "alike: how much repeats of a task end the same way (1: always), measured on these trials."
    low, high = rows[0].assumed[1], rows[0].assumed[0]
    span = f"{high:g}" if low == high else f"{low:g} to {high:g}"
    where = "Where a task was tried once, repeats" if any(row.measured for row in rows) else "Repeats of a task"
    return f"{where} are assumed to end alike with a correlation of {span} (--icc)."


def _both(row: compute.Retried, of: Callable[[Expected], float], show: Callable[[float], str]) -> str:
    """The figure, or the lesser and the greater one."""
    low, high = sorted((of(row.low), of(row.high)))
    return show(low) if show(low) == show(high) else f"{show(low)}-{show(high)}"


def _gate_words(gate: Gate) -> str:
    if not gate.false_accept and not gate.false_reject:
        return "A perfect gate decides whether to try again."
    passes, refuses = percent(gate.false_accept), percent(gate.false_reject)
    return f"The gate passes {passes} of bad results and refuses {refuses} of good ones."


def _cascade_table(chain: Cascade, members: Sequence[ArmStats], gate: Gate) -> Table:
    rows = []
    for one in members:
        span = _span(one.cost.interval)
        rows.append((f"{one.arm} alone", percent(one.rate), dollars(one.mean_cost), dollars(one.cost.value), span))
    found: Expected = chain.expected
    name = "all, one after the other"
    rows.append((name, percent(found.success), dollars(found.cost), dollars(found.per_success), _span(chain.interval)))
    columns = (
        left("arm", flexible=True),
        right("succeed"),
        right("per task"),
        right("per success"),
        right("95 % range"),
    )
    note = (
        f"{_gate_words(gate)} On {chain.tasks:,} common tasks. Arms that failed independently would reach "
        f"{percent(chain.independent)}."
    )
    if found.wrong:
        note += f" {percent(found.wrong)} of tasks end with a bad result taken for good."
    return Table("A cascade", columns, tuple(rows), note=note)


def _span(interval: Any) -> str:
    return "-" if interval is None else f"{dollars(interval.low)} to {dollars(interval.high)}"
