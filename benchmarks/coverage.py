"""How often the intervals of docs/reference/statistics.md hold the truth, by resampling real results of 500 tasks.

python benchmarks/coverage.py leaderboards.json            (SWE-bench bash-only board; about 2 s)
python benchmarks/coverage.py leaderboards.json --draws 10000

An arm's 500 tasks stand for the world: its cost per success on them is the truth. Experiments of G tasks are drawn
from them with replacement, and each gives an interval with the package's own functions' formulas (checked against
them on every run). Arms whose published figures contradict each other are left out.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from outlay.economics.intervals import log_delta, wilson
from outlay.economics.paired import compare
from outlay.economics.sequential import boundaries
from outlay.economics.trials import Trial, by_arm, by_task
from outlay.experiments.published import read_files

TASKS = (20, 30, 50, 100, 200)
LOOKS = 7
PER_LOOK = 50


def columns(trials: dict[str, list[Trial]]) -> tuple[np.ndarray, np.ndarray]:
    """Costs in USD and successes, arms x tasks."""
    data = [by_task(group) for group in trials.values()]
    return np.array([d.costs for d in data]) / 1e12, np.array([d.successes for d in data], float)


def delta(cost: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log ratio and its clustered error for rows of experiments; NaN where nothing succeeded."""
    tasks = cost.shape[1]
    wins = np.where(good.sum(1) == 0, np.nan, good.sum(1))
    ratio = cost.sum(1) / wins
    squares = ((cost - ratio[:, None] * good) ** 2).sum(1)
    return np.log(ratio), np.sqrt(tasks / (tasks - 1) * squares) / wins / ratio


