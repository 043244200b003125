"""Breakers in whole runs: scripted agents that loop, poll, stall and repeat a failing fix end as their rules say."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelserver import Answer, Call, Tool, serving
from project import ALL_TOOLS, Project, prefix_holds

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, shell]}}
"""


def tripped(it: Project) -> list[dict[str, Any]]:
    return [event.head for event in it.events("breaker.tripped")]


def told(it: Project, kind: str = "breaker") -> list[str]:
    return [e.payload.decode() for e in it.events("message.added") if e.head["kind"] == kind]


def read_again(call: Call) -> Answer:
    return Answer("", (Tool("read", {"path": "notes.txt"}),))


def test_a_loop_is_warned_then_given_a_fresh_context_then_stopped(tmp_path: Path) -> None:
    with serving(read_again, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "notes.txt").write_text("nothing new")
        it.write_goal(more="limits: {turns: 60}\n", task="find it")
        done = it.run(code=3)
        trips = tripped(it)
        assert [trip["action"] for trip in trips] == ["warn", "handover", "stop"]
        assert all(trip["breaker"] == "same_call" and trip["numbers"]["times"] == 5 for trip in trips)
        assert [trip["session_turns"] for trip in trips] == [5, 10, 15] and len(server.records) == 15
        assert "breakers.same_call" in it.events("limit.reached")[0].head["limit"]
        assert "the same call of read" in told(it)[0] and "same call" in done.stdout
        fresh = json.loads(it.events("context.replaced")[0].payload)["message"]["parts"][0]["text"]
        assert fresh.startswith("find it") and "Files changed so far: none" in fresh and "notes.txt" in fresh
        assert prefix_holds(server.records)
        assert it.chain_is_whole()


def test_the_same_failing_fix_trips_and_another_approach_does_not(tmp_path: Path) -> None:
    def fixing(files: list[str]) -> Any:
        def script(call: Call) -> Answer:
            step, path = call.turn // 2, files[call.turn // 2 % len(files)]
            if call.turn >= 2 * len(files):
                return Answer("", (Tool("shell", {"command": "touch done.txt"}),)) if step < 99 else Answer("done")
            if call.turn % 2 == 0:
                return Answer("", (Tool("write", {"path": path, "content": f"attempt {call.turn}"}),))
            return Answer("", (Tool("shell", {"command": "echo FAILED test_parse in 0.1$RANDOM s; exit 1"}),))

        return script

    for files, times in ((["a.py"] * 4, 1), (["a.py", "b.py", "c.py", "d.py"], 0)):
        with serving(fixing(files)) as server:
            it = Project(tmp_path / str(times), server.base_url("openai"))
            it.write_goal(more="limits: {turns: 9, breakers: {same_failure: {action: warn}}}\n")
            it.outlay("run", str(it.goal), "--plain")
            assert len(tripped(it)) == times, tripped(it)


def test_a_claim_of_success_that_is_not_true_is_stopped_by_the_same_failure(tmp_path: Path) -> None:
    with serving(lambda call: Answer("All tests pass, everything is done.")) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="limits: {breakers: {same_failure: {times: 2, action: [warn, stop]}}}\n")
        it.run(code=3)
        assert [trip["action"] for trip in tripped(it)] == ["warn", "stop"]
        assert len(server.records) == 4
        assert "breaker same_failure stopped main" in it.run_row()["reason"]


def test_polling_is_told_from_waiting(tmp_path: Path) -> None:
    async def script(call: Call) -> Answer:
        if call.task.startswith("work"):
            return Answer("", (Tool("shell", {"command": "until test -e /workspace/../never; do sleep 1; done"}),))
        if call.turn == 0:
            agents = [{"name": "w", "role": "worker", "task": "work"}]
            return Answer("", (Tool("start", {"agents": agents}),))
        return Answer("", (Tool("look", {"name": "w"}),))

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, more="limits: {breakers: {polling: {times: 4, action: stop}}}\n")
        it.run(code=3)
        (trip,) = tripped(it)
        assert trip["breaker"] == "polling" and trip["numbers"] == {"times": 4, "bound": 4, "turns": 4}
        assert it.sessions()["main/w"]["status"] == "cancelled"


