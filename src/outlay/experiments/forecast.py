"""Forecasting a run from earlier ones by shrinkage: what is known of its goal, its kind of task, its shape and its
model each pulls the forecast as far as there is evidence. With no history the stated prior is the forecast.

The model is a sum of independent effects, one of everything and one of each label, with prior variances that are
written down here (credibility theory: Buehlmann 1967). With one group and the variances of SUCCESS it is Laplace's rule
of succession. Definitions: docs/guides/forecast.md."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from outlay.economics.intervals import t_quantile

_Floats = NDArray[np.float64]

LABELS = ("type", "goal", "shape", "model")
"""What two runs may have in common, beside being yours."""


class Labels(msgspec.Struct, frozen=True):
    """What a run is known by; a name each. Runs with the same name share that effect."""

    type: str
    goal: str
    shape: str
    model: str


class Prior(msgspec.Struct, frozen=True):
    """What is believed before any run was seen. Costs and times are in natural logarithms."""

    centre: float
    everything: float
    """Variance of how far all of your runs together lie from the centre."""
    effects: tuple[float, float, float, float]
    """Variances of the effects of LABELS, in that order."""
    noise: float
    """Variance between runs that have everything in common."""
    weight: float = math.inf
    """Runs that the scale of these variances is worth; infinite: it is never learnt."""


COST = Prior(math.log(3.4), 1.5**2, (0.64, 0.64, 0.25, 0.25), 0.49, 4.0)
"""In USD. The centre is the geometric mean of the least and the most of seven published runs, $0.75 and $15.43."""
TIME = Prior(math.log(3600.0), 1.5**2, (0.64, 0.64, 0.25, 0.25), 0.49, 4.0)
"""In seconds; such runs took minutes to fifteen hours."""
SUCCESS = Prior(0.5, 0.030, (0.015, 0.020, 1 / 12 - 0.075, 0.010), 1 / 6)
"""Of 0 and 1. The variances add up to those of a rate that may be anything, and of a coin thrown with it."""


class Predicted(msgspec.Struct, frozen=True):
    """What is expected of one run."""

    centre: float
    spread: float
    """Standard error; of a rate without, of a cost or time with the scatter of single runs."""
    df: float
    """Degrees of freedom of Student's t; infinite: normal."""

    def quantile(self, p: float) -> float:
        return self.centre + self.spread * t_quantile(p, min(self.df, 1e6))


def _shared(left: Sequence[Labels], right: Sequence[Labels], prior: Prior) -> _Floats:
    """Prior covariance of the runs' means."""
    found = np.full((len(left), len(right)), prior.everything)
    for name, variance in zip(LABELS, prior.effects, strict=True):
        codes: dict[str, int] = {}
        a = np.array([codes.setdefault(getattr(each, name), len(codes)) for each in left])
        b = np.array([codes.setdefault(getattr(each, name), len(codes)) for each in right])
        if len(a) and len(b):
            found += variance * (a[:, None] == b[None, :])
    return found


def predict(values: Sequence[float], labels: Sequence[Labels], new: Labels, prior: Prior) -> Predicted:
    """The forecast for a run with the labels `new` after runs with `values` and `labels`."""
    n = len(values)
    own = prior.everything + sum(prior.effects)
    scattered = own if math.isinf(prior.weight) else own + prior.noise
    if not n:
        return Predicted(prior.centre, math.sqrt(scattered), prior.weight)
    inverse = np.linalg.inv(_shared(labels, labels, prior) + prior.noise * np.eye(n))
    away = np.asarray(values, dtype=np.float64) - prior.centre
    toward = _shared([new], labels, prior)[0] @ inverse
    scale = _scale(float(away @ inverse @ away), n, prior)
    variance = scattered - float(toward @ _shared(labels, [new], prior)[:, 0])
    return Predicted(prior.centre + float(toward @ away), math.sqrt(max(variance, 1e-12) * scale), prior.weight + n)


def leave_one_out(values: Sequence[float], labels: Sequence[Labels], prior: Prior) -> list[Predicted]:
    """For every run the forecast that all others give, in closed form (Rasmussen and Williams 2006, 5.4.2)."""
    n = len(values)
    inverse = np.linalg.inv(_shared(labels, labels, prior) + prior.noise * np.eye(n))
    away = np.asarray(values, dtype=np.float64) - prior.centre
    pulled, own = inverse @ away, np.diag(inverse)
    whole = float(away @ pulled)
    found = []
    for value, pull, weight in zip(values, pulled, own, strict=True):
        variance = 1 / float(weight)
        if math.isinf(prior.weight):
            variance = max(variance - prior.noise, 1e-12)
        scale = _scale(whole - float(pull) ** 2 / float(weight), n - 1, prior)
        centre = value - float(pull) / float(weight)
        found.append(Predicted(centre, math.sqrt(variance * scale), prior.weight + n - 1))
    return found


def _scale(squares: float, n: int, prior: Prior) -> float:
    """How much wider (or narrower) runs scatter than the prior says."""
    return 1.0 if math.isinf(prior.weight) else (prior.weight + squares) / (prior.weight + n)


class Range(msgspec.Struct, frozen=True):
    """A forecast of one figure, in its own unit."""

    expected: float
    """Mean; of a cost or time with what lies above `highest` counted as `highest`."""
    middle: float
    """As likely more as less."""
    low: float
    high: float
    """80 % lie between `low` and `high`."""
    lowest: float
    highest: float
    """95 % lie between `lowest` and `highest`."""


_GRID = 999


def amount(found: Predicted, limit: float | None) -> Range:
    """A cost or a time from its logarithm. Nothing costs more than its limit: what lies above counts as the limit."""

    def at(p: float) -> float:
        value = math.exp(min(found.quantile(p), 700.0))
        return value if limit is None else min(value, limit)

    highest = at(0.975)  # the mean of so wide a distribution would be made of its last thousandth
    mean = math.fsum(min(at((i + 0.5) / _GRID), highest) for i in range(_GRID)) / _GRID
    return Range(mean, at(0.5), at(0.1), at(0.9), at(0.025), highest)


def rate(found: Predicted) -> Range:
    """A chance: the beta distribution with that mean and spread."""
    from scipy.special import betaincinv

    mean = min(max(found.centre, 0.005), 0.995)
    size = max(mean * (1 - mean) / found.spread**2 - 1, 0.5)
    a, b = mean * size, (1 - mean) * size
    at = [float(betaincinv(a, b, p)) for p in (0.5, 0.1, 0.9, 0.025, 0.975)]
    return Range(mean, *at)