def paired_delta(cost: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log ratio of two arms and its error; arrays are 2 x experiments x tasks."""
    tasks = cost.shape[2]
    wins = np.where(good.sum(2) == 0, np.nan, good.sum(2))
    parts = cost / cost.sum(2, keepdims=True) - good / wins[:, :, None]
    error = np.sqrt(tasks / (tasks - 1) * ((parts[0] - parts[1]) ** 2).sum(1))
    ratio = np.log(cost.sum(2) / wins)
    return ratio[0] - ratio[1], error


def one_arm(names: list[str], cost: np.ndarray, good: np.ndarray, draws: int, rng: np.random.Generator) -> None:
    print("\nOne arm: share of 95 % intervals that hold the true cost per success (reference: 95.0)")
    print(f"{'tasks':>6} {'mean':>6} {'worst arm':>10} {'no success':>11} {'within 2 points':>16}")
    truth = np.log(cost.sum(1) / good.sum(1))
    for tasks in TASKS:
        held, none = [], 0
        for arm in range(len(cost)):
            pick = rng.integers(0, cost.shape[1], (draws, tasks))
            value, error = delta(cost[arm][pick], good[arm][pick])
            known = ~np.isnan(value)
            none += int((~known).sum())
            reach = stdtrit(tasks - 1, 0.975) * error[known]
            held.append(100 * np.mean(np.abs(value[known] - truth[arm]) <= reach))
        mean = float(np.mean(held))
        share = 100 * none / draws / len(cost)
        print(
            f"{tasks:>6} {mean:>6.1f} {min(held):>10.1f} {share:>10.1f}% {'yes' if abs(mean - 95) <= 2 else 'NO':>16}"
            f"   worst: {names[int(np.argmin(held))]}"
        )


def rates(good: np.ndarray, draws: int, rng: np.random.Generator) -> None:
    print("\nSuccess rate: share of Wilson's 95 % intervals that hold the truth (reference: 95.0)")
    for tasks in TASKS:
        table = [wilson(s, tasks) for s in range(tasks + 1)]
        low, high = np.array([i.low for i in table]), np.array([i.high for i in table])
        held = []
        for row in good:
            wins = rng.binomial(tasks, row.mean(), draws)
            held.append(100 * np.mean((low[wins] <= row.mean()) & (row.mean() <= high[wins])))
        mean = float(np.mean(held))
        print(f"{tasks:>6} {mean:>6.1f} {min(held):>10.1f} {'':>11} {'yes' if abs(mean - 95) <= 2 else 'NO':>16}")


def two_arms(cost: np.ndarray, good: np.ndarray, draws: int, rng: np.random.Generator) -> None:
    print("\nTwo arms on the same tasks: share of 95 % intervals that hold the true ratio (reference: 95.0)")
    print(f"{'tasks':>6} {'mean':>6} {'worst pair':>10} {'':>11} {'within 2 points':>16}")
    order = np.argsort(cost.sum(1) / good.sum(1))
    pairs = list(itertools.pairwise(order))
    truth = np.log(cost.sum(1) / good.sum(1))
    for tasks in TASKS:
        held = []
        for a, b in pairs:
            pick = rng.integers(0, cost.shape[1], (draws, tasks))
            both = np.stack([cost[a][pick], cost[b][pick]]), np.stack([good[a][pick], good[b][pick]])
            value, error = paired_delta(*both)
            known = np.isfinite(value) & np.isfinite(error)
            reach = stdtrit(tasks - 1, 0.975) * error[known]
            held.append(100 * np.mean(np.abs(value[known] - (truth[a] - truth[b])) <= reach))
        mean = float(np.mean(held))
        print(f"{tasks:>6} {mean:>6.1f} {min(held):>10.1f} {'':>11} {'yes' if abs(mean - 95) <= 2 else 'NO':>16}")


def pairing(cost: np.ndarray, good: np.ndarray) -> None:
    print("\nWhat pairing saves, over all pairs of arms, by the lesser success rate of the two")
    print("(reference: an unpaired comparison needs 2 to 5 times the tasks; sd per task 0.6 to 1.2)")
    print(f"{'succeed':>10} {'pairs':>6} {'times the tasks':>24} {'sd of log ratio per task':>28}")
    rate, alone = good.mean(1), delta(cost, good)[1]
    rows = []
    for a, b in itertools.combinations(range(len(cost)), 2):
        error = paired_delta(cost[[a, b], None], good[[a, b], None])[1][0]
        saved = (alone[a] ** 2 + alone[b] ** 2) / error**2
        rows.append((min(rate[a], rate[b]), saved, error * np.sqrt(cost.shape[1])))
    table = np.array(rows)
    for low, high in ((0.0, 0.3), (0.3, 0.5), (0.5, 0.6), (0.6, 1.0)):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(part):
            ends = [f"{part[:, i].min():.1f} to {part[:, i].max():.1f} ({np.median(part[:, i]):.1f})" for i in (1, 2)]
            print(f"{100 * low:>4.0f}-{100 * high:<3.0f} % {len(part):>6} {ends[0]:>24} {ends[1]:>28}")


def peeking(cost: np.ndarray, good: np.ndarray, draws: int, rng: np.random.Generator) -> None:
    print(f"\nTwo arms made equal by swapping them at random task by task, seen {LOOKS} times, every {PER_LOOK} tasks:")
    print("share of experiments that find a difference")
    bounds = np.array(boundaries(LOOKS))
    order = np.argsort(cost.sum(1) / good.sum(1))
    stopped, naive = [], []
    for a, b in itertools.pairwise(order):
        pick = rng.integers(0, cost.shape[1], (draws, LOOKS * PER_LOOK))
        swap = rng.random(pick.shape) < 0.5
        costs = np.stack([np.where(swap, cost[b][pick], cost[a][pick]), np.where(swap, cost[a][pick], cost[b][pick])])
        goods = np.stack([np.where(swap, good[b][pick], good[a][pick]), np.where(swap, good[a][pick], good[b][pick])])
        z = []
        for look in range(1, LOOKS + 1):
            value, error = paired_delta(costs[:, :, : look * PER_LOOK], goods[:, :, : look * PER_LOOK])
            z.append(np.abs(value / error))
        seen = np.nan_to_num(np.array(z))
        stopped.append(100 * np.mean((seen >= bounds[:, None]).any(0)))
        naive.append(100 * np.mean((seen >= 1.96).any(0)))
    for name, found, said in (("O'Brien-Fleming", stopped, (5, 7)), ("|z| > 1.96 at every look", naive, (17, 25))):
        mean = float(np.mean(found))
        fits = said[0] - 2 <= mean <= said[1] + 2
        print(f"  {name:<26} {mean:5.1f} % (reference: {said[0]} to {said[1]})  {'yes' if fits else 'NO'}")


def check_formulas(trials: dict[str, list[Trial]], cost: np.ndarray, good: np.ndarray) -> None:
    """The vectors here and the package's functions give the same interval."""
    names = list(trials)
    for arm in range(len(names)):
        interval = log_delta(cost[arm], good[arm])
        value, error = delta(cost[arm][None], good[arm][None])
        reach = stdtrit(cost.shape[1] - 1, 0.975) * error[0]
        assert interval is not None and np.isclose(np.log(interval.high), value[0] + reach)
    found = compare(trials[names[0]], trials[names[1]])
    value, error = paired_delta(cost[:2, None], good[:2, None])
    assert found.ratio is not None and np.isclose(np.log(found.ratio), value[0])
    assert found.sd is not None and np.isclose(found.sd, error[0] * np.sqrt(cost.shape[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("board", type=Path, help="SWE-bench leaderboards.json")
    parser.add_argument("--draws", type=int, default=2000, help="experiments per arm and size")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    results = read_files([given.board])
    left_out = results.contradicted()
    trials = {arm: group for arm, group in by_arm(results.trials).items() if arm not in left_out}
    if not trials:
        sys.exit("no arm with single tasks in this file")
    cost, good = columns(trials)
    check_formulas(trials, cost, good)
    rng, start = np.random.default_rng(given.seed), time.process_time()
    print(f"{len(trials)} arms of {cost.shape[1]} tasks, {given.draws:,} draws each; left out: {', '.join(left_out)}")
    one_arm(list(trials), cost, good, given.draws, rng)
    rates(good, given.draws, rng)
    two_arms(cost, good, given.draws, rng)
    pairing(cost, good)
    peeking(cost, good, max(200, given.draws // 4), rng)
    print(f"\n{time.process_time() - start:.0f} s CPU")


if __name__ == "__main__":
    main()