@pytest.mark.parametrize(("action", "status"), [("stop", "stopped"), ("warn", "done")])
def test_a_silent_subagent_is_cut(tmp_path: Path, action: str, status: str) -> None:
    def script(call: Call) -> Answer:
        if call.task.startswith("work"):
            if call.turn == 0:
                return Answer("", (Tool("shell", {"command": "sleep 600", "timeout_s": 900}),))
            return Answer("gave up sleeping")
        if call.turn == 0:
            return Answer(
                "", (Tool("start", {"agents": [{"name": "w", "role": "worker", "task": "work"}], "wait": True}),)
            )
        return Answer("Done.")

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(
            team=TEAM, check="true", more=f"limits: {{breakers: {{silent: {{after: 5s, action: {action}}}}}}}\n"
        )
        it.run()
        trips = tripped(it)  # a slow machine may be silent more than once
        assert trips and {(trip["breaker"], trip["action"]) for trip in trips} == {("silent", action)}
        assert all(trip["numbers"]["silent_s"] >= 5 for trip in trips)
        assert it.sessions()["main/w"]["status"] == status
        answer = it.events("tool.result", stream=f"{it.run_row()['id']}:main")[0].payload.decode()
        assert ("nothing came for" in answer) == (action == "stop") and it.chain_is_whole()


def test_replace_goes_on_with_the_next_model_of_the_menu_and_so_after_a_resume(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if call.model == "scripted-small":
            return Answer("", (Tool("shell", {"command": "touch done.txt"}),)) if call.results else Answer("Done.")
        return read_again(call)

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "notes.txt").write_text("x")
        role = f"{{name: main, model: main, models: [small], tools: {ALL_TOOLS}}}"
        it.write_goal(team=f"team: {{roles: [{role}]}}\n", more="limits: {breakers: {same_call: {action: replace}}}\n")
        small = it.model.replace("scripted-large", "scripted-small")
        it.goal.write_text(it.goal.read_text().replace("models:\n", f"models:\n  small: {small}\n"))
        it.run()
        (event,) = it.events("model.replaced")
        assert event.head == {"from": "main", "to": "small"}
        assert [record["model"] for record in server.records][4:6] == ["scripted-large", "scripted-small"]
        done = it.outlay("resume", it.run_row()["id"], "once more")
        assert done.returncode == 0, done.stderr
        assert server.records[-1]["model"] == "scripted-small"


def test_breakers_that_are_off_let_an_agent_loop_until_its_budget(tmp_path: Path) -> None:
    with serving(read_again) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "notes.txt").write_text("x")
        it.write_goal(more="limits: {turns: 30, breakers: {same_call: off}}\n")
        it.run(code=3)
        assert not tripped(it) and len(server.records) == 30


def test_the_report_says_what_each_trip_saved_and_how_that_was_computed(tmp_path: Path) -> None:
    with serving(read_again) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "notes.txt").write_text("nothing new\n" * 200)
        it.write_goal(task="find it")
        it.run(code=3)
        report = json.loads(it.outlay("report", "--format", "json").stdout)
        calls = it.calls()
        cost = [
            3_000_000 * c.usage.fresh
            + 300_000 * c.usage.cache_read
            + 3_750_000 * c.usage.cache_write_5m
            + 15_000_000 * c.usage.output
            for c in calls
        ]
        warned, handed, stopped = (line["effect"] for line in report["breakers"])
        assert warned["spent_pico"] == sum(cost[:5]) and warned["saved_pico"] is None
        fewer = calls[9].usage.input + calls[9].usage.output - calls[10].usage.input
        assert handed["saved_pico"] == 5 * fewer * 300_000 and f"{fewer:,} tokens less" in handed["how"]
        assert stopped["spent_pico"] == stopped["saved_pico"] == sum(cost[10:]) and stopped["cost_pico"] == 0
        shown = it.outlay("report").stdout
        assert "Breakers" in shown and "SAVED*" in shown and "Estimated" in shown


def test_a_resumed_run_knows_what_has_tripped_before(tmp_path: Path) -> None:
    with serving(read_again) as server:
        it = Project(tmp_path, server.base_url("openai"))
        (it.workspace / "notes.txt").write_text("nothing new")
        it.write_goal(task="find it")
        it.run("--limit", "turns=8", code=3)
        again = it.outlay("resume", it.run_row()["id"], "--limit", "turns=30")
        assert again.returncode == 3
        trips = tripped(it)
        assert [(trip["action"], trip["times_before"]) for trip in trips] == [("warn", 0), ("handover", 1), ("stop", 2)]
        assert it.chain_is_whole()
