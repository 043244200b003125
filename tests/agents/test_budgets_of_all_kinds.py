"""Budgets per role, on output and on the number of subagents; agents are told before a budget is used up."""

from pathlib import Path

import pytest

from modelserver import Answer, Call, Tool, serving
from outlay.errors import InputError
from outlay.runs.goal_types import Limits
from outlay.runs.limits import change_limits
from project import ALL_TOOLS, Project, prefix_holds

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: scout, description: works, model: main, tools: [read, grep]}}
    - {{name: other, description: works, model: main, tools: [read, grep]}}
"""


def start(names: list[str], role: str = "scout") -> Answer:
    agents = [{"name": name, "role": role, "task": f"work {name}"} for name in names]
    return Answer("", (Tool("start", {"agents": agents, "wait": True}),))


def test_a_roles_budget_holds_all_its_sessions_and_no_others(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if call.task.startswith("work"):
            return Answer("", (Tool("grep", {"pattern": f"x{call.turn}"}),)) if call.turn < 3 else Answer("seen")
        steps = [start(["a", "b"]), start(["c"], "other")]
        return steps[call.turn] if call.turn < len(steps) else Answer("Done.")

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, check="true", more="limits: {roles: {scout: {turns: 5}}}\n", task="lead")
        it.run()
        sessions = it.sessions()
        assert sum(sessions[f"main/{name}"]["turns"] for name in "ab") == 5
        assert "limit turns of role scout reached: 5 of 5 used" in str(sessions)
        assert sessions["main/c"]["status"] == "done" and sessions["main/c"]["turns"] == 4


def test_output_is_bounded_before_it_is_generated(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        return Answer("", (Tool("grep", {"pattern": f"x{call.turn}"}),), output_tokens=min(400, call.max_output_tokens))

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="limits: {output_tokens: 3k}\n")
        it.run(code=3)
        assert 2_700 < sum(call.usage.output for call in it.calls()) <= 3_000
        assert it.events("limit.reached")[0].head["limit"] == "output_tokens"


def test_only_so_many_subagents_may_be_started(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if call.task.startswith("work"):
            return Answer("seen")
        steps = [start(["a", "b"]), start(["c", "d"]), start(["c"])]
        return steps[call.turn] if call.turn < len(steps) else Answer("Done.")

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, check="true", more="limits: {spawns: 3}\n", task="lead")
        it.run()
        assert sorted(it.sessions()) == ["main", "main/a", "main/b", "main/c"]
        (event,) = it.events("limit.refused")
        assert event.head == {"limit": "spawns", "bound": 3, "used": 2, "asked": 2}
        assert "may start 3 subagents and has started 2" in it.events("tool.result")[1].payload.decode()


def test_an_agent_is_told_once_at_four_fifths_of_a_budget_and_after_a_resume_no_more(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        return Answer("", (Tool("grep", {"pattern": f"x{call.turn}"}),))

    with serving(script, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="limits: {turns: 10}\n")
        it.run("--limit", "session.turns=20", code=3)
        (told,) = [event for event in it.events("message.added") if event.head["kind"] == "budget"]
        assert told.head["told"] == ["turns of the run"]
        assert "turns of the run: 8 of 10" in told.payload.decode()
        assert prefix_holds(server.records)
        again = it.outlay("resume", it.run_row()["id"], "--limit", "turns=12")
        assert again.returncode == 3
        assert len([event for event in it.events("message.added") if event.head["kind"] == "budget"]) == 1
        assert it.chain_is_whole()


def test_limits_of_the_command_line_reach_every_level() -> None:
    limits = change_limits(["roles.scout.usd=1", "session.turns=5", "breakers.same_call.times=3", "day.usd=9"])(
        Limits()
    )
    assert limits.roles["scout"].usd_pico == 10**12 and limits.session.turns == 5 and limits.day.usd_pico == 9 * 10**12
    assert limits.breakers.same_call.times == 3 and limits.breakers.polling.times == 10
    off = change_limits(["breakers.same_call=off", "breakers.polling.action=[warn, stop]", "usd=none"])(limits)
    assert off.breakers.same_call == "off" and off.breakers.polling.actions == ("warn", "stop")
    on = change_limits(["breakers.same_call.times=7", "roles.scout.turns=2"])(off)
    assert on.breakers.same_call.times == 7
    assert on.roles["scout"].usd_pico == 10**12 and on.roles["scout"].turns == 2


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("breakers.same_cal.times=3", "did you mean 'same_call'"),
        ("breakers.polling.action=wran", "did you mean 'warn'"),
        ("breakers.polling=on", "known: off"),
        ("roles.scout=3", "wants keys"),
        ("breakers.polling.times=0", "at least 1"),
        ("session.turns", "is not KEY=VALUE"),
    ],
)
def test_a_wrong_limit_says_what_would_be_right(setting: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        change_limits([setting])
