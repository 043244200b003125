"""What each arm of a goal is expected to cost, take and achieve, and what part of the history says so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from outlay.errors import InputError
from outlay.experiments.forecast import COST, SUCCESS, TIME, Labels, Range, amount, predict, rate
from outlay.experiments.forecast_history import Past, Repricing, counts, labels_of, repricing
from outlay.runs.goal_types import Goal

ENOUGH = 5
"""Runs of a goal or kind of task below which a forecast is called thin."""


class RoleShare(msgspec.Struct, frozen=True):
    """What a role used in past runs."""

    role: str
    runs: int
    sessions: float
    """Per run that had any."""
    net_tokens: float
    usd: float | None
    """Per run that had any, at the price of the goal's model for that role; None without one."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's forecast."""

    arm: str
    labels: Labels
    cost: Range | None
    """USD; None when a model has no price."""
    why_no_cost: str = ""
    time: Range
    """Seconds of work, pauses left out."""
    success: Range
    known: dict[str, int]
    """Label -> past runs that share it."""
    runs: int
    """Past runs in all."""
    priced: int
    """Those of them whose tokens could be priced anew."""
    roles: tuple[RoleShare, ...]
    limit_usd: float | None
    limit_s: float | None

    @property
    def per_success(self) -> float | None:
        """Expected cost over expected success, USD."""
        return None if self.cost is None else self.cost.expected / self.success.expected

    @property
    def basis(self) -> str:
        """How much stands behind it, in words."""
        if not self.runs:
            return "no history: a guess from published runs"
        goal, kind = self.known["goal"], self.known["type"]
        if goal >= ENOUGH:
            return f"{goal} runs of this goal"
        if kind >= ENOUGH:
            return f"{kind} runs of its kind, {goal} of this goal"
        return f"thin: {goal} of this goal, {kind} of its kind, {self.runs} in all"


def forecast(arm: str, goal: Goal, past: Sequence[Past], now_ms: int) -> Forecast:
    """The forecast of a run of `goal` after `past`."""
    labels = labels_of(goal)
    prices: Repricing | None = None
    why, cost, priced = "", None, [(0.0, labels)][:0]
    limit = None if goal.limits.usd_pico is None else goal.limits.usd_pico / 1e12
    try:
        prices = repricing(goal, now_ms)
        priced = [(math.log(usd), each.labels) for each in past if (usd := prices.usd(each)) is not None]
        found = predict([value for value, _ in priced], [own for _, own in priced], labels, COST)
        cost = amount(found, limit)
    except InputError as error:
        why = str(error)
    every = [each.labels for each in past]
    time = predict([math.log(each.wall_s) for each in past], every, labels, TIME)
    success = predict([float(each.success) for each in past], every, labels, SUCCESS)
    return Forecast(
        arm=arm,
        labels=labels,
        cost=cost,
        why_no_cost=why,
        time=amount(time, goal.limits.wall_s),
        success=rate(success),
        known=counts(labels, past),
        runs=len(past),
        priced=len(priced),
        roles=_roles(goal, past, prices),
        limit_usd=limit,
        limit_s=goal.limits.wall_s,
    )


def _roles(goal: Goal, past: Sequence[Past], prices: Repricing | None) -> tuple[RoleShare, ...]:
    """Of each role of the goal, from runs of its kind of task where there are enough, else from all."""
    from outlay.prices.rates import cost

    kind = labels_of(goal).type
    near = [each for each in past if each.labels.type == kind]
    found = []
    for role in goal.team.in_play:
        having = [each for each in near if role.name in each.used]
        if len(having) < ENOUGH:
            having = [each for each in past if role.name in each.used]
        if not having:
            found.append(RoleShare(role.name, 0, 0.0, 0.0, None))
            continue
        spent = [cost(prices.roles[role.name], each.used[role.name])[0] for each in having] if prices else [None]
        known = [one for one in spent if one is not None]
        found.append(
            RoleShare(
                role.name,
                len(having),
                sum(each.sessions.get(role.name, 0) for each in having) / len(having),
                sum(each.used[role.name].net for each in having) / len(having),
                sum(known) / len(known) / 1e12 if len(known) == len(having) else None,
            )
        )
    return tuple(found)
