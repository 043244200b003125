"""Limits hold for many sessions at once, name themselves, and end the run with exit code 3."""

import json
import threading
from pathlib import Path

import pytest

from modelserver import Answer, Call, Tool, serving
from project import ALL_TOOLS, Project

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, grep, agents]}}
"""


def starting(count: int, task: str = "work", wait: bool = True) -> Answer:
    agents = [{"name": f"w{n}", "role": "worker", "task": task} for n in range(count)]
    return Answer("", (Tool("start", {"agents": agents, "wait": wait}),))


class AtOnce:
    """Counts how many calls of subagents are being answered at the same time."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def end(self) -> None:
        with self._lock:
            self._now -= 1


def test_never_more_subagents_at_once_than_the_limit(tmp_path: Path) -> None:
    at_once = AtOnce()

    async def script(call: Call) -> Answer:
        import asyncio

        if "work" not in call.task:
            return starting(10) if call.turn == 0 else Answer("Done.")
        at_once.begin()
        await asyncio.sleep(0.2)
        at_once.end()
        return Answer("", (Tool("grep", {"pattern": "x"}),)) if call.turn == 0 else Answer("seen")

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, check="true", more="limits: {subagents: 3}\n", task="lead")
        it.run()
        assert 2 <= at_once.most <= 3
        assert len(it.sessions()) == 11 and {s["status"] for s in it.sessions().values()} == {"done"}


def test_twenty_subagents_on_one_budget_stay_within_it(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if "work" not in call.task:
            return starting(20) if call.turn == 0 else Answer("Done.")
        return Answer("", (Tool("read", {"path": "big.txt"}),), output_tokens=300)

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "big.txt").write_text("word " * 4000)
        it.write_goal(team=TEAM, check="true", more="limits: {usd: 0.40, subagents: 20}\n", task="lead")
        done = it.outlay("run", str(it.goal), "--plain")
        spent = sum(
            3_000_000 * c.usage.fresh
            + 300_000 * c.usage.cache_read
            + 3_750_000 * c.usage.cache_write_5m
            + 15_000_000 * c.usage.output
            for c in it.calls()
        )
        assert 0.2e12 < spent <= 0.40e12, spent
        assert done.returncode in (0, 3) and "usd" in "".join(str(s["last_action"]) for s in it.sessions().values())
        assert {s["status"] for name, s in it.sessions().items() if name != "main"} == {"stopped"}


@pytest.mark.parametrize(
    ("limits", "name", "words"),
    [
        ("{net_tokens: 6k}", "net_tokens", "limit net_tokens of the run reached"),
        ("{turns: 3}", "turns", "limit turns of the run reached: 3 of 3 used"),
        ("{wall: 2s}", "wall_s", "limit wall of the run reached: 2 s"),
        ("{session: {usd: 0.02}}", "usd", "limit usd of session"),
        ("{session: {turns: 2}}", "turns", "limit turns of session"),
        ("{session: {net_tokens: 6k}}", "net_tokens", "limit net_tokens of session"),
    ],
)
def test_each_limit_stops_the_run_and_says_which(tmp_path: Path, limits: str, name: str, words: str) -> None:
    def script(call: Call) -> Answer:
        return Answer("", (Tool("shell", {"command": "sleep 0.2; seq 5000"}),), output_tokens=400)

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more=f"limits: {limits}\n")
        it.goal.write_text(it.goal.read_text().replace("    price:", "    max_output: 500\n    price:"))
        done = it.run(code=3)
        (event,) = it.events("limit.reached")
        assert event.head["limit"] == name
        assert words in it.run_row()["reason"] and "limit" in done.stdout
        report = json.loads(it.outlay("report", "--format", "json").stdout)
        assert "stopped" in json.dumps(report)


def test_subagents_start_no_subagents_below_the_depth(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if "work" not in call.task:
            return starting(1) if call.turn == 0 else Answer("Done.")
        return starting(1, "work deeper") if call.turn == 0 else Answer("tried")

    for depth, sessions in ((1, 2), (2, 3)):
        with serving(script) as server:
            it = Project(tmp_path / str(depth), server.base_url("openai"))
            it.write_goal(team=TEAM, check="true", more=f"limits: {{depth: {depth}}}\n", task="lead")
            it.run()
            assert len(it.sessions()) == sessions


def test_checks_that_hang_or_flood_are_ended_and_count_as_failed(tmp_path: Path) -> None:
    with serving(lambda call: Answer("Done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="limits: {turns: 1}\n")
        hang = '{name: hang, command: "sleep 600", timeout: 1s}'
        flood = '{name: flood, command: "yes | head -c 100000000", timeout: 300s}'
        it.goal.write_text(it.goal.read_text().replace("checks:\n", f"checks:\n  - {hang}\n  - {flood}\n"))
        it.run(code=3)
        checks = {e.head["name"]: e for e in it.events("check.finished")}
        assert checks["hang"].head["ended"] == "timed_out" and not checks["hang"].head["passed"]
        assert len(checks["flood"].payload) <= 3_000
        shown = it.events("message.added")[-1].payload.decode()
        assert "timed out (limit 1 s)" in shown and len(shown) < 12_000
