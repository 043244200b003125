"""Teams simulated step by step: every figure that goes in is an assumption with a name, a value and a source.

A step is a model call with its tools. Each brings a mistake with some chance; whoever made it, a reviewer, others of
the team and at last the checks each notice mistakes with a chance of their own, and what is noticed is mended, which
takes steps and may bring mistakes again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from outlay.errors import InputError
from outlay.experiments.forecast_history import Past
from outlay.runs.goal_types import Goal

RUNS = 20_000
_Counts = NDArray[np.int64]
_KIM = "Kim 2025"
"""Table 5 of arXiv 2512.08296: turns beyond those of one agent, of centralised and of decentralised teams."""


class Assumption(msgspec.Struct, frozen=True):
    """One figure, and where it comes from."""

    name: str
    value: float
    unit: str
    says: str
    source: str = "assumed"


DEFAULTS = (
    Assumption("steps", 20, "steps", "of one agent alone until it thinks that it is done"),
    Assumption("scatter", 0.5, "ln", "standard deviation of the logarithm of the steps"),
    Assumption("step_usd", 0.05, "USD", "cost of a step"),
    Assumption("step_s", 15, "s", "time of a step"),
    Assumption("mistake", 0.05, "per step", "chance that a step brings a mistake"),
    Assumption("own_eye", 0.5, "share", "of its mistakes that an agent notices itself before it is done"),
    Assumption("mend", 3, "steps", "to mend one mistake"),
    Assumption("checks_see", 0.9, "share", "of the mistakes left that make the checks fail"),
    Assumption("check_rounds", 3, "rounds", "of failed checks that a team is told of"),
    Assumption("members", 3, "agents", "at work at the same time: subagents, personas"),
    Assumption("lead_overhead", 2.85, "of steps", "extra steps of a main agent with subagents", _KIM),
    Assumption("council_overhead", 2.63, "of steps", "extra steps of a council", _KIM),
    Assumption("pipeline_overhead", 0.3, "of steps", "extra steps of the architect and of handing on"),
    Assumption("others_eye", 0.3, "share", "of mistakes that others of the team notice (lead, council)"),
    Assumption("review_sees", 0.6, "share", "of mistakes that a reviewer notices in a round"),
    Assumption("review_steps", 5, "steps", "of a review"),
    Assumption("false_alarm", 0.1, "share", "of good work that a reviewer sends back"),
    Assumption("cheap_price", 0.1, "of a step", "cost of a step of a relay's first tier"),
    Assumption("cheap_mistake", 2, "times", "as many mistakes in it"),
)
_SHARES = frozenset({"mistake", "own_eye", "checks_see", "others_eye", "review_sees", "false_alarm"})


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """One arm, simulated."""

    arm: str
    shape: str
    success: float
    steps: float
    usd: tuple[float, float, float]
    """Mean, 10 % and 90 % point."""
    time_s: tuple[float, float, float]
    wrong: float
    """Share of runs whose checks pass with a mistake left in the work."""
    overhead: float
    """Steps more than one agent alone, as a share of its."""
    efficiency: float
    """Success over (steps / steps of one agent alone)."""
    limited: float
    """Share of runs that a limit stops."""

    @property
    def usd_per_success(self) -> float:
        return self.usd[0] / self.success if self.success else float("inf")


def overhead(steps: float, alone: float) -> float:
    """Kim et al. 2025, Table 5: O = (T - T_alone) / T_alone, in turns."""
    return (steps - alone) / alone


def efficiency(success: float, steps: float, alone: float) -> float:
    """Kim et al. 2025, Table 5: E = S / (T / T_alone)."""
    return success / (steps / alone)


def assumptions(past: Sequence[Past], given: Mapping[str, float]) -> tuple[Assumption, ...]:
    """The figures: measured in your solo runs where there are some, else assumed; `given` ones count before all.

    Raises InputError for a name that there is none of, or a value that cannot be.
    """
    known = {one.name for one in DEFAULTS}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"--assume {name}: there are {', '.join(sorted(known))}")
        if value < 0 or not np.isfinite(value) or (name in _SHARES and value > 1):
            raise InputError(f"--assume {name}={value:g}: a share lies between 0 and 1, and nothing below 0")
        if name in ("steps", "members") and value < 1:
            raise InputError(f"--assume {name}={value:g}: at least 1")
    measured = _measured(past)
    return tuple(
        msgspec.structs.replace(one, value=given[one.name], source="--assume")
        if one.name in given
        else msgspec.structs.replace(one, value=measured[one.name][0], source=measured[one.name][1])
        if one.name in measured
        else one
        for one in DEFAULTS
    )


def _measured(past: Sequence[Past]) -> dict[str, tuple[float, str]]:
    """What past runs of one agent alone say of a step; in those with checks that failed mending is in it."""
    alone = [each for each in past if each.labels.shape == "solo" and each.turns]
    if not alone:
        return {}
    source = f"{len(alone)} of your runs" if len(alone) > 1 else "one of your runs"
    turns = sum(each.turns for each in alone)
    found = {
        "steps": (turns / len(alone), source),
        "step_s": (sum(each.wall_s for each in alone) / turns, source),
    }
    priced = [each for each in alone if each.cost_pico]
    if priced:
        cost = sum(each.cost_pico or 0 for each in priced) / 1e12
        found["step_usd"] = (cost / sum(each.turns for each in priced), source)
    return found


def simulate(arms: Mapping[str, Goal], figures: Sequence[Assumption], seed: int = 1) -> list[Simulated]:
    """Each arm in RUNS simulated runs."""
    at = {one.name: one.value for one in figures}
    alone = float(np.mean(_play("solo", at, np.random.default_rng(seed), 2, 2).steps))
    found = []
    for name, goal in arms.items():
        dice = np.random.default_rng(seed)
        played = _play(goal.team.shape, at, dice, goal.team.reviews, goal.team.rounds)
        usd, time = played.paid * at["step_usd"], played.spans * at["step_s"]
        most = np.inf if goal.limits.usd_pico is None else goal.limits.usd_pico / 1e12
        longest = np.inf if goal.limits.wall_s is None else goal.limits.wall_s
        turns = np.inf if goal.limits.turns is None else goal.limits.turns
        limited = (usd > most) | (time > longest) | (played.steps > turns)
        success = float(np.mean(played.good & ~limited))
        steps = float(np.mean(played.steps))
        found.append(
            Simulated(
                arm=name, shape=goal.team.shape, success=success, steps=steps,
                usd=_points(np.minimum(usd, most)), time_s=_points(np.minimum(time, longest)),
                wrong=float(np.mean(played.passed & ~played.good & ~limited)),
                overhead=overhead(steps, alone), efficiency=efficiency(success, steps, alone),
                limited=float(np.mean(limited)),
            )
        )  # fmt: skip
    return found


def _points(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, high = np.quantile(values, (0.1, 0.9))
    return float(np.mean(values)), float(low), float(high)


class _Played(msgspec.Struct):
    """RUNS runs side by side."""

    steps: NDArray[np.float64]
    paid: NDArray[np.float64]
    """Steps, at the price of an ordinary one."""
    spans: NDArray[np.float64]
    """Steps one after the other."""
    left: _Counts
    """Mistakes in the work."""
    passed: NDArray[np.bool_]

    @property
    def good(self) -> NDArray[np.bool_]:
        """The checks pass and nothing is wrong."""
        whole: NDArray[np.bool_] = self.passed & (self.left == 0)
        return whole


def _play(shape: str, at: Mapping[str, float], dice: np.random.Generator, reviews: int, rounds: int) -> _Played:
    work = at["steps"] * np.exp(dice.normal(0.0, at["scatter"], RUNS) - at["scatter"] ** 2 / 2)
    nothing = np.zeros(RUNS)
    played = _Played(nothing.copy(), nothing.copy(), nothing.copy(), np.zeros(RUNS, np.int64), np.zeros(RUNS, bool))
    everyone = np.ones(RUNS, bool)
    match shape:
        case "relay":
            cheap = dict(at) | {"mistake": min(1.0, at["mistake"] * at["cheap_mistake"])}
            _agent(played, work, cheap, dice, everyone, price=at["cheap_price"])
            _checks(played, cheap, dice, price=at["cheap_price"])
            _checks(played, at, dice)  # the next tier goes on with what the checks refused
            return played
        case "lead":
            whole = work * (1 + at["lead_overhead"])
            _agent(played, whole, at, dice, everyone, mistakes=work, span=1 / at["members"])
            _mend(played, dice.binomial(played.left, at["others_eye"]), at, dice, everyone)
        case "council":
            whole = work * (1 + at["council_overhead"])
            _agent(played, whole, at, dice, everyone, mistakes=work, span=1 / at["members"])
            for _ in range(rounds):
                _mend(played, dice.binomial(played.left, at["others_eye"]), at, dice, everyone)
        case "pipeline":
            _agent(played, work * (1 + at["pipeline_overhead"]), at, dice, everyone, mistakes=work)
            open_ = everyone.copy()
            for _ in range(reviews):
                _spend(played, np.where(open_, at["review_steps"], 0.0))
                seen = np.where(open_, dice.binomial(played.left, at["review_sees"]), 0)
                alarm = open_ & (seen == 0) & (dice.random(RUNS) < at["false_alarm"])
                _spend(played, np.where(alarm, at["mend"], 0.0))
                _mend(played, seen, at, dice, open_)
                open_ &= (seen > 0) | alarm
        case _:
            _agent(played, work, at, dice, everyone)
    _checks(played, at, dice)
    return played


def _spend(played: _Played, steps: NDArray[np.float64], *, price: float = 1.0, span: float = 1.0) -> None:
    played.steps += steps
    played.paid += steps * price
    played.spans += steps * span


def _agent(
    played: _Played, steps: NDArray[np.float64], at: Mapping[str, float], dice: np.random.Generator,
    who: NDArray[np.bool_], *, mistakes: NDArray[np.float64] | None = None, price: float = 1.0, span: float = 1.0,
) -> None:  # fmt: skip
    """Work, and mending of what is noticed by whoever did it. `mistakes`: the steps in which they are made, where the
    others are talk; `span`: time that the steps take, as a share of one after the other."""
    taken = np.where(who, steps, 0.0)
    alone = taken if mistakes is None else np.where(who, mistakes, 0.0)
    _spend(played, taken, price=price, span=span)
    played.left += dice.poisson(alone * at["mistake"])
    _mend(played, dice.binomial(played.left, at["own_eye"]), at, dice, who, price=price)


def _mend(
    played: _Played, seen: _Counts, at: Mapping[str, float], dice: np.random.Generator, who: NDArray[np.bool_],
    *, price: float = 1.0,
) -> None:  # fmt: skip
    seen = np.where(who, seen, 0)
    steps = seen * at["mend"]
    _spend(played, steps.astype(float), price=price)
    played.left += dice.poisson(steps * at["mistake"] * (1 - at["own_eye"])) - seen


def _checks(played: _Played, at: Mapping[str, float], dice: np.random.Generator, *, price: float = 1.0) -> None:
    """The checks, and as many rounds of mending as a team is given."""
    for again in range(int(at["check_rounds"]) + 1):
        seen = dice.binomial(played.left, at["checks_see"])
        played.passed |= seen == 0
        if again < int(at["check_rounds"]):
            _mend(played, seen, at, dice, ~played.passed, price=price)
