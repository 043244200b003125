"""Fallback models over different wires, recordings of whole runs, answers by hand, keys that stay where they are."""

import json
import time
from pathlib import Path

from modelserver import Answer, Call, FaultPlan, Tool, serving
from project import ALL_TOOLS, PRICE, Project, until

LEAD = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, write, shell]}}
"""


def shell(command: str) -> Answer:
    return Answer("", (Tool("shell", {"command": command}),))


def start(*names: str) -> Answer:
    agents = [{"name": name, "role": "worker", "task": f"work as {name}"} for name in names]
    return Answer("", (Tool("start", {"agents": agents, "wait": True}),))


def team_script(call: Call) -> Answer:
    if "work as" in call.task:
        name = call.task.split()[-1]
        return [shell(f"echo {name} > {name}.txt"), Answer(f"{name} is written")][min(call.turn, 1)]
    return [start("a", "b"), shell("cat a.txt b.txt > done.txt"), Answer("All done.")][min(call.turn, 2)]


def test_a_fallback_on_another_wire_takes_over_and_the_first_is_tried_again(tmp_path: Path) -> None:
    """anthropic fails from its second turn on; the conversation goes on with openai-chat, also after a resume."""

    def script(call: Call) -> Answer | FaultPlan:
        if call.wire == "anthropic" and call.turn in (1, 2):
            return FaultPlan("auth")
        return [shell("echo 0 >> done.txt"), shell("echo 1 >> done.txt"), shell("echo 2 >> done.txt"), Answer("Done.")][
            min(call.turn, 3)
        ]

    with serving(script, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("anthropic"), codec="anthropic")
        it.write_goal(check="grep -q 2 done.txt", more="limits: {turns: 2}\n")
        text = it.goal.read_text()
        second = f"  second: {{spec: openai-chat:other@{server.base_url('openai')}, price: {PRICE}}}\n"
        text = text.replace("team:", f"    fallback: [second]\n{second}team:", 1)
        it.goal.write_text(text)
        it.run(code=3)
        done = it.outlay("resume", it.run_row()["id"], "--limit", "turns=9", "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (it.workspace / "done.txt").read_text().split() == ["0", "1", "2"]
        answered = [call.model for call in it.calls() if call.status == "ok"]
        assert answered[:3] == ["scripted-large", "other", "other"]
        assert [call.status for call in it.calls() if call.model == "scripted-large"][:3] == ["ok", "failed", "failed"]
        assert {record["wire"] for record in server.records} == {"anthropic", "openai-chat"}


def test_a_recorded_run_with_subagents_plays_the_same_twice_and_says_where_it_differs(tmp_path: Path) -> None:
    recording = tmp_path / "team.jsonl"
    with serving(team_script) as server:
        first = Project(tmp_path / "first", server.base_url("openai"))
        first.write_goal(team=LEAD, task="lead this")
        first.run("--record", str(recording))
    header = json.loads(recording.read_text().splitlines()[0])
    assert header["outlay_recording"] == 1 and "run with openai-chat:scripted-large" in header["made"]
    assert len(recording.read_text().splitlines()) == 1 + 3 + 2 * 2
    for n in ("second", "third"):
        it = Project(tmp_path / n, "http://127.0.0.1:9/v1")
        it.write_goal(team=LEAD, task="lead this")
        it.run("--model", f"recorded:{recording}")
        assert (it.workspace / "done.txt").read_text() == "a\nb\n"
        assert sum(c.usage.net for c in it.calls()) == sum(c.usage.net for c in first.calls())
    other = Project(tmp_path / "fourth", "http://127.0.0.1:9/v1")
    other.write_goal(team=LEAD, task="lead something else")
    done = other.run("--model", f"recorded:{recording}", code=1)
    assert "differs from the recording" in other.run_row()["reason"]
    assert "\n-lead this\n+lead something else\n" in done.stdout


def test_answers_are_given_by_hand(tmp_path: Path) -> None:
    it = Project(tmp_path, "http://127.0.0.1:9/v1")
    it.write_goal()
    desk = tmp_path / "desk"
    process = it.start("run", str(it.goal), "--plain", "--model", f"manual:{desk}")
    answers: list[object] = [
        {"tool_calls": [{"name": "write", "arguments": {"path": "done.txt", "content": "by hand"}}]},
        "no JSON",
        {"text": "It is done."},
    ]
    for n, answer in ((0, answers[0]), (1, answers[1]), (1, answers[2])):
        asked = desk / f"main-{n:03}.request.json"
        until(asked.exists)
        target = desk / json.loads(asked.read_text())["answer_file"]
        until(lambda target=target: not target.exists())
        staged = desk / "staged"
        staged.write_text(answer if isinstance(answer, str) else json.dumps(answer))
        staged.rename(target)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, out + err
    assert (it.workspace / "done.txt").read_text() == "by hand"
    assert [c.quality for c in it.calls()] == ["estimated", "estimated"]
    assert list(desk.glob("*.invalid"))


def test_keys_reach_neither_sandbox_nor_ledger_nor_logs_nor_recordings(tmp_path: Path) -> None:
    key = "sk-very-secret-0123456789"
    look = (
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; "
        "cat /etc/hostname; ls -la / /root ~ 2>/dev/null; touch done.txt"
    )

    def script(call: Call) -> Answer | FaultPlan:
        if call.turn == 1:
            return FaultPlan("auth", message=f"Incorrect API key provided: {key}") if faults.pop("auth", 0) else look_on
        return shell(look) if call.turn == 0 else Answer("Done.")

    look_on = shell("printenv | sort")
    faults = {"auth": 1}
    with serving(script, keep_bodies=True) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.environment |= {"OPENAI_API_KEY": key, "ANTHROPIC_API_KEY": key, "MY_KEY": key}
        it.write_goal()
        it.goal.write_text(it.goal.read_text().replace("    price:", "    key_env: MY_KEY\n    price:"))
        it.run("--record", str(tmp_path / "r.jsonl"), code=0)
        run = it.run_row()["id"]
        again = it.outlay("resume", run, "once more", "--detach")
        assert again.returncode == 0, again.stderr
        until(lambda: it.run_row()["status"] == "ended")
        time.sleep(0.2)
        shown = [it.outlay("show", run, "--events", "--json").stdout, it.outlay("show", "--session", "main").stdout]
        assert all(key not in text for text in shown)
        assert all(key not in record["body"] for record in server.records)
        with it.ledger() as ledger:
            assert all(key.encode() not in (event.payload or b"") for event in ledger.events())
        for path in tmp_path.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert key.encode() not in path.read_bytes(), path
