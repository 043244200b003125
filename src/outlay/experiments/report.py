"""The report on some results: every arm's cost per success, which arms are worth having, what cannot be said."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from outlay.economics.frontier import Point, cost_of_pass, expected_costs, front, hull
from outlay.economics.intervals import LEVEL, Interval, wilson
from outlay.economics.paired import Paired, compare, holm
from outlay.economics.success import ArmStats, CostPerSuccess, arm_stats
from outlay.economics.trials import by_arm
from outlay.errors import InputError
from outlay.experiments.results import Finding, Results, Totals, find_arm, trials_of

DISQUALIFYING = ("contradiction", "other tasks")
"""Kinds of findings that keep an arm from being ranked."""


COST_UNKNOWN = "its cost is unknown"
"""Why an arm is not ranked of which only totals are published, without a cost."""


class ArmRow(msgspec.Struct, frozen=True, kw_only=True):
    """One arm as the report shows it."""

    arm: str
    rate: float
    rate_interval: Interval | None
    """None when the number of trials is not published."""
    cost: CostPerSuccess
    mean_cost: float | None
    """Picodollars per try."""
    trials: int | None
    tasks: int | None
    """None when only totals are published."""
    ranked: bool
    """Its figures carry a place among the others."""
    worth: bool = False
    """No other ranked arm succeeds as often for less: it stands on the Pareto front."""
    mix: bool = False
    """Nor does a mix of others: it stands on the hull."""
    why_not: str = ""
    """Why it is not ranked."""
    stats: ArmStats | None = None
    """Everything about its trials; None when only totals are published."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by rising cost per success, the unranked ones last."""

    sources: tuple[str, ...]
    format: str
    rows: tuple[ArmRow, ...]
    findings: tuple[Finding, ...]
    trials: int
    tasks: int
    mixed: bool = False
    """Arms tried different tasks altogether: their figures have no common ground, and no front is marked."""
    tied: tuple[str, ...] = ()
    """Arms of which the common tasks do not tell whether the first row is cheaper per success (paired, Holm, 5 %)."""
    comparisons: tuple[Paired, ...] = ()
    adjusted: tuple[tuple[float | None, float], ...] = ()
    """Of each comparison: p-values for cost and success, adjusted for the number of comparisons (Holm)."""
    cost_of_pass: float | None = None
    """Picodollars: mean over tasks of the least expected cost of a success. None when no arm has known costs."""
    baseline_pico: int | None = None
    """What a person's solution of a task costs, where one was given."""

    @property
    def ranked(self) -> list[ArmRow]:
        return [row for row in self.rows if row.ranked]


def build(
    results: Results, pairs: Sequence[tuple[str, str]] = (), *, baseline_pico: int | None = None, level: float = LEVEL
) -> Report:
    """The report. `pairs`: arms to compare task by task. Raises InputError for an arm that is not there."""
    if not results.arms:
        raise InputError("no trials are left to report on")
    mixed = _mixed(results)
    rows = _placed([_row(results, arm, level) for arm in results.arms], mixed)
    compared = [
        compare(trials_of(results, find_arm(results, a)), trials_of(results, find_arm(results, b)), level)
        for a, b in _checked(results, pairs)
    ]
    return Report(
        sources=results.sources,
        format=results.format,
        rows=tuple(rows),
        findings=results.findings,
        trials=len(results.trials),
        tasks=len({trial.task for trial in results.trials}),
        mixed=mixed,
        tied=() if mixed else _tied(results, rows, level),
        comparisons=tuple(compared),
        adjusted=tuple(_adjusted(compared)),
        cost_of_pass=_cost_of_pass(results, baseline_pico),
        baseline_pico=baseline_pico,
    )


