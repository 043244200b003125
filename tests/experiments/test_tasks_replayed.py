"""The shipped tasks' example runs play from their recordings, with no key, and end in work that passes the verifier."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from outlay.experiments.layout import make_workspace
from outlay.experiments.shipped import shipped
from outlay.experiments.task import load_task
from outlay.experiments.verify import Verifier, verify
from outlay.ledger import Ledger
from outlay.runs.goal import load
from outlay.sandbox.probe import open_sandbox

REPLAYED = [name for name in shipped() if name != "commonmark"]
"""The converter's recording is what `make demo` plays."""


def replay(name: str, place: Path) -> subprocess.CompletedProcess[str]:
    """`outlay run` on a copy of a task, laid out as a trial would find it."""
    folder = shipped()[name]
    task = load_task(folder)
    asyncio.run(make_workspace(open_sandbox(place / "cache"), task, place / "workspace"))
    for file in (folder / "GOAL.md", folder / "recording.jsonl", *folder.glob("*.toml")):
        shutil.copy(file, place)
    return subprocess.run(
        [sys.executable, "-m", "outlay", "run", "GOAL.md", "--plain"],
        cwd=place,
        env=os.environ | {"OUTLAY_HOME": str(place / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize("name", REPLAYED)
def test_a_recorded_example_run_succeeds_and_passes_the_verifier(name: str, tmp_path: Path) -> None:
    done = replay(name, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    task = load_task(shipped()[name])
    assert isinstance(task.verifier, Verifier)
    verdict = asyncio.run(verify(open_sandbox(tmp_path / "cache"), task.verifier, tmp_path / "workspace"))
    assert verdict.passed, verdict.output
    if name == "valuation":
        orders_stay_with_the_local_model(tmp_path)


def orders_stay_with_the_local_model(place: Path) -> None:
    """The gated rows are in the keeper's session only; what left it are the three sums that the policy lets go."""
    with Ledger(place / "state" / "ledger.db") as ledger:
        released = list(ledger.events(types=("data.released",)))
    assert [json.loads(event.payload or b"") for event in released] == [
        {"pumps": 130043, "valves": 74911, "service": 49041}
    ]
    entries = [json.loads(line) for line in (place / "recording.jsonl").read_text().splitlines()[1:]]
    saw = {entry["session"] for entry in entries if "('meters', 6848)" in json.dumps(entry["new"])}
    assert saw == {"main/orders"}


@pytest.mark.parametrize("name", shipped())
def test_a_recording_says_how_it_was_made(name: str) -> None:
    with (shipped()[name] / "recording.jsonl").open() as file:
        assert "manual:" in json.loads(file.readline())["made"]


@pytest.mark.parametrize("name", shipped())
def test_the_goal_of_a_shipped_task_can_be_read(name: str, tmp_path: Path) -> None:
    goal = load(shipped()[name] / "GOAL.md", workspace=tmp_path)
    assert goal.checks and goal.limits.usd_pico
