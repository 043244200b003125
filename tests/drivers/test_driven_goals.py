"""The real Claude Code works on goals: alone, cancelled, out of budget, hanging, killed, at the head of a team."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from driven_project import ALL, DrivenProject, until, with_project

from modelserver.script import Answer, Call, Tool
from outlay.ledger import Ledger
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
MAIN = f"{{name: main, model: main, tools: {ALL}}}"


def bash(command: str, **more: Any) -> Tool:
    return Tool("Bash", {"command": command, "description": "do it"} | more)


def shell_only(project: DrivenProject, *, check: str = "test -f done.txt", more: str = "") -> None:
    project.write({"main": project.model}, [MAIN], check=check, more=more)


def test_it_reaches_a_goal_with_files_shell_and_a_subagent_and_every_call_is_counted(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if "SUBTASK" in call.task:
            return Answer("I do.", tools=(bash("echo sub > sub.txt"),)) if call.turn == 0 else Answer("Sub done.")
        start = {"description": "part", "prompt": "SUBTASK: do it", "subagent_type": "general-purpose"}
        return (
            Answer("First a file.", tools=(Tool("Write", {"file_path": "/workspace/a.txt", "content": "a"}),)),
            Answer("Then a subagent.", tools=(Tool("Agent", start),)),
            Answer("I think that is all."),
            Answer("The check says no.", tools=(bash("cat a.txt > done.txt; ls / ; env"),)),
            Answer("Now it is done."),
        )[min(call.turn, 4)]

    async def work(project: DrivenProject) -> None:
        shell_only(project, check="grep a done.txt && grep sub sub.txt")
        await project.run_here()
        assert (project.workspace / "done.txt").read_text() == "a"
        assert project.calls_equal_the_servers()
        sessions = project.sessions()
        assert {name: (row["role"], row["status"], row["turns"]) for name, row in sessions.items()} == {
            "main": ("main", "done", 5), "main/general-purpose": ("general-purpose", "done", 2),
        }  # fmt: skip
        assert {call.quality for call in project.calls()} == {"exact"}
        started = project.events("agent.started")[0].head
        assert (started["agent"], started["version"]) == ("claude-code", "2.1.329")
        bashes = [event for event in project.events("tool.result") if event.head["name"] == "Bash"]
        assert [event.stream.rpartition(":")[2] for event in bashes] == ["main/general-purpose", "main"]
        assert b"ANTHROPIC_BASE_URL=http://127.0.0.1:8484/s/" in bashes[1].payload
        assert project.chain_is_whole()

    with_project(tmp_path, ("claude",), said, work)


def test_cancelled_in_mid_stream_it_ends_and_what_had_come_is_counted(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        return Answer("word " * 2000, chunks=2000, chunk_delay_s=0.2)

    async def work(project: DrivenProject) -> None:
        shell_only(project)
        run = project.start("run", str(project.goal), "--plain")
        await until(lambda: project.server.records)
        await until(lambda: project.home.joinpath("ledger.db").exists() and project.events("call.intent"))
        done = await project.outlay_here("cancel", project.run_row()["id"])
        assert done.returncode == 0, done.stderr
        await until(lambda: run.poll() is not None)
        assert run.returncode == 4
        (call,) = project.calls()
        assert call.status == "cut"
        assert call.quality in ("lower_bound", "unmeasured")
        assert project.sessions()["main"]["status"] == "cancelled"
        assert project.chain_is_whole()

    with_project(tmp_path, ("claude",), said, work)


def test_a_budget_that_is_reached_ends_it_within_one_call(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        return Answer("More.", tools=(bash(f"echo {call.turn} >> log.txt"),))

    async def work(project: DrivenProject) -> None:
        shell_only(project, more="limits: {turns: 3}\n")
        done = await project.run_here(code=3)
        assert "limit" in done.stdout
        assert len(project.server.records) == len(project.calls()) == 3
        assert project.sessions()["main"]["status"] == "stopped"

    with_project(tmp_path, ("claude",), said, work)


def test_an_agent_that_hangs_is_ended(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        return Answer("I wait.", tools=(bash("sleep 500", timeout=600_000),))

    async def work(project: DrivenProject) -> None:
        shell_only(project)
        project.environment["OUTLAY_SILENCE_S"] = "3"
        done = await project.run_here(code=1)
        assert "no sign of life for 3 s" in done.stdout
        assert project.sessions()["main"]["status"] == "timed_out"

    with_project(tmp_path, ("claude",), said, work)


def test_a_breaker_warns_it_while_it_works_and_it_reads_that_in_the_same_turn(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if "Breaker same" in call.last:
            warned.append(call.turn)
        if warned or call.turn > 20:
            done = bash("touch done.txt")
            return Answer("Another way.", tools=(done,)) if warned[-1:] == [call.turn] else Answer("Done.")
        return Answer("Again.", tools=(bash("cat nothing.txt"),))

    warned: list[int] = []

    async def work(project: DrivenProject) -> None:
        shell_only(project)
        await project.run_here()
        assert warned
        assert project.events("breaker.tripped")
        assert len(project.events("agent.turn")) == 1

    with_project(tmp_path, ("claude",), said, work)


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if call.turn == 0:
            return Answer("First half.", tools=(bash("echo one > one.txt"),))
        if "interrupted" in call.last:
            return Answer("Second half.", tools=(bash("cat one.txt > done.txt; echo two >> done.txt"),))
        if (folder / "killed").exists():
            return Answer("Done.")
        return Answer("I dawdle. " * 500, chunks=500, chunk_delay_s=0.5)

    folder = tmp_path

    async def work(project: DrivenProject) -> None:
        shell_only(project, check="grep two done.txt && grep one done.txt")
        run = project.start("run", str(project.goal), "--plain")
        await until(lambda: len(project.server.records) == 2)
        await until(lambda: len(project.events("call.intent")) == 2)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        (folder / "killed").touch()
        done = await project.outlay_here("resume", project.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        natives = {event.head["native"] for event in project.events("agent.started")}
        assert len(natives) == 1
        assert [call.status for call in project.calls()].count("lost") == 1
        assert project.chain_is_whole()

    with_project(tmp_path, ("claude",), said, work)


def test_claude_code_leads_codex_and_our_own_loop(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if call.model == "gpt-5.2-codex":
            step = Tool("exec_command", {"cmd": "echo code > code.txt"})
            return Answer("I code.", tools=(step,)) if call.turn == 0 else Answer("Coded.")
        if call.model == "small":
            write = Tool("write", {"path": "prose.txt", "content": "prose"})
            return Answer("I write.", tools=(write,)) if call.turn == 0 else Answer("Written.")
        agents = [
            {"name": "c", "role": "coder", "task": "CODE PART"},
            {"name": "w", "role": "writer", "task": "PROSE PART"},
        ]
        return (
            Answer("Both at once.", tools=(Tool("mcp__outlay__start", {"agents": agents, "wait": True}),)),
            Answer("Together.", tools=(bash("cat code.txt prose.txt > done.txt"),)),
            Answer("All is there."),
        )[min(call.turn, 2)]

    async def work(project: DrivenProject) -> None:
        server = project.server
        models = {
            "lead": f"claude-code:claude-lead@{server.base_url('anthropic')}",
            "coder": f"codex:gpt-5.2-codex@{server.base_url('openai')}",
            "local": f"openai-chat:small@{server.base_url('openai')}",
        }
        roles = [
            f"{{name: main, model: lead, tools: {ALL}}}",
            "{name: coder, description: codes, model: coder, tools: [read, write, edit, shell]}",
            "{name: writer, description: writes, model: local, tools: [read, write]}",
        ]
        project.write(models, roles, check="grep code done.txt && grep prose done.txt")
        await project.run_here()
        sessions = project.sessions()
        assert {name: row["status"] for name, row in sessions.items()} == {
            "main": "done", "main/c": "done", "main/w": "done",
        }  # fmt: skip
        assert project.calls_equal_the_servers()
        merged = {event.head["agent"] for event in project.events("merge")}
        assert merged == {"main/c", "main/w"}
        with Ledger(project.home / "ledger.db") as ledger:
            agents = {event.head["agent"] for event in ledger.events(types=["agent.started"])}
        assert agents == {"claude-code", "codex"}

    with_project(tmp_path, ("claude", "codex"), said, work)


def test_our_own_loop_leads_claude_code_which_asks_and_is_resumed(tmp_path: Path) -> None:
    def lead(call: Call) -> Answer:
        start = {"agents": [{"name": "c", "role": "coder", "task": "WRITE HALF"}], "wait": True}
        return (
            Answer("Start.", tools=(Tool("start", start),)),
            Answer("It asks.", tools=(Tool("send", {"name": "c", "message": "Blue."}),)),
            Answer("Wait.", tools=(Tool("wait", {"names": ["c"]}),)),
            Answer("More.", tools=(Tool("send", {"name": "c", "message": "NOW THE REST"}),)),
            Answer("Wait.", tools=(Tool("wait", {"names": ["c"]}),)),
            Answer("", tools=(Tool("finish", {"answer": "Both halves are there."}),)),
        )[min(call.turn, 5)]

    def said(call: Call) -> Answer:
        if call.model == "small":
            return lead(call)
        return (
            Answer("Which colour?", tools=(Tool("mcp__outlay__ask", {"question": "Which colour?"}),)),
            Answer("Blue then.", tools=(bash("echo blue > half.txt"),)),
            Answer("Half is written."),
            Answer("The rest.", tools=(bash("cat half.txt > done.txt; echo rest >> done.txt"),)),
            Answer("All is written."),
        )[min(call.turn, 4)]

    async def work(project: DrivenProject) -> None:
        server = project.server
        models = {
            "local": f"openai-chat:small@{server.base_url('openai')}",
            "claude": f"claude-code:claude-coder@{server.base_url('anthropic')}",
        }
        roles = [
            "{name: main, model: local, tools: [read, agents]}",
            "{name: coder, description: codes, model: claude, tools: [read, write, shell]}",
        ]
        project.write(models, roles, check="grep blue done.txt && grep rest done.txt")
        await project.run_here()
        row = project.sessions()["main/c"]
        assert (row["status"], row["resumed"]) == ("done", 1)
        assert len({event.head["native"] for event in project.events("agent.started")}) == 1
        assert project.calls_equal_the_servers()
        answers = [event.payload for event in project.events("tool.result") if event.head["name"] == "ask"]
        assert answers == [b"Blue."]

    with_project(tmp_path, ("claude",), said, work)


def test_paused_it_goes_on_in_its_conversation_or_in_a_new_one_when_that_is_gone(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if "earlier attempt" in call.last:
            return Answer("Anew.", tools=(bash("cp one.txt done.txt"),))
        if call.turn == 0:
            return Answer("One.", tools=(bash("echo one > one.txt"),))
        return Answer("Done.") if done else Answer("I dawdle. " * 500, chunks=500, chunk_delay_s=0.5)

    done: list[bool] = []

    async def work(project: DrivenProject) -> None:
        shell_only(project)
        run = project.start("run", str(project.goal), "--plain")
        await until(lambda: len(project.server.records) == 2)
        await until(lambda: len(project.events("call.intent")) == 2)
        run.send_signal(signal.SIGINT)
        await until(lambda: run.poll() is not None)
        assert run.returncode == 5
        assert [call.status for call in project.calls()] == ["ok", "cut"]
        done.append(True)
        row = project.run_row()
        for transcript in (project.home / "runs" / row["id"] / "agents").rglob("*.jsonl"):
            transcript.unlink()
        resumed = await project.outlay_here("resume", row["id"], "--plain")
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert len({event.head["native"] for event in project.events("agent.started")}) == 2
        assert (project.workspace / "done.txt").read_text() == "one\n"

    with_project(tmp_path, ("claude",), said, work)
