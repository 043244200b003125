"""How good forecasts would have been: every past run forecast from all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from outlay.economics.intervals import Interval, wilson
from outlay.errors import InputError
from outlay.experiments.forecast import COST, SUCCESS, TIME, Labels, Predicted, Prior, leave_one_out, rate
from outlay.experiments.forecast_history import Past

LEAST = 10
"""Runs below which nothing can be said about calibration."""
_POINTS = (0.1, 0.5, 0.9)


class Coverage(msgspec.Struct, frozen=True):
    """How often a range that should hold so many runs held them."""

    wanted: float
    held: int
    of: int
    interval: Interval
    """95 %, Wilson."""

    @property
    def share(self) -> float:
        return self.held / self.of


class Amounts(msgspec.Struct, frozen=True):
    """Calibration of costs or of times."""

    coverage: tuple[Coverage, ...]
    pinball: float
    """Mean pinball loss of the points 10, 50 and 90 % of the logarithm; less is better."""
    plain: float
    """The same of forecasts that know all other runs but none of their labels."""


class Chances(msgspec.Struct, frozen=True):
    """Calibration of success."""

    brier: float
    """Mean squared error; less is better, 0.25 is a coin."""
    plain: float
    """Of the rate of all other runs."""
    groups: tuple[tuple[float, float, int, int], ...]
    """(lowest and highest forecast, successes, runs), by size of the forecast."""


class Calibration(msgspec.Struct, frozen=True):
    """All of it. `cost` is None when too few runs have a known cost."""

    runs: int
    priced: int
    cost: Amounts | None
    time: Amounts
    success: Chances


def calibrate(past: Sequence[Past]) -> Calibration:
    """Leave each run out and forecast it. Raises InputError below LEAST runs.

    Runs of the future say nothing about those of the past; here they do, so drift of models and goals is not seen.
    """
    if len(past) < LEAST:
        raise InputError(f"calibration needs at least {LEAST} runs that ended; the ledger has {len(past)}")
    priced = [each for each in past if each.cost_pico]
    every = [each.labels for each in past]
    return Calibration(
        runs=len(past),
        priced=len(priced),
        cost=None
        if len(priced) < LEAST
        else _amounts([math.log((e.cost_pico or 1) / 1e12) for e in priced], [e.labels for e in priced], COST),
        time=_amounts([math.log(each.wall_s) for each in past], every, TIME),
        success=_chances([each.success for each in past], every),
    )


def _amounts(values: Sequence[float], labels: Sequence[Labels], prior: Prior) -> Amounts:
    found = leave_one_out(values, labels, prior)
    plain = leave_one_out(values, [_NOBODY] * len(labels), prior)
    covered = []
    for wanted in (0.5, 0.8, 0.95):
        ends = [(one.quantile((1 - wanted) / 2), one.quantile((1 + wanted) / 2)) for one in found]
        held = sum(low <= value <= high for value, (low, high) in zip(values, ends, strict=True))
        covered.append(Coverage(wanted, held, len(values), wilson(held, len(values))))
    return Amounts(tuple(covered), _pinball(values, found), _pinball(values, plain))


_NOBODY = Labels("", "", "", "")


def _pinball(values: Sequence[float], found: Sequence[Predicted]) -> float:
    losses = [
        max(p * (value - one.quantile(p)), (p - 1) * (value - one.quantile(p)))
        for value, one in zip(values, found, strict=True)
        for p in _POINTS
    ]
    return math.fsum(losses) / len(losses)


def _chances(successes: Sequence[bool], labels: Sequence[Labels]) -> Chances:
    values = [float(each) for each in successes]
    found = [rate(one).expected for one in leave_one_out(values, labels, SUCCESS)]
    total, n = sum(values), len(values)
    plain = [(total - value + 1) / (n - 1 + 2) for value in values]
    ordered = sorted(zip(found, successes, strict=True))
    cuts = [round(i * n / 4) for i in range(5)]
    groups = tuple(
        (part[0][0], part[-1][0], sum(success for _, success in part), len(part))
        for start, end in pairwise(cuts)
        if (part := ordered[start:end])
    )
    return Chances(_squares(values, found), _squares(values, plain), groups)


def _squares(values: Sequence[float], found: Sequence[float]) -> float:
    return math.fsum((value - guess) ** 2 for value, guess in zip(values, found, strict=True)) / len(values)
