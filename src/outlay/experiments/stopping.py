"""Whether an experiment may end early: O'Brien-Fleming boundaries on the paired cost per success of its arms."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from outlay.economics.intervals import normal_quantile
from outlay.economics.paired import compare
from outlay.economics.sequential import boundaries
from outlay.economics.trials import Trial
from outlay.experiments.experiment import Experiment, Key

LOOKS = 5
"""How often it is looked: after each fifth of the trials."""
FEWEST_TASKS = 10
"""Below so many common tasks nothing is clear: the comparison's normal score is too rough."""


def clear(experiment: Experiment, done: Mapping[Key, Trial]) -> str:
    """Why no more trials are needed; empty while they are.

    A pair of arms is decided when its score is beyond the boundary of a look that has been reached; the chance of an
    error of all looks and all pairs together is 5 % (Lan and DeMets; Bonferroni over pairs).
    """
    arms = list(experiment.arms)
    whole = [cell for cell in _cells(experiment) if all(Key(*cell, arm) in done for arm in arms)]
    planned = experiment.repeats * len(experiment.tasks)
    look = LOOKS * len(whole) // planned
    if len(arms) < 2 or not look or len(whole) == planned:
        return ""
    used = whole[: -(-look * planned // LOOKS)]
    if len({task for _, task in used}) < FEWEST_TASKS:
        return ""
    pairs = list(combinations(arms, 2))
    bound = boundaries(LOOKS, 0.05 / len(pairs))[look - 1]
    for a, b in pairs:
        found = compare([done[Key(*cell, a)] for cell in used], [done[Key(*cell, b)] for cell in used])
        if found.p_cost is None or normal_quantile(1 - found.p_cost / 2) < bound:
            return ""
    return f"after {len(used)} of {planned} tries of each arm it is clear which costs less per success"


def _cells(experiment: Experiment) -> list[tuple[int, str]]:
    """Repeat and task, in the order in which they are tried."""
    return list(dict.fromkeys((key.repeat, key.task) for key in experiment.order()))
