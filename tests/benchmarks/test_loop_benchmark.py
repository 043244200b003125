"""The loop's benchmark runs, and what it says of the fixed prompt keeps its limits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = Path(__file__).parents[2] / "benchmarks" / "loop" / "measure.py"


def measure(*arguments: str) -> dict:
    done = subprocess.run([sys.executable, MEASURE, *arguments, "--json", "-"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_fixed_prompt_stays_below_its_limits_on_every_wire():
    sizes = measure("--prompt")["prompt"]
    assert {(size["agent"], size["limit_tokens"]) for size in sizes} == {("main agent", 2_000), ("subagent", 1_200)}
    assert {size["wire"] for size in sizes} == {"anthropic", "openai-chat", "openai-responses", "google"}
    assert [size for size in sizes if size["tokens"] >= size["limit_tokens"]] == []


@pytest.mark.slow
def test_the_loop_is_measured_with_its_ledger_checked():
    cells = measure("--quick", "--only", "outlay")["loops"]
    assert [(cell["sessions"], cell["turns"]) for cell in cells] == [(1, 30), (20, 30)]
    assert all(cell["cpu_ms_per_turn"] > 0 for cell in cells)
