"""Repeats of a task: pass@k, pass^k, how much its outcomes agree, and what further tries would bring."""

from __future__ import annotations

import math
from collections.abc import Sequence

from outlay.errors import InputError

PUBLISHED_ICC = (0.49, 0.86)
"""Least and greatest outcome correlation within a task measured on 13 arms (docs/reference/statistics.md)."""


def pass_at(k: int, successes: Sequence[int], trials: Sequence[int]) -> float:
    """Mean over tasks of 1 - C(n - c, k) / C(n, k): the chance that one of k tries succeeds (Chen 2021, 2107.03374).

    Raises InputError when a task has fewer than k trials: an unbiased estimate needs them.
    """
    _enough(k, trials)
    return math.fsum(1 - math.comb(n - c, k) / math.comb(n, k) for c, n in _pairs(successes, trials)) / len(trials)


def pass_hat(k: int, successes: Sequence[int], trials: Sequence[int]) -> float:
    """Mean over tasks of C(c, k) / C(n, k): the chance that all of k tries succeed (Yao 2024, 2406.12045)."""
    _enough(k, trials)
    return math.fsum(math.comb(c, k) / math.comb(n, k) for c, n in _pairs(successes, trials)) / len(trials)


def _pairs(successes: Sequence[int], trials: Sequence[int]) -> zip[tuple[int, int]]:
    return zip(successes, trials, strict=True)


def _enough(k: int, trials: Sequence[int]) -> None:
    if k < 1 or not trials or min(trials) < k:
        least = min(trials, default=0)
        raise InputError(f"k = {k} tries cannot be judged from {least} repeats of a task")


def icc(successes: Sequence[int], trials: Sequence[int]) -> float | None:
    """Correlation of two trials of one task: one-way analysis of variance, tasks as groups (Donner 1986).

    1 when a task always ends the same way, 0 when its trials are coin throws of one coin for all tasks; may come
    out slightly negative. None without repeats, with one task, or when all trials of all tasks end alike.
    """
    groups, total = len(trials), sum(trials)
    if groups < 2 or total == groups:
        return None
    mean = sum(successes) / total
    between = math.fsum(n * (c / n - mean) ** 2 for c, n in _pairs(successes, trials)) / (groups - 1)
    within = math.fsum(c * (n - c) / n for c, n in _pairs(successes, trials)) / (total - groups)
    size = (total - sum(n * n for n in trials) / total) / (groups - 1)
    below = between + (size - 1) * within
    return (between - within) / below if below else None


def beta_of(rate: float, correlation: float) -> tuple[float, float]:
    """The beta distribution of tasks' success rates with that mean and that correlation (both inside 0 and 1)."""
    if not 0 < rate < 1 or not 0 < correlation < 1:
        raise InputError(f"no beta distribution has mean {rate} and correlation {correlation}")
    size = (1 - correlation) / correlation
    return rate * size, (1 - rate) * size


def pass_at_beta(k: int, rate: float, correlation: float) -> float:
    """The chance that one of k tries succeeds when tasks' rates follow `beta_of(rate, correlation)`.

    At correlation 0 tries are independent, at 1 more tries bring nothing.
    """
    if rate in (0.0, 1.0) or correlation >= 1:
        return rate
    if correlation <= 0:
        return 1 - (1 - rate) ** k
    from scipy.special import betaln

    a, b = beta_of(rate, correlation)
    return float(-math.expm1(betaln(a, b + k) - betaln(a, b)))


def variance_factor(repeats: int, correlation: float) -> float:
    """Variance of a rate with k repeats of each task, as a share of that with one: icc + (1 - icc) / k."""
    return correlation + (1 - correlation) / repeats
