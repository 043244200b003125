"""Experiments carried out: the truth recovered, nothing paid twice, no budget overspent, clear words for bad input."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from bench_lab import ARMS, rows, script, truth, write_experiment, write_tasks
from test_task_folders import write_harbor

from modelserver import Answer, Call, FaultPlan, Tool, serving
from outlay.economics.trials import Trial
from outlay.errors import InputError
from outlay.experiments.experiment import Experiment, Key, load_experiment
from outlay.experiments.overlay import composed, read_overlay
from outlay.experiments.stopping import clear
from outlay.experiments.task import Task, load_task
from project import Project, until

BENCH = ("bench", "run", "experiment.yaml", "--repeats", "2", "--concurrency", "3")


@pytest.mark.slow
def test_an_experiment_that_is_killed_stopped_and_resumed_finds_the_truth_and_pays_once(tmp_path: Path) -> None:
    with serving(script) as server:
        it = Project(tmp_path / "p", server.base_url("openai"))
        write_tasks(it.folder / "tasks")
        write_experiment(it, server.base_url("openai"))
        process = it.start(*BENCH, "--budget", "0.2")
        until(lambda: len(rows(it, "bench-experiment")) >= 4 or process.poll() is not None, 120)
        os.killpg(process.pid, signal.SIGKILL)  # trials at work go on: they are processes of their own
        process.communicate()
        stopped = it.outlay(*BENCH, "--budget", "0.2", timeout=900)
        assert stopped.returncode == 3 and "Stopped by the budget" in stopped.stdout, stopped.stdout + stopped.stderr
        spent = sum(truth(server.records, arm, 2)[0] for arm in ARMS)
        assert 0.1 < spent <= 0.2
        done = it.outlay(*BENCH, "--budget", "2", "--json", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.records) == 3 * 6 * 2 * 2  # two calls a trial, each paid once
    told = json.loads(done.stdout)
    assert (told["done"], told["left"], told["why"]) == (36, 0, "")
    found = {row["arm"]: row for row in told["report"]["rows"]}
    for arm, does in ARMS.items():
        cost, per_success = truth(server.records, arm, 2)
        stats = found[arm]["stats"]
        assert stats["successes"] == 2 * does and stats["trials"] == 12
        assert stats["total_pico"] == pytest.approx(cost * 1e12)
        assert found[arm]["cost"]["value"] == pytest.approx(per_success * 1e12)
        assert found[arm]["rate_interval"]["low"] <= does / 6 <= found[arm]["rate_interval"]["high"]
    assert it.outlay("bench", "report", "bench-experiment", "--json").returncode == 0


def test_a_harbor_folder_is_tried_as_it_is(tmp_path: Path) -> None:
    def write_hello(call: Call) -> Answer:
        if call.turn == 0:
            return Answer("", (Tool("shell", {"command": "cat seed.txt && echo 'Hello, world!' > /app/hello.txt"}),))
        return Answer("", (Tool("finish", {"answer": "done"}),))

    with serving(write_hello) as server:
        it = Project(tmp_path / "p", server.base_url("openai"))
        write_harbor(it.folder / "hello-world")
        arm = "--arm=solo={team: {shape: solo}}"
        done = it.outlay("bench", "run", "hello-world", arm, "--model", it.model, "--out", "out", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not done here: FROM ubuntu:24.04" in done.stderr
    (row,) = rows(it, "out")
    assert (row["task"], row["success"], row["outcome"]) == ("hello-world", True, "succeeded")
    assert not list((it.folder / "hello-world").glob("**/hello.txt"))


def test_ctrl_c_pauses_an_experiment_and_the_same_command_goes_on(tmp_path: Path) -> None:
    asked = threading.Event()

    async def slow(call: Call) -> Answer:
        while call.turn == 2 and not asked.is_set():
            await asyncio.sleep(0.02)
        if call.turn < 8:
            return Answer("", (Tool("shell", {"command": f"echo {call.turn} > answer.txt"}),), delay_s=0.5)
        return Answer("", (Tool("shell", {"command": "echo good > answer.txt"}), Tool("finish", {"answer": "done"})))

    with serving(slow) as server:
        it = Project(tmp_path / "p", server.base_url("openai"))
        write_tasks(it.folder / "tasks", 1)
        command = ("bench", "run", "tasks", "--arm=solo={}", "--model", it.model, "--out", "out")
        process = it.start(*command)
        until(lambda: len(server.records) >= 2, 60)
        os.kill(process.pid, signal.SIGINT)
        asked.set()
        out, err = process.communicate(timeout=240)
        assert process.returncode == 5 and "The same command goes on" in out, out + err
        done = it.outlay(*command, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.records) == 9
    assert [row["success"] for row in rows(it, "out")] == [True]


def test_trials_that_never_reach_a_model_are_errored_and_end_the_experiment(tmp_path: Path) -> None:
    with serving(lambda call: FaultPlan("auth")) as server:
        it = Project(tmp_path / "p", server.base_url("openai"))
        write_tasks(it.folder / "tasks", 4)
        done = it.outlay("bench", "run", "tasks", "--arm=solo={}", "--model", it.model, timeout=120)
    assert done.returncode == 2 and "3 trials in a row could not be carried out: model main" in done.stderr
    assert [row["outcome"] for row in rows(it, "bench-trials")] == ["errored", "errored"]


def test_a_dry_run_lists_trials_and_worst_case_and_makes_nothing(tmp_path: Path) -> None:
    it = Project(tmp_path / "p", "http://127.0.0.1:9/v1")
    write_tasks(it.folder / "tasks", 2)
    write_experiment(it, "http://127.0.0.1:9/v1", more="budget: 1\nrepeats: 3\nseed: 5")
    done = it.outlay("bench", "run", "experiment.yaml", "--dry-run")
    assert "3 arms x 2 tasks x 3 tries of each = 18 trials" in done.stdout
    assert "Worst case: $0.90; the budget of $1.00 covers it" in done.stdout
    assert not it.home.exists() and not (it.folder / "bench-experiment").exists()


def task_named(folder: Path, name: str) -> Task:
    write_tasks(folder / name, 1)
    return load_task(folder / name / "t1")


def test_trials_are_shuffled_by_seed_in_whole_repeats(tmp_path: Path) -> None:
    tasks = {name: task_named(tmp_path, name) for name in "abcdef"}
    arms: dict[str, tuple[str, ...]] = {"x": (), "y": ()}
    order = list(Experiment(name="e", tasks=tasks, arms=arms, repeats=2).order())
    assert len(set(order)) == 24 and [key.repeat for key in order] == [0] * 12 + [1] * 12
    assert all(order[i].task == order[i + 1].task for i in range(0, 24, 2))
    assert order == list(Experiment(name="e", tasks=tasks, arms=arms, repeats=3).order())[:24]
    assert order != list(Experiment(name="e", tasks=tasks, arms=arms, repeats=2, seed=2).order())


def test_an_overlay_merges_replaces_and_takes_away(tmp_path: Path) -> None:
    goal = "---\nlimits: {usd: 1, turns: 9}\nteam: {roles: {a: {}}}\ncontext: [x]\nname: old\n---\nDo it.\n"
    over = read_overlay("limits: {usd: 2}\nteam: {shape: pipeline}\ncontext: null\n", "arm", tmp_path)
    assert composed(goal, [over, "name: new"], "GOAL.md").split("---\n")[1:] == [
        "limits: {turns: 9, usd: 2}\nteam: {shape: pipeline}\nname: new\n",
        "Do it.\n",
    ]
    spec = "models: {main: 'recorded:a.jsonl', other: {spec: 'recorded:/b.jsonl'}}"
    assert f"recorded:{tmp_path}/a.jsonl" in read_overlay(spec, "arm", tmp_path)
    with pytest.raises(InputError, match="arm:1: unknown key 'limts'"):
        read_overlay("limts: {usd: 2}", "arm", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arms: {a: {}}\n", "'tasks' is missing"),
        ("tasks: [nowhere]\narms: {a: {}}\n", "no such folder"),
        ("tasks: [tasks]\n", "no arms"),
        ("tasks: [tasks]\narms: {a: {limits: {usd: much}}}\n", "arm a:1: limits.usd wants an amount"),
        ("tasks: [tasks]\narms: {'a b': {}}\n", "'a b' is no name for an arm"),
        ("tasks: [tasks]\narms: {a: {}}\nrepeat: 2\n", "did you mean 'repeats'?"),
        ("tasks: [tasks, tasks/t1]\narms: {a: {}}\n", "two tasks are called 't1'"),
    ],
)
def test_what_is_wrong_in_an_experiment_is_said(tmp_path: Path, text: str, said: str) -> None:
    write_tasks(tmp_path / "tasks", 1)
    (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_experiment([tmp_path / "e.yaml"], [], [])
    assert said in str(caught.value)


def test_another_experiment_is_not_mixed_into_a_folder(tmp_path: Path) -> None:
    it = Project(tmp_path / "p", "http://127.0.0.1:9/v1")
    write_tasks(it.folder / "tasks", 1)
    (it.folder / "full").mkdir()
    (it.folder / "full" / "letter.txt").write_text("mine")
    done = it.outlay("bench", "run", "tasks", "--arm=a={}", "--model", it.model, "--out", "full")
    assert done.returncode == 2 and "holds other things" in done.stderr
    budget = it.outlay("bench", "run", "tasks", "--arm=a={}", "--model", it.model, "--budget", "1")
    assert budget.returncode == 2 and "a budget holds only when every trial has a limit" in budget.stderr
    assert not (it.folder / "bench-trials").exists()


def trials_of(experiment: Experiment, share: float, ratio: float) -> dict[Key, Trial]:
    """Trials up to a share of them; arm y costs `ratio` times what x does."""
    keys = list(experiment.order())
    cost = {"x": 10**12, "y": int(ratio * 10**12)}
    return {
        key: Trial(
            task=key.task, arm=key.arm, repeat=key.repeat, success=True, outcome="succeeded",
            cost_pico=cost[key.arm] + 10**9 * (len(key.task) + n % 7),
        )
        for n, key in enumerate(keys[: int(share * len(keys))])
    }  # fmt: skip


def test_an_experiment_ends_early_only_when_its_answer_is_clear(tmp_path: Path) -> None:
    task = task_named(tmp_path, "t")
    few = {str(n): task for n in range(6)}
    many = {str(n): task for n in range(40)}
    arms: dict[str, tuple[str, ...]] = {"x": (), "y": ()}
    big = Experiment(name="e", tasks=many, arms=arms)
    assert "after 16 of 40 tries" in clear(big, trials_of(big, 0.4, 3))
    assert not clear(big, trials_of(big, 0.4, 1.0001))
    assert not clear(big, trials_of(big, 0.1, 3))
    small = Experiment(name="e", tasks=few, arms=arms)
    assert not clear(small, trials_of(small, 0.8, 3))
