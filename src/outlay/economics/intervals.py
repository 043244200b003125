"""Confidence intervals: Wilson's for a rate, the task-clustered log-delta for a ratio of sums."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from outlay.errors import InputError

LEVEL = 0.95
"""Share of such intervals that hold the truth, by design."""


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`; `high` is infinite when the data set no upper bound."""

    low: float
    high: float

    @property
    def spread(self) -> float:
        """`high / low`."""
        return self.high / self.low if self.low > 0 else math.inf

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def normal_quantile(p: float) -> float:
    """The value below which a standard normal variable lies with probability `p`."""
    from scipy.special import ndtri

    return float(ndtri(p))


def t_quantile(p: float, df: float) -> float:
    """The value below which Student's t with `df` degrees of freedom lies with probability `p`."""
    from scipy.special import stdtrit

    return float(stdtrit(df, p))


def t_two_sided(t: float, df: float) -> float:
    """Probability that Student's t is at least as far from 0 as `t`."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def wilson(successes: float, trials: float, level: float = LEVEL) -> Interval:
    """Wilson's score interval for a success rate (Wilson 1927, JASA 22). Both ends lie within 0 and 1.

    The counts may be fractional: an effective number of independent trials.
    """
    if not 0 <= successes <= trials or trials <= 0:
        raise InputError(f"{successes} successes of {trials} trials is no rate")
    z = normal_quantile((1 + level) / 2)
    p, n = successes / trials, trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half)


def ratio_error(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """Standard error of sum(numerators) / sum(denominators) over tasks drawn at random; None from fewer than two.

    Entry i of both is the sum over the repeats of task i: repeats of one task are no independent evidence.
    """
    tasks, below = len(numerators), sum(denominators)
    if tasks < 2 or below == 0:
        return None
    ratio = sum(numerators) / below
    squares = math.fsum((c - ratio * s) ** 2 for c, s in zip(numerators, denominators, strict=True))
    return math.sqrt(tasks / (tasks - 1) * squares) / below


def log_delta(numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Interval for sum(numerators) / sum(denominators), clustered by task: ratio * exp(+- t * se / ratio).

    None where there is none: fewer than two tasks, a denominator or a numerator of zero.
    """
    error = ratio_error(numerators, denominators)
    above = sum(numerators)
    if error is None or above <= 0:
        return None
    ratio = above / sum(denominators)
    reach = t_quantile((1 + level) / 2, len(numerators) - 1) * error / ratio
    if reach > 700:  # beyond what a float can hold: the data say nothing
        return Interval(0.0, math.inf)
    return Interval(ratio * math.exp(-reach), ratio * math.exp(reach))
