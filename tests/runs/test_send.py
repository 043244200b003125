"""Telling sessions at work something from outside."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from modelserver import Answer, Call, Tool, serving
from project import ALL_TOOLS, Project, until

TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, shell]}}
"""


def shell(command: str) -> Answer:
    return Answer("", (Tool("shell", {"command": command, "timeout_s": 120}),))


class Listener:
    """Works in short steps until it is told to go on."""

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = {}
        self.touched = False

    def __call__(self, call: Call) -> Answer:
        who = "worker" if call.task.startswith("work") else "main"
        words = [text for entry in call.news for text in entry.texts if text != call.task]
        self.told.setdefault(who, []).extend(words)
        if who == "main" and call.turn == 0:
            agents = [{"name": "w", "role": "worker", "task": "work"}]
            return Answer("", (Tool("start", {"agents": agents, "wait": False}),))
        if "go on" not in " ".join(self.told[who]):
            return shell("sleep 0.3")
        if who == "main" and not self.touched:
            self.touched = True
            return shell("touch done.txt")
        return Answer("Done.")


def said(it: Project) -> list[tuple[str, int | None]]:
    return [(e.stream.split(":")[1], e.head.get("mail")) for e in it.events("message.added") if "mail" in e.head]


def start(it: Project) -> tuple[Any, str]:
    process = it.start("run", str(it.goal), "--plain")
    until(lambda: (it.home / "ledger.db").exists() and "main/w" in it.sessions())
    return process, it.run_row()["id"]


def test_a_message_reaches_the_session_it_is_for_before_its_next_turn(tmp_path: Path) -> None:
    model = Listener()
    with serving(model) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, more="limits: {turns: 2000}\n")
        process, run = start(it)
        one = it.outlay("send", f"{run}:w", "worker, go on")
        assert one.returncode == 0 and "main/w reads it before its next turn" in one.stdout, one.stderr
        until(lambda: "worker, go on" in model.told.get("worker", []))
        assert "worker, go on" not in model.told["main"]
        two = it.outlay("send", run, "main, go on", "--json")
        assert json.loads(two.stdout) == {"run": run, "session": "main", "status": "running"}
        process.communicate(timeout=240)
        assert process.returncode == 0 and "main, go on" in model.told["main"]
        assert said(it) == [("main/w", 0), ("main", 1)] and it.chain_is_whole()
        late = it.outlay("send", run, "too late")
        assert late.returncode == 2 and "has ended" in late.stderr and "outlay resume" in late.stderr


def test_wrong_targets_are_named_and_nothing_is_sent(tmp_path: Path) -> None:
    with serving(Listener()) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, more="limits: {turns: 2000}\n")
        process, run = start(it)
        nobody = it.outlay("send", f"{run}:nobody", "hello")
        assert nobody.returncode == 2 and "main/w" in nobody.stderr
        assert it.outlay("send", "zzz", "hello").returncode == 2
        empty = it.outlay("send", run, "  ")
        assert empty.returncode == 2 and "no message" in empty.stderr
        assert not it.events("agent.told")
        it.outlay("cancel", run)
        process.communicate(timeout=240)


def test_a_message_to_a_killed_run_is_read_once_after_its_resume(tmp_path: Path) -> None:
    model = Listener()
    with serving(model) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal(team=TEAM, more="limits: {turns: 2000}\n")
        process, run = start(it)
        it.outlay("send", f"{run}:main/w", "worker, go on")
        until(lambda: said(it))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert it.outlay("send", run, "main, go on").returncode == 0
        done = it.outlay("resume", run, "--plain")
        assert done.returncode == 0, done.stderr
        assert said(it) == [("main/w", 0), ("main", 1)] and model.told["main"].count("main, go on") == 1
        assert it.chain_is_whole()
