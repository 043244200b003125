"""What trying again would cost and bring, with a gate that may err; and arms tried one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from outlay.economics.intervals import Interval, log_delta
from outlay.economics.passk import beta_of
from outlay.economics.trials import ByTask, Trial, by_task, common_tasks
from outlay.errors import InputError


class Gate(msgspec.Struct, frozen=True):
    """What decides after a try whether it was good: checks, a reviewer. A perfect gate makes no error."""

    false_accept: float = 0.0
    """Chance that a bad result passes."""
    false_reject: float = 0.0
    """Chance that a good result is refused."""

    def __post_init__(self) -> None:
        if not (0 <= self.false_accept <= 1 and 0 <= self.false_reject <= 1):
            raise InputError("the gate's error rates lie between 0 and 1")


class Fallback(msgspec.Struct, frozen=True):
    """What happens when every try was refused: say, a person does it."""

    cost: float
    """Picodollars."""
    success: float = 1.0


class Expected(msgspec.Struct, frozen=True):
    """Per task, on average."""

    cost: float
    """Picodollars, fallback included."""
    success: float
    """Share of tasks that end with a good result delivered."""
    tries: float
    wrong: float
    """Share of tasks that end with a bad result delivered as good."""

    @property
    def per_success(self) -> float:
        """Picodollars per success; infinite without any."""
        return self.cost / self.success if self.success else math.inf


def capped(
    p: float, good_cost: float, bad_cost: float, tries: int, gate: Gate | None = None, fallback: Fallback | None = None
) -> Expected:
    """At most `tries` independent tries of a task whose tries succeed with chance `p`.

    `good_cost` and `bad_cost`: what a try costs that succeeds or fails. With a perfect gate and equal costs c the cost
    is c * (1 - q^K) / (1 - q) + q^K * H, q = 1 - p.
    """
    if tries < 1:
        raise InputError("there is at least one try")
    gate = gate or Gate()
    accepted = p * (1 - gate.false_reject) + (1 - p) * gate.false_accept
    # 1 - (1 - a)^K without cancellation where a is small.
    ended = 1.0 if accepted >= 1 else -math.expm1(tries * math.log1p(-accepted))
    made = ended / accepted if accepted > 0 else float(tries)
    left = 1 - ended
    good, wrong = made * p * (1 - gate.false_reject), made * (1 - p) * gate.false_accept
    cost = made * (p * good_cost + (1 - p) * bad_cost)
    if fallback is not None:
        cost += left * fallback.cost
        good += left * fallback.success
    return Expected(cost, good, made, wrong)


def mean_expected(parts: Sequence[tuple[float, Expected]]) -> Expected:
    """The mean of what is expected, by weight."""
    total = math.fsum(weight for weight, _ in parts)
    sums = (
        math.fsum(weight * value for weight, value in zip((w for w, _ in parts), column, strict=True)) / total
        for column in zip(*((e.cost, e.success, e.tries, e.wrong) for _, e in parts), strict=True)
    )
    return Expected(*sums)


def per_task(data: ByTask, tries: int, gate: Gate | None = None, fallback: Fallback | None = None) -> Expected:
    """Retries from each task's own measured rate and cost, then the mean over tasks.

    It needs repeats: with one trial a task its rate is 0 or 1, and trying again would bring nothing by construction.
    """
    _need_costs(data)
    parts = []
    for n, s, cost in zip(data.trials, data.successes, data.costs, strict=True):
        parts.append((1.0, capped(s / n, cost / n, cost / n, tries, gate, fallback)))
    return mean_expected(parts)


_NODES = 200
_NONE = 0.001
"""Below it the beta distribution is a point for every purpose, and the rule for it overflows."""


def by_correlation(
    trials: Sequence[Trial], correlation: float, tries: int, gate: Gate | None = None, fallback: Fallback | None = None
) -> Expected:
    """Retries when tasks' rates follow the beta distribution with the arm's rate and that correlation.

    A try costs the arm's mean of its successful or of its failed trials. Correlation 0: tries independent of the
    task; 1: a task that failed once fails always.
    """
    data = by_task(trials)
    _need_costs(data)
    rate = data.s / data.n
    good, bad = _mean_cost(trials, True, data), _mean_cost(trials, False, data)
    if rate in (0.0, 1.0) or correlation >= 1:
        parts = [(1 - rate, 0.0), (rate, 1.0)]
    elif correlation < _NONE:
        parts = [(1.0, rate)]
    else:
        parts = _nodes(*beta_of(rate, correlation))
    return mean_expected([(w, capped(p, good, bad, tries, gate, fallback)) for w, p in parts if w > 0])


def _nodes(a: float, b: float) -> list[tuple[float, float]]:
    """(weight, rate) of a Gauss-Jacobi rule: exact for the polynomials that retries are."""
    import numpy as np
    from scipy.special import roots_jacobi

    with np.errstate(invalid="ignore"):  # scipy computes 0/0 at a + b = 1 and then does not use it
        points, weights = roots_jacobi(_NODES, b - 1, a - 1)
    return [(float(w), (float(x) + 1) / 2) for x, w in zip(points, weights, strict=True)]


def _mean_cost(trials: Sequence[Trial], success: bool, data: ByTask) -> float:
    costs = [t.cost_pico for t in trials if t.success == success and t.cost_pico is not None]
    return sum(costs) / len(costs) if costs else data.cost / data.n


def _need_costs(data: ByTask) -> None:
    if not data.priced:
        raise InputError(f"retries need known costs: {data.known} of {data.n} trials have one")


class Cascade(msgspec.Struct, frozen=True, kw_only=True):
    """Arms tried one after the other on the same tasks, the next when the gate refuses the one before."""

    arms: tuple[str, ...]
    tasks: int
    expected: Expected
    interval: Interval | None
    """For the cost per success, clustered by task."""
    independent: float
    """The success that independent arms of the same rates would reach; more than theirs, for arms fail together."""


def cascade(arms: Sequence[Sequence[Trial]], gate: Gate | None = None) -> Cascade:
    """The chain on the tasks that all arms tried: with a perfect gate cost c1 + (1 - s1) * c2, success max(s1, s2).

    Repeats of a task are averaged per arm first. The last arm's result is delivered as it is when it is accepted; a
    refused one is no success. Raises InputError for fewer than two arms, no common task or unknown costs.
    """
    if len(arms) < 2:
        raise InputError("a cascade has at least two arms, separated by commas")
    tasks = common_tasks(arms)
    if not tasks:
        raise InputError("these arms have no task in common")
    gate = gate or Gate()
    data = [by_task(arm, tasks) for arm in arms]
    for side in data:
        _need_costs(side)
    each = [
        _chain([(d.successes[i] / d.trials[i], d.costs[i] / d.trials[i]) for d in data], gate)
        for i in range(len(tasks))
    ]
    rates = [d.s / d.n for d in data]
    independent = _chain([(rate, 0.0) for rate in rates], gate).success
    return Cascade(
        arms=tuple(arm[0].arm for arm in arms),
        tasks=len(tasks),
        expected=mean_expected([(1.0, e) for e in each]),
        interval=log_delta([e.cost for e in each], [e.success for e in each]),
        independent=independent,
    )


def _chain(stages: Sequence[tuple[float, float]], gate: Gate) -> Expected:
    """One task through (success rate, cost) stages."""
    reached, cost, good, wrong, made = 1.0, 0.0, 0.0, 0.0, 0.0
    for p, price in stages:
        cost += reached * price
        made += reached
        good += reached * p * (1 - gate.false_reject)
        wrong += reached * (1 - p) * gate.false_accept
        reached *= 1 - p * (1 - gate.false_reject) - (1 - p) * gate.false_accept
    return Expected(cost, good, made, wrong)
