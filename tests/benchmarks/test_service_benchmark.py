"""The benchmark of agents in the background runs, and its limits hold for a few of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "benchmarks" / "service.py"


@pytest.mark.slow
def test_waiting_agents_take_little_memory_and_a_cancel_leaves_no_process():
    done = subprocess.run([sys.executable, SERVICE, "--sessions", "30", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["memory_per_session_kb"] < 150
    assert figures["processes_left"] == 0
