"""Runs and experiments as files of other programs: their own readers open them, and the money in them adds up.

`atif.schema.json` is what harbor 0.25.0's models of a trajectory accept; that package itself needs Python 3.12."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bench_lab import script, write_experiment, write_tasks
from inspect_ai.log import EvalLog, read_eval_log
from jsonschema import Draft202012Validator
from test_tasks_replayed import replay

from modelserver import serving
from outlay.experiments.published import read_files
from outlay.experiments.results import read_jsonl
from outlay.ledger import Ledger
from project import Project

SCHEMA = Draft202012Validator(json.loads(Path(__file__).with_name("atif.schema.json").read_text()))


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a team under a policy: the orders are read by a subagent on a local model only."""
    place = tmp_path_factory.mktemp("gated")
    done = replay("valuation", place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An experiment of two arms on one task, twice each; only one of them does it."""
    with serving(script) as server:
        it = Project(tmp_path_factory.mktemp("tried") / "p", server.base_url("openai"))
        write_tasks(it.folder / "tasks", 3)
        for easy in ("t1", "t2"):
            shutil.rmtree(it.folder / "tasks" / easy)
        write_experiment(it, server.base_url("openai"))
        arms = ("--arm", "small", "--arm", "large")
        done = it.outlay("bench", "run", "experiment.yaml", *arms, "--repeats", "2", "--concurrency", "2", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return it


def export(place: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "outlay", "export", *arguments],
        cwd=place,
        env=os.environ | {"OUTLAY_HOME": str(place / "state")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def valid(file: Path) -> dict[str, Any]:
    """A trajectory that holds to the schema, and to what its models check beyond it."""
    found: dict[str, Any] = json.loads(file.read_text())
    assert [error.message for error in SCHEMA.iter_errors(found)] == []
    inside = found.get("subagent_trajectories", [])
    names = [each["trajectory_id"] for each in inside]
    assert len(set(names)) == len(names)
    for each in (found, *inside):
        assert [step["step_id"] for step in each["steps"]] == list(range(1, len(each["steps"]) + 1))
        for step in each["steps"]:
            asked = {call["tool_call_id"] for call in step.get("tool_calls", [])}
            assert step["source"] == "agent" or (not asked and "metrics" not in step)
            for result in step.get("observation", {}).get("results", []):
                assert result["source_call_id"] in asked
                assert {ref["trajectory_id"] for ref in result.get("subagent_trajectory_ref", [])} <= set(names)
    return found


def test_a_run_is_a_valid_trajectory_with_its_subagents_and_all_its_money(gated: Path, tmp_path: Path) -> None:
    export(gated, "--format", "atif", "--to", "local", "-o", str(tmp_path / "run.json"))
    found = valid(tmp_path / "run.json")
    assert found["schema_version"] == "ATIF-v1.7" and found["extra"]["outcome"] == "succeeded"
    assert [each["agent"]["extra"]["role"] for each in found["subagent_trajectories"]].count("keeper") == 1
    every = [found, *found["subagent_trajectories"]]
    steps = [step["metrics"] for each in every for step in each["steps"] if "metrics" in step]
    with Ledger(gated / "state" / "ledger.db") as ledger:
        calls = list(ledger.calls())
    assert len(steps) == len(calls)
    assert sum(step["prompt_tokens"] for step in steps) == sum(call.usage.input for call in calls)
    assert found["final_metrics"]["total_completion_tokens"] == sum(call.usage.output for call in calls)
    assert found["final_metrics"]["total_cost_usd"] == pytest.approx(sum(step["cost_usd"] for step in steps))
    refs = [r for s in found["steps"] for r in s.get("observation", {}).get("results", []) if "subagent" in str(r)]
    assert refs


def test_a_policy_lets_out_what_its_recipient_may_see_and_nothing_without_one(gated: Path, tmp_path: Path) -> None:
    with Ledger(gated / "state" / "ledger.db") as ledger:
        keeper = ledger.rows("SELECT id FROM sessions WHERE role = 'keeper'")[0]["id"]
        heard = [e.payload.decode() for e in ledger.events(keeper, types=["tool.result"]) if e.payload]
    secret = max(heard, key=len)
    files = {to: tmp_path / f"{to}.json" for to in ("nobody", "main", "local")}
    told = export(gated, "--format", "atif", "-o", str(files["nobody"]))
    assert "say with --to who gets the file" in told
    export(gated, "--format", "atif", "--to", "main", "-o", str(files["main"]))
    export(gated, "--format", "atif", "--to", "local", "-o", str(files["local"]))
    texts = {to: json.dumps(valid(file)) for to, file in files.items()}
    assert json.dumps(secret)[1:-1] in texts["local"]
    assert json.dumps(secret)[1:-1] not in texts["main"] + texts["nobody"]
    assert "(withheld: orders may not go to main)" in texts["main"]
    assert "Brattvaer" in texts["main"] and "Brattvaer" not in texts["nobody"]
    wrong = export(gated, "--format", "atif", "--to", "loca", code=2)
    assert "no model or tool 'loca'; did you mean 'local'?" in wrong
    export(gated, "--format", "inspect", "--to", "main", "-o", str(tmp_path / "log.json"))
    assert json.dumps(secret)[1:-1] not in (tmp_path / "log.json").read_text()


def test_inspect_reads_a_run_with_its_spans_and_its_usage(gated: Path, tmp_path: Path) -> None:
    export(gated, "--format", "inspect", "--to", "local", "-o", str(tmp_path / "run.json"))
    log = read_eval_log(str(tmp_path / "run.json"))
    assert log.samples is not None
    (sample,) = log.samples
    spans = [event for event in sample.events if event.event == "span_begin"]
    assert {span.name for span in spans} == {"main/filings", "main/deck", "main/news", "main/orders", "main/review"}
    open_spans: list[str | None] = [None]
    for event in sample.events:
        if event.event == "span_begin":
            open_spans.append(event.id)
        elif event.event == "span_end":
            open_spans.remove(event.id)
        else:
            assert event.span_id in open_spans
    assert open_spans == [None]
    asked = [call.id for message in sample.messages if message.role == "assistant" for call in message.tool_calls or []]
    assert asked and {m.tool_call_id for m in sample.messages if m.role == "tool"} <= set(asked)


def of_arm(folder: Path, arm: str, suffix: str) -> EvalLog:
    return read_eval_log(str(folder / f"bench-experiment-{arm}{suffix}"))


def test_an_experiment_is_a_log_for_each_arm_that_inspect_and_outlay_read_alike(tried: Project, tmp_path: Path) -> None:
    for how, suffix in (("inspect", ".json"), ("inspect-eval", ".eval")):
        out = tmp_path / how
        done = tried.outlay("export", "bench-experiment", "--format", how, "-o", str(out))
        assert done.returncode == 0, done.stderr
        own = read_jsonl(tried.folder / "bench-experiment" / "results.jsonl").trials
        for arm, rate in (("small", 0.0), ("large", 1.0)):
            log = of_arm(out, arm, suffix)
            assert log.status == "success" and log.eval.task == f"bench-experiment/{arm}" and log.samples
            assert sorted((str(s.id), s.epoch) for s in log.samples) == [("t3", 1), ("t3", 2)]
            assert log.results and log.results.scores[0].metrics["accuracy"].value == rate
        again = read_files([out]).trials
        key = lambda trial: (trial.task, trial.repeat, trial.success, trial.cost_pico)  # noqa: E731
        assert sorted(map(key, again)) == sorted(map(key, own))
        assert {trial.tokens for trial in again} == {trial.tokens for trial in own}
    with zipfile.ZipFile(tmp_path / "inspect-eval" / "bench-experiment-small.eval") as archive:
        assert "samples/t3_epoch_2.json" in archive.namelist()


def test_an_experiment_is_a_trajectory_for_each_trial(tried: Project, tmp_path: Path) -> None:
    done = tried.outlay("export", "bench-experiment", "--format", "atif", "-o", str(tmp_path / "out"), "--json")
    told = json.loads(done.stdout)
    assert told["trials"] == 4 and len(told["files"]) == 4
    found = valid(tmp_path / "out" / "small-t3-1.trajectory.json")
    assert "This is task 3" in json.dumps(found["steps"][:2])


def test_wrong_input_is_told_and_nothing_is_written_over(tried: Project, tmp_path: Path) -> None:
    for arguments, words in (
        (("nothing", "--format", "atif"), "no run 'nothing'"),
        ((str(tmp_path), "--format", "atif"), "is no experiment: it has no results.jsonl"),
        (("--format", "atif", "--to", "main"), "has no policy, so --to main decides nothing"),
        (("--format", "pdf"), "'pdf' is not one of"),
    ):
        done = tried.outlay("export", *arguments)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    file = tmp_path / "here.json"
    file.write_text("mine")
    assert "exists; choose another place" in tried.outlay("export", "--format", "atif", "-o", str(file)).stderr
    assert file.read_text() == "mine"
    assert tried.outlay("export", "--format", "atif", "-o", str(file), "--overwrite").returncode == 0
    valid(file)


def test_trials_under_other_ways_to_pay_cost_what_their_calls_cost_there(tried: Project) -> None:
    done = tried.outlay("bench", "whatif", "bench-experiment", "--pay", "--json")
    assert done.returncode == 0, done.stderr
    ways = json.loads(done.stdout)["ways"]
    own = read_jsonl(tried.folder / "bench-experiment" / "results.jsonl").trials
    for arm in ("small", "large"):
        (listed,) = (one for one in ways if one["arm"] == arm and one["way"] == "per-token")
        assert listed["low"] == listed["high"] == sum(trial.cost_pico or 0 for trial in own if trial.arm == arm)
        assert (listed["successes"], listed["trials"]) == ({"small": 0, "large": 2}[arm], 2)
    shown = tried.outlay("bench", "whatif", "bench-experiment", "--pay").stdout
    assert "Under other ways to pay" in shown and "per-token" in shown
    (tried.folder / "others.jsonl").write_text('{"task": "a", "arm": "b", "success": true, "cost_usd": 1}\n')
    other = tried.outlay("bench", "whatif", "others.jsonl", "--pay")
    assert "b is left out: the calls of 1 of its 1 trials are not in this ledger" in other.stdout
    assert "go with --pay" in tried.outlay("bench", "whatif", "others.jsonl", "--retries", "2", "--only", "x").stderr
