"""Which arms are worth having: the Pareto front, its hull, and the cost of pass of a choice of arms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from outlay.economics.trials import LEAST_KNOWN, Trial
from outlay.errors import InputError


class Point(msgspec.Struct, frozen=True):
    """An arm as a buyer sees it."""

    arm: str
    cost: float
    """Mean cost of one try, any unit."""
    rate: float
    """Share of tries that succeed."""


def front(points: Iterable[Point]) -> list[Point]:
    """Points that no other beats: none is both as cheap and as good, and better in one. By rising cost."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.rate)):
        if not found or point.rate > found[-1].rate:
            found.append(point)
        elif point.rate == found[-1].rate and point.cost == found[-1].cost:
            found.append(point)  # an exact tie: neither beats the other
    return found


def hull(points: Iterable[Point]) -> list[Point]:
    """The front's upper convex hull, seen from the origin: mixing arms at random reaches every point on it.

    Doing nothing costs 0 and never succeeds; a point below a line between two others is a worse buy than their mix
    (Kapoor 2024, 2407.01502).
    """
    kept: list[Point] = []
    for point in front(points):
        while kept and _below(kept[-2] if len(kept) > 1 else Point("", 0.0, 0.0), kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _below(before: Point, middle: Point, after: Point) -> bool:
    """`middle` lies on or under the line from `before` to `after`."""
    rise = (middle.rate - before.rate) * (after.cost - before.cost)
    return rise <= (after.rate - before.rate) * (middle.cost - before.cost) and middle.cost < after.cost


def expected_costs(trials: Sequence[Trial]) -> dict[str, float]:
    """Task -> mean cost / success rate of one arm's trials of it, in picodollars; infinite where it never succeeded.

    Raises InputError under 98 % known costs; a task whose costs are all unknown is left out.
    """
    known = sum(trial.cost_pico is not None for trial in trials)
    if not trials or known < LEAST_KNOWN * len(trials):
        raise InputError(f"cost of pass needs known costs: {known} of {len(trials)} trials have one")
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.cost_pico is not None:
            groups.setdefault(trial.task, []).append(trial)
    values = {}
    for task, group in groups.items():
        successes = sum(trial.success for trial in group)
        cost = sum(trial.cost_pico or 0 for trial in group)
        values[task] = cost / successes if successes else math.inf
    return values


def cost_of_pass(arms: Mapping[str, Mapping[str, float]], baseline: float = math.inf) -> float:
    """Mean over tasks of the least expected cost of a success among the arms and the baseline (Erol 2025, 2504.13359).

    `arms`: arm -> `expected_costs`. `baseline`: what a person's solution of a task costs. Infinite when a task was
    solved by nobody and there is no baseline. A mean of ratios: not the cost per success, which is a ratio of sums.
    """
    tasks = {task for values in arms.values() for task in values}
    if not tasks:
        raise InputError("cost of pass needs at least one task")
    least = (min([baseline, *(values.get(task, math.inf) for values in arms.values())]) for task in tasks)
    return sum(least) / len(tasks)


def gain(arms: Mapping[str, Mapping[str, float]], family: Iterable[str], baseline: float = math.inf) -> float:
    """The share by which having `family` among the arms lowers the cost of pass: 1 - V(all) / V(all but family)."""
    left_out = set(family)
    rest = {arm: values for arm, values in arms.items() if arm not in left_out}
    if not rest and not math.isfinite(baseline):
        return 1.0
    tasks = {task for values in arms.values() for task in values}
    without = cost_of_pass(rest | {"": dict.fromkeys(tasks, math.inf)}, baseline)
    everything = cost_of_pass(arms, baseline)
    if not math.isfinite(without):
        return 1.0 if math.isfinite(everything) else 0.0
    return 1 - everything / without if without else 0.0
