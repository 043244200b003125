"""Rules of delegation and gates hold whatever an agent says: each scripted agent ends as its rule says."""

import json
from pathlib import Path

import pytest

from modelserver import Answer, Call, Tool, serving
from project import ALL_TOOLS, Project, prefix_holds

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, write, shell]}}
    - {{name: critic, description: reviews, model: small, tools: [read, shell]}}
"""


def project(folder: Path, base_url: str, more: str, **options: str) -> Project:
    it = Project(folder, base_url)
    it.write_goal(team=TEAM, more=more, **options)
    small = it.model.replace("scripted-large", "scripted-small")
    text = it.goal.read_text().replace("models:\n", f"models:\n  small: {small}\n")
    it.goal.write_text(text)
    return it


def shell(command: str) -> Answer:
    return Answer("", (Tool("shell", {"command": command}),))


def delegate(name: str, task: str) -> Answer:
    agents = [{"name": name, "role": "worker", "task": task}]
    return Answer("", (Tool("start", {"agents": agents, "wait": True}),))


def test_a_main_agent_that_must_delegate_all_has_no_tool_that_writes(tmp_path: Path) -> None:
    offered: list[str] = []

    def script(call: Call) -> Answer:
        if call.task.startswith("work"):
            return shell("touch done.txt") if call.turn == 0 else Answer("did it")
        offered[:] = [tool["name"] for tool in call.tools]
        steps = [shell("touch done.txt"), delegate("w", "work")]
        return steps[call.turn] if call.turn < 2 else Answer("Done.")

    with serving(script) as server:
        it = project(tmp_path, server.base_url("openai"), "delegation: {delegate: all}\n")
        it.run()
        assert not {"shell", "write", "edit"} & set(offered) and "start" in offered
        assert "there is no tool 'shell'" in it.events("tool.result")[0].payload.decode()
        assert "you cannot change files yourself" in it.events("message.added")[0].payload.decode()


def test_after_its_direct_edits_a_main_agents_changes_are_refused_and_undone(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if call.task.startswith("work"):
            return shell("touch done.txt") if call.turn == 0 else Answer("did it")
        steps = [
            Answer("", (Tool("write", {"path": "a.txt", "content": "1"}),)),
            shell("echo 2 > b.txt"),
            Answer("", (Tool("write", {"path": "c.txt", "content": "3"}),)),
            shell("ls; touch done.txt"),
            delegate("w", "work"),
            shell("ls"),
        ]
        return steps[call.turn] if call.turn < len(steps) else Answer("Done.")

    with serving(script) as server:
        it = project(tmp_path, server.base_url("openai"), "delegation: {most_edits: 1}\n", check="ls; test -e done.txt")
        it.run()
        results = [e.payload.decode() for e in it.events("tool.result", stream=f"{it.run_row()['id']}:main")]
        assert "was undone" in results[1] and "yourself 1 times and did" in results[2]
        assert "was undone" in results[3] and "a.txt" in results[3] and "b.txt" not in results[3]
        assert results[5].split() == ["exit", "0", "a.txt", "done.txt"]
        assert [e.head for e in it.events("rule.refused")] == [{"rule": "most_edits", "bound": 1, "used": 1}] * 3
        assert sorted(path.name for path in it.workspace.iterdir()) == ["a.txt", "done.txt"]


def test_an_agent_that_refuses_to_delegate_does_not_succeed(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        return shell("touch done.txt") if call.turn == 0 else Answer("Done.")

    with serving(script) as server:
        more = "delegation: {least_share: 0.5}\nlimits: {breakers: {same_failure: {action: stop}}}\n"
        it = project(tmp_path, server.base_url("openai"), more)
        it.run(code=3)
        reason = it.run_row()["reason"]
        assert "rule least_share broken: subagents used 0% of net tokens" in reason, reason
        event = it.events("rule.refused")[0]
        assert event.head["share"] == 0 and event.head["bound"] == 0.5 and event.head["net"] > 0
        assert not (it.workspace / "done.txt").exists()


def test_a_reviewer_of_another_model_must_approve_the_final_state(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if call.task.startswith("Review the result"):
            assert call.model == "scripted-small"
            if call.turn == 0:
                return shell("cat done.txt")
            good = "better" in str(call.messages)
            return Answer("APPROVE: it is better." if good else "REJECT: done.txt must say better.")
        steps = [shell("echo first > done.txt"), Answer("Done."), shell("echo better > done.txt"), Answer("Done.")]
        return steps[call.turn]

    with serving(script, keep_bodies=True) as server:
        it = project(tmp_path, server.base_url("openai"), "delegation: {review: {role: critic}}\n")
        it.run()
        reviews = it.events("review.finished")
        assert [event.head["approved"] for event in reviews] == [False, True]
        assert reviews[0].payload == b"REJECT: done.txt must say better."
        assert sorted(it.sessions()) == ["main", "main/review-1", "main/review-2"]
        assert prefix_holds([record for record in server.records if record["model"] == "scripted-large"])
        assert it.chain_is_whole()


def test_a_review_by_the_same_model_or_vendor_is_refused_before_the_run(tmp_path: Path) -> None:
    it = project(tmp_path, "http://127.0.0.1:9", "delegation: {review: {role: critic, other: vendor}}\n")
    done = it.run(code=2)
    assert "role 'critic' has no model of another vendor" in done.stderr
    assert not (it.home / "ledger.db").exists()


def test_the_next_gate_opens_when_the_last_is_green(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        steps = [
            Answer("All done."),
            shell("touch one"),
            Answer("Gate reached."),
            shell("rm one; touch two"),
            Answer("Done."),
            shell("touch one three"),
        ]
        return steps[call.turn] if call.turn < len(steps) else Answer("Done.")

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(more="gates: [{name: parse, checks: [one]}, {name: build, checks: [two]}]\n")
        checks = "".join(f"  - {{name: {name}, command: test -e {name}}}\n" for name in ("one", "two", "three"))
        it.goal.write_text(
            it.goal.read_text().replace("checks:\n", f"checks:\n{checks}").replace("test -f done.txt", "true")
        )
        it.run()
        rounds: dict[int, list[str]] = {}
        for event in it.events("check.finished"):
            rounds.setdefault(event.head["round"], []).append(event.head["name"])
        assert list(rounds.values()) == [["one"], ["one", "two"], ["one"], ["one", "two", "three", "done"]]
        assert [event.head["name"] for event in it.events("gate.passed")] == ["parse", "build"]
        task = it.events("message.added")[0].payload.decode()
        assert "test -e one" in task and "test -e two" not in task and "gates: parse, then build" in task
        told = [
            json.loads(e.payload)["parts"][0]["text"] for e in it.events("message.added") if e.head["kind"] == "check"
        ]
        assert "Gates passed: none. Open: parse; behind it: build." in told[0]
        assert "Gates passed: parse. Open: build." in told[1] and "test -e two" in told[1]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("gates: [{name: a, checks: [dne]}]\n", "no check 'dne' for the gate; did you mean 'done'?"),
        ("gates: [{name: a, checks: []}]\n", "the gate 'a' has no checks"),
        ("gates: [{name: a, checks: [done]}, {name: b, checks: [done]}]\n", "stands in the gate 'a' already"),
        ("delegation: {delegate: most}\n", "delegation.delegate is 'most'"),
        ("delegation: {review: {role: critc}}\n", "no role 'critc' to review; did you mean 'critic'?"),
        ("delegation: {least_share: 2}\n", "least_share must be at most 1"),
    ],
)
def test_wrong_rules_are_found_before_the_run(tmp_path: Path, more: str, words: str) -> None:
    it = project(tmp_path, "http://127.0.0.1:9", more)
    done = it.outlay("goal", "check", str(it.goal))
    assert done.returncode == 2 and words in done.stderr, done.stdout + done.stderr