def _checked(results: Results, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    for name in (name for pair in pairs for name in pair):
        if not trials_of(results, find_arm(results, name)):
            raise InputError(f"{find_arm(results, name)}: only totals are published; a comparison needs single tasks")
    return pairs


def _row(results: Results, arm: str, level: float) -> ArmRow:
    trials = trials_of(results, arm)
    total = next((total for total in results.totals if total.arm == arm), None)
    contradiction = next((f.text for f in results.findings if f.arm == arm and f.kind in DISQUALIFYING), "")
    if not trials:
        assert total is not None
        row = _from_totals(total, level)
    else:
        stats = arm_stats(trials, level)
        row = ArmRow(
            arm=arm,
            rate=stats.rate,
            rate_interval=stats.rate_interval,
            cost=stats.cost,
            mean_cost=stats.mean_cost,
            trials=stats.trials,
            tasks=stats.tasks,
            ranked=stats.cost.label in ("", "approximate"),
            why_not=stats.cost.why,
            stats=stats,
        )
        if stats.cost.label == "unknown" and not stats.known_costs and total is not None and total.mean_pico:
            cost = _cost_of_totals(stats.rate, total.mean_pico)
            row = msgspec.structs.replace(
                row, cost=cost, mean_cost=float(total.mean_pico), ranked=cost.value is not None, why_not=""
            )
    if contradiction:
        two = trials and total is not None and total.mean_pico and total.rate
        also = _other_cost(row, total) if two and total is not None else ""
        row = msgspec.structs.replace(row, ranked=False, why_not=contradiction + also)
    return row


def _other_cost(row: ArmRow, total: Totals) -> str:
    if row.cost.value is None or total.mean_pico is None:
        return ""
    stated, own = total.mean_pico / total.rate / 1e12, row.cost.value / 1e12
    return f"; a success costs ${stated:,.2f} by the one, ${own:,.2f} by the other"


def _from_totals(total: Totals, level: float) -> ArmRow:
    cost = _cost_of_totals(total.rate, total.mean_pico)
    known = total.trials is not None and total.successes is not None
    return ArmRow(
        arm=total.arm,
        rate=total.rate,
        rate_interval=wilson(total.successes or 0, total.trials or 1, level) if known else None,
        cost=cost,
        mean_cost=None if total.mean_pico is None else float(total.mean_pico),
        trials=total.trials,
        tasks=None,
        ranked=cost.value is not None,
        why_not=cost.why if cost.value is None else "",
    )


def _cost_of_totals(rate: float, mean_pico: int | None) -> CostPerSuccess:
    if mean_pico is None:
        return CostPerSuccess(None, None, "unknown", COST_UNKNOWN)
    if not rate:
        return CostPerSuccess(None, None, "unknown", "no success")
    return CostPerSuccess(mean_pico / rate, None, "no interval", "only totals are published")


def _mixed(results: Results) -> bool:
    """Totals of several benchmarks, or arms without a task in common with the one that tried most."""
    if len({total.benchmark for total in results.totals if total.benchmark}) > 1:
        return True
    tried = [{trial.task for trial in group} for group in by_arm(results.trials).values()]
    most = max(tried, key=len, default=set())
    return any(not tasks & most for tasks in tried)


def _placed(rows: list[ArmRow], mixed: bool) -> list[ArmRow]:
    """In order, with the front and the hull marked."""
    usable = [] if mixed else [row for row in rows if row.ranked]
    points = [Point(row.arm, row.mean_cost, row.rate) for row in usable if row.mean_cost is not None]
    on_front, on_hull = {p.arm for p in front(points)}, {p.arm for p in hull(points)}
    marked = [
        msgspec.structs.replace(row, worth=row.arm in on_front, mix=row.arm in on_hull) if row.ranked else row
        for row in rows
    ]
    return sorted(marked, key=lambda r: (not r.ranked, math.inf if r.cost.value is None else r.cost.value, -r.rate))


def _tied(results: Results, rows: Sequence[ArmRow], level: float) -> tuple[str, ...]:
    """Each ranked arm with single trials against the first of them."""
    placed = [row for row in rows if row.ranked and row.stats is not None]
    if len(placed) < 2 or placed[0] is not rows[0]:
        return ()
    by_name = by_arm(results.trials)
    first = {trial.task for trial in by_name[placed[0].arm]}
    others = [row.arm for row in placed[1:] if len(first & {t.task for t in by_name[row.arm]}) > 1]
    chances = [compare(by_name[placed[0].arm], by_name[arm], level).p_cost for arm in others]
    known = [(arm, p) for arm, p in zip(others, chances, strict=True) if p is not None]
    return tuple(arm for (arm, _), p in zip(known, holm([p for _, p in known]), strict=True) if p >= 1 - level)


def _adjusted(compared: Sequence[Paired]) -> list[tuple[float | None, float]]:
    costs = [pair.p_cost for pair in compared if pair.p_cost is not None]
    adjusted = iter(holm(costs))
    successes = holm([pair.p_success for pair in compared])
    return [
        (None if pair.p_cost is None else next(adjusted), success)
        for pair, success in zip(compared, successes, strict=True)
    ]


def _cost_of_pass(results: Results, baseline_pico: int | None) -> float | None:
    values = {}
    for arm in results.arms:
        if arm in results.contradicted():
            continue
        try:
            values[arm] = expected_costs(trials_of(results, arm))
        except InputError:
            continue
    if not values:
        return None
    return cost_of_pass(values, math.inf if baseline_pico is None else float(baseline_pico))
