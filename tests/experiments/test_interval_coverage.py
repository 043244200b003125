"""The intervals hold the truth as often as they promise, on made-up tasks whose costs and successes go together."""

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.published_samples import BOARD, needs_data
from outlay.economics.intervals import log_delta

ROOT = Path(__file__).parents[2]


def test_nineteen_of_twenty_intervals_hold_the_true_cost_per_success():
    dice = random.Random(3)
    world = []
    for _ in range(400):
        hard = dice.random()
        world.append((dice.lognormvariate(hard, 0.6), float(dice.random() > hard)))
    truth = sum(c for c, _ in world) / sum(s for _, s in world)
    held = 0
    for _ in range(1500):
        drawn = dice.choices(world, k=60)
        interval = log_delta([c for c, _ in drawn], [s for _, s in drawn])
        held += interval is not None and interval.holds(truth)
    assert held / 1500 == pytest.approx(0.95, abs=0.02)


@needs_data
def test_the_coverage_benchmark_runs_and_is_within_two_points_from_30_tasks_on():
    assert importlib.util.find_spec("numpy")
    command = [sys.executable, str(ROOT / "benchmarks" / "coverage.py"), str(BOARD), "--draws", "400"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.startswith("24 arms of 500 tasks")
    lines = [line for line in out.splitlines() if line.split()[:1] and line.split()[0] in ("30", "50", "100", "200")]
    assert len(lines) == 12 and all("yes" in line for line in lines)
    assert "O'Brien-Fleming" in out and "NO" not in out.split("Two arms made equal")[1]
