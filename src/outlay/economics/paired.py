"""Arms compared on the same tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from outlay.economics.intervals import LEVEL, Interval, normal_quantile, t_quantile, t_two_sided
from outlay.economics.trials import ByTask, Trial, by_task, common_tasks
from outlay.errors import InputError

POWER = 0.80
"""Chance of seeing a real difference, in statements about how many tasks it takes."""


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """Arm A against arm B on their common tasks."""

    a: str
    b: str
    tasks: int
    """Tasks that both tried; others are left out."""
    ratio: float | None
    """A's cost per success / B's; None when either is undefined. `why` says so."""
    interval: Interval | None
    p_cost: float | None
    """Two-sided probability of such a ratio when both cost the same (t with tasks - 1)."""
    sd: float | None
    """Standard deviation of log ratio per task; what `tasks_needed` takes."""
    needed: int | None
    """Tasks for an 80 % chance to see the ratio that was found, at two-sided 5 %."""
    only_a: int
    """Tasks on which A succeeded more often."""
    only_b: int
    p_success: float
    """Exact two-sided McNemar test on those tasks; with repeats a sign test on the tasks' rates."""
    why: str = ""


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that of the tasks on which two arms differ so uneven a share falls to one (McNemar)."""
    n, least = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(least + 1)) / 2**n) if n else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def tasks_needed(ratio: float, sd: float, *, alpha: float = 1 - LEVEL, power: float = POWER) -> int | None:
    """Common tasks for a `power` chance to see that cost ratio: ((z + z') * sd / ln ratio)^2. None when it is 1."""
    if ratio <= 0 or ratio == 1 or not math.isfinite(ratio):
        return None
    reach = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return max(2, math.ceil((reach * sd / math.log(ratio)) ** 2))


def compare(a: Sequence[Trial], b: Sequence[Trial], level: float = LEVEL) -> Paired:
    """A's cost per success over B's on their common tasks, and which succeeds more. Raises InputError without any."""
    tasks = common_tasks([a, b])
    if not tasks:
        name = a[0].arm if a else "A", b[0].arm if b else "B"
        raise InputError(f"{name[0]} and {name[1]} have no task in common: nothing can be compared task by task")
    left, right = by_task(a, tasks), by_task(b, tasks)
    ratio, error, why = _log_ratio(left, right)
    shown = None if ratio is None else math.exp(ratio)
    interval = p_cost = sd = None
    if ratio is not None and error is not None:
        reach = t_quantile((1 + level) / 2, len(tasks) - 1) * error
        interval = Interval(math.exp(max(-700, ratio - reach)), math.exp(min(700, ratio + reach)))
        p_cost = t_two_sided(ratio / error, len(tasks) - 1) if error else float(ratio == 0)
        sd = error * math.sqrt(len(tasks))
    rates = [
        (s / n) - (z / m) for s, n, z, m in zip(left.successes, left.trials, right.successes, right.trials, strict=True)
    ]
    only_a, only_b = sum(d > 0 for d in rates), sum(d < 0 for d in rates)
    return Paired(
        a=a[0].arm,
        b=b[0].arm,
        tasks=len(tasks),
        ratio=shown,
        interval=interval,
        p_cost=p_cost,
        sd=sd,
        needed=None if shown is None or sd is None else tasks_needed(shown, sd),
        only_a=only_a,
        only_b=only_b,
        p_success=mcnemar(only_a, only_b),
        why=why,
    )


def _log_ratio(a: ByTask, b: ByTask) -> tuple[float | None, float | None, str]:
    """log(CPS_A / CPS_B) and its standard error over tasks."""
    for side in (a, b):
        if not side.priced:
            return None, None, f"too few known costs: {side.known:,} of {side.n:,} trials"
        if not side.s:
            return None, None, "an arm without a success has no cost per success"
        if not side.cost:
            return None, None, "an arm that costs nothing has no ratio"
    ratio = math.log((a.cost / a.s) / (b.cost / b.s))
    tasks = len(a.tasks)
    if tasks < 2:
        return ratio, None, "one common task: no interval"
    squares = math.fsum(
        ((ca / a.cost - sa / a.s) - (cb / b.cost - sb / b.s)) ** 2
        for ca, sa, cb, sb in zip(a.costs, a.successes, b.costs, b.successes, strict=True)
    )
    return ratio, math.sqrt(tasks / (tasks - 1) * squares), ""
