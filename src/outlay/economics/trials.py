"""The trial: one run of a task by an arm, as every statistic of this package reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from outlay.errors import InputError
from outlay.tokens import Usage

Outcome = Literal["succeeded", "failed", "stopped", "cancelled", "errored", "lost"]

Played = Literal["", "recorded", "by hand"]
"""How answers that nobody paid for came about."""

LEAST_KNOWN = 0.98
"""Share of trials whose cost must be known before a cost per success is stated (docs/reference/statistics.md)."""


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of a task. Errored and stopped trials are trials too: they count, and so does their cost."""

    task: str
    arm: str
    success: bool
    repeat: int = 0
    """Number of this trial among those of the same task and arm, from 0."""
    cost_pico: int | None = None
    """What the trial cost, in picodollars; None when it is unknown. 0 only when `free`."""
    free: bool = False
    """The trial really cost nothing. Without it a cost of 0 is read as unknown."""
    tokens: Usage | None = None
    """All sessions of the trial together; None when they were not measured."""
    wall_ms: int | None = None
    """From start to verdict, in milliseconds; None when it was not measured."""
    coordination_pico: int | None = None
    """The part of `cost_pico` that agents spent on telling each other things."""
    verification_pico: int | None = None
    """The part of `cost_pico` that was spent on checking work."""
    outcome: Outcome = "failed"
    """How it ended. `succeeded` exactly when `success`."""
    source: str = ""
    """Where the record comes from: a run's id, a file."""
    played: Played = ""
    """Set where answers were played from a recording or given by hand: nothing was paid, the cost is at the goal's
    prices."""

    def __post_init__(self) -> None:
        if not (self.task and self.arm and isinstance(self.task, str) and isinstance(self.arm, str)):
            raise InputError("a trial names its task and its arm")
        if self.success != (self.outcome == "succeeded"):
            raise InputError(f"{self.arm} on {self.task}: success is {self.success} but outcome is {self.outcome}")
        if self.cost_pico is not None and self.cost_pico < 0:
            raise InputError(f"{self.arm} on {self.task}: a cost below zero")
        if self.cost_pico == 0 and not self.free:
            raise InputError(f"{self.arm} on {self.task}: a cost of exactly 0 is unknown (none) unless `free` is set")


def known_cost(cost_pico: int | None, *, free: bool = False) -> int | None:
    """A reported cost as this package takes it: exactly 0 from a paid model means that nobody measured it."""
    return None if cost_pico == 0 and not free else cost_pico


class ByTask(msgspec.Struct, frozen=True):
    """An arm's trials summed over the repeats of each task; entry i of every list belongs to `tasks[i]`."""

    tasks: tuple[str, ...]
    trials: tuple[int, ...]
    successes: tuple[int, ...]
    costs: tuple[float, ...]
    """Picodollars. An unknown trial is taken at the mean of the arm's known ones; see `known`."""
    known: int
    """Trials with a known cost."""

    @property
    def n(self) -> int:
        return sum(self.trials)

    @property
    def s(self) -> int:
        return sum(self.successes)

    @property
    def cost(self) -> float:
        return sum(self.costs)

    @property
    def coverage(self) -> float:
        """Share of trials with a known cost."""
        return self.known / self.n if self.n else 0.0

    @property
    def priced(self) -> bool:
        """Enough costs are known for a cost per success."""
        return bool(self.n) and self.coverage >= LEAST_KNOWN


def by_task(trials: Iterable[Trial], only: Iterable[str] | None = None) -> ByTask:
    """Sums one arm's trials per task, tasks in alphabetical order; `only` restricts them."""
    wanted = None if only is None else set(only)
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if wanted is None or trial.task in wanted:
            groups.setdefault(trial.task, []).append(trial)
    costs = [trial.cost_pico for group in groups.values() for trial in group if trial.cost_pico is not None]
    mean = sum(costs) / len(costs) if costs else 0.0
    tasks = tuple(sorted(groups))
    return ByTask(
        tasks,
        tuple(len(groups[task]) for task in tasks),
        tuple(sum(trial.success for trial in groups[task]) for task in tasks),
        tuple(float(sum(mean if t.cost_pico is None else t.cost_pico for t in groups[task])) for task in tasks),
        len(costs),
    )


def by_arm(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials per arm, arms in order of first appearance."""
    arms: dict[str, list[Trial]] = {}
    for trial in trials:
        arms.setdefault(trial.arm, []).append(trial)
    return arms


def common_tasks(arms: Sequence[Iterable[Trial]]) -> list[str]:
    """Tasks that every one of these arms tried, in alphabetical order."""
    sets = [{trial.task for trial in arm} for arm in arms]
    return sorted(set.intersection(*sets)) if sets else []
