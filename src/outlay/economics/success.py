"""Cost per success of one arm, with what can and what cannot be said about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from outlay.economics.intervals import LEVEL, Interval, log_delta, wilson
from outlay.economics.passk import icc, pass_at, pass_hat
from outlay.economics.trials import ByTask, Trial, by_task

WIDEST_RANKED = 10.0
"""Upper end over lower end beyond which an interval ranks nothing."""
FEW_TASKS = 30
"""Below so many tasks the log-delta interval is stated as approximate: measured in benchmarks/coverage.py."""

Label = Literal["", "approximate", "unranked", "bound", "no interval", "unknown"]
"""How far a cost per success can be trusted:
"" fully; `approximate` few tasks; `unranked` the interval spans more than tenfold; `bound` no success, a lower bound
only; `no interval` one task, or totals only; `unknown` too few known costs, or none."""


class CostPerSuccess(msgspec.Struct, frozen=True):
    """sum of all trials' costs / successes, in picodollars. Failed, errored and stopped trials are in the numerator."""

    value: float | None
    """None when there was no success, or when too few costs are known."""
    interval: Interval | None
    label: Label
    why: str = ""
    """The label in words, for people."""


class ArmStats(msgspec.Struct, frozen=True, kw_only=True):
    """All that one arm's trials say."""

    arm: str
    trials: int
    tasks: int
    successes: int
    rate: float
    rate_interval: Interval
    """Wilson's, over trials; with repeats over tasks (see `rate_of`)."""
    cost: CostPerSuccess
    total_pico: int | None
    """Sum of the known costs; None when none is known."""
    known_costs: int
    """Trials with a known cost."""
    mean_cost: float | None
    """Picodollars per trial; None when too few costs are known."""
    failed_cost: float | None
    """Share of the known cost that went into trials without success."""
    coordination: float | None = None
    """Share of the known cost spent on telling each other things; None when it was not measured."""
    verification: float | None = None
    """Share of the known cost spent on checking; None when it was not measured."""
    tokens_per_success: float | None = None
    """Net tokens of all trials / successes; None when a trial has no count."""
    gross_per_success: float | None = None
    """The same with cache reads."""
    time_per_success_ms: float | None = None
    """Wall time of all trials / successes, in milliseconds; None when a trial has none."""
    endings: dict[str, int] = msgspec.field(default_factory=dict)
    """Outcome -> trials."""
    icc: float | None = None
    """Correlation of outcomes within a task; None without repeats."""
    pass_at: dict[int, float] = msgspec.field(default_factory=dict)
    """k -> chance that one of k tries succeeds, up to the least number of repeats."""
    pass_hat: dict[int, float] = msgspec.field(default_factory=dict)
    """k -> chance that all k tries succeed."""


def cost_per_success(data: ByTask, level: float = LEVEL) -> CostPerSuccess:
    """The ratio, its interval and its label. Unknown costs below 2 % are taken at the arm's mean; above, it refuses."""
    if not data.n:
        return CostPerSuccess(None, None, "unknown", "no trials")
    if not data.priced:
        return CostPerSuccess(None, None, "unknown", _unknown(data))
    if not data.s:
        bound = data.cost / data.n / wilson(0, data.n, level).high
        return CostPerSuccess(
            None, Interval(bound, math.inf), "bound", f"no success in {data.n:,} {'trial' if data.n == 1 else 'trials'}"
        )
    value = data.cost / data.s
    interval = log_delta(data.costs, data.successes, level)
    if interval is None:
        why = "nothing was spent" if not data.cost else "an interval needs two tasks"
        return CostPerSuccess(value, None, "no interval", why)
    if interval.spread > WIDEST_RANKED:
        why = f"{data.s} successes in {len(data.tasks)} tasks leave more than a tenfold range"
        return CostPerSuccess(value, interval, "unranked", why)
    if len(data.tasks) < FEW_TASKS:
        return CostPerSuccess(value, interval, "approximate", f"only {len(data.tasks)} tasks")
    return CostPerSuccess(value, interval, "")


def _unknown(data: ByTask) -> str:
    missing = data.n - data.known
    return f"cost unknown for {missing:,} of {data.n:,} trials (2 % may be)"


def rate_of(data: ByTask, level: float = LEVEL) -> Interval:
    """Wilson's interval. Repeats of a task count by what they add: n / (1 + (k - 1) * icc), k repeats a task."""
    correlated = icc(data.successes, data.trials)
    if correlated is None:
        return wilson(data.s, data.n, level)
    repeats = data.n / len(data.tasks)
    effective = data.n / (1 + (repeats - 1) * min(1.0, max(0.0, correlated)))
    return wilson(data.s / data.n * effective, effective, level)


def arm_stats(trials: Sequence[Trial], level: float = LEVEL) -> ArmStats:
    """Everything about the trials of one arm. There must be at least one."""
    data = by_task(trials)
    most = min(data.trials)
    known = sum(trial.cost_pico or 0 for trial in trials)
    return ArmStats(
        arm=trials[0].arm,
        trials=data.n,
        tasks=len(data.tasks),
        successes=data.s,
        rate=data.s / data.n,
        rate_interval=rate_of(data, level),
        cost=cost_per_success(data, level),
        total_pico=known if data.known else None,
        known_costs=data.known,
        mean_cost=data.cost / data.n if data.priced else None,
        failed_cost=_share(trials, known, lambda trial: 0 if trial.success else trial.cost_pico),
        coordination=_share(trials, known, lambda trial: trial.coordination_pico),
        verification=_share(trials, known, lambda trial: trial.verification_pico),
        tokens_per_success=_per_success(trials, data.s, lambda t: None if t.tokens is None else t.tokens.net),
        gross_per_success=_per_success(trials, data.s, lambda t: None if t.tokens is None else t.tokens.gross),
        time_per_success_ms=_per_success(trials, data.s, lambda trial: trial.wall_ms),
        endings=dict(Counter(trial.outcome for trial in trials)),
        icc=icc(data.successes, data.trials),
        pass_at={k: pass_at(k, data.successes, data.trials) for k in range(1, most + 1)} if most > 1 else {},
        pass_hat={k: pass_hat(k, data.successes, data.trials) for k in range(1, most + 1)} if most > 1 else {},
    )


def _per_success(trials: Sequence[Trial], successes: int, of: Callable[[Trial], int | None]) -> float | None:
    amounts = [amount for trial in trials if (amount := of(trial)) is not None]
    return sum(amounts) / successes if successes and len(amounts) == len(trials) else None


def _share(trials: Sequence[Trial], total: int, of: Callable[[Trial], int | None]) -> float | None:
    parts = [of(trial) for trial in trials if trial.cost_pico is not None]
    known = [part for part in parts if part is not None]
    return sum(known) / total if total and len(known) == len(parts) else None
