"""Codex, OpenCode, Gemini CLI and an ACP agent, the real ones, work on whole goals through the command line."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from driven_project import ALL, DrivenProject, until, with_project

from modelserver.script import Answer, Call, Tool
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
MAIN = f"{{name: main, model: main, tools: {ALL}}}"
SHELLS = {"codex": ("exec_command", "cmd"), "opencode": ("bash", "command"), "gemini": ("run_shell_command", "command")}
SPECS = {
    "codex": "codex:scripted-large@{openai}",
    "opencode": "opencode:scripted-large@{openai}",
    "gemini": "gemini-cli:scripted-large@{google}",
    "acp": "acp:gemini --acp -m scripted-large --skip-trust@{google}",
}
AGENTS = {"codex": "codex", "opencode": "opencode", "gemini": "gemini-cli", "acp": "acp"}


def spec(project: DrivenProject, tool: str) -> str:
    server = project.server
    return SPECS[tool].format(openai=server.base_url("openai"), google=server.base_url("google"))


def shell(tool: str, command: str) -> Tool:
    name, argument = SHELLS[tool]
    return Tool(name, {argument: command, "description": "do it"})


def spawn(tool: str) -> Tool:
    """A subagent of the agent's own."""
    if tool == "codex":
        return Tool("spawn_agent", {"message": "SUBTASK: do it"}, namespace="multi_agent_v1")
    if tool == "opencode":
        return Tool("task", {"description": "part", "prompt": "SUBTASK: do it", "subagent_type": "general"})
    return Tool("invoke_agent", {"agent_name": "generalist", "prompt": "SUBTASK: do it"})


def is_child(tool: str, call: Call) -> bool:
    """Codex says it in a header only, Gemini CLI by a tool with which its subagents end."""
    if tool == "codex":
        return all(offered["name"] != "multi_agent_v1" for offered in call.tools)
    return "SUBTASK" in call.task if tool == "opencode" else any(t["name"] == "complete_task" for t in call.tools)


@pytest.mark.parametrize("tool", ["codex", "opencode", "gemini"])
def test_it_reaches_a_goal_with_files_shell_and_a_subagent_and_every_call_is_counted(tool: str, tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if is_child(tool, call):
            if call.turn == 0:
                return Answer("I do.", tools=(shell(tool, "echo sub > sub.txt"),))
            over = Tool("complete_task", {"result": {"response": "Sub done."}})
            return Answer("Sub done.", tools=(over,) * (tool == "gemini"))
        steps = (shell(tool, "echo a > a.txt"), spawn(tool), shell(tool, "until test -s sub.txt; do sleep 0.1; done"))
        if call.turn < len(steps):
            return Answer("A step.", tools=(steps[call.turn],))
        wanted = b"done.txt" in call.body and not (tmp_path / "asked").exists()
        if wanted:
            (tmp_path / "asked").touch()
        return Answer("Well.", tools=(shell(tool, "cat a.txt sub.txt > done.txt"),) * wanted)

    async def work(project: DrivenProject) -> None:
        project.write({"main": spec(project, tool)}, [MAIN], check="grep a done.txt && grep sub done.txt")
        await project.run_here()
        assert (project.workspace / "done.txt").read_text() == "a\nsub\n"
        assert project.calls_equal_the_servers()
        assert {call.quality for call in project.calls()} == {"exact"}
        (child,) = set(project.sessions()) - {"main"}
        assert child.startswith("main/")
        row = project.sessions()[child]
        assert (row["status"], row["turns"]) == ("done", 2)
        done = [event for event in project.events("tool.result") if event.stream.endswith(child)]
        assert len(done) == (0 if tool == "gemini" else 1)  # Gemini CLI says nothing of what its subagents do
        assert project.chain_is_whole()

    with_project(tmp_path, (tool,), said, work)


def team_tool(tool: str, name: str, **arguments: Any) -> Tool:
    """A tool that Outlay serves, by the name that the agent gives it."""
    if tool == "codex":
        return Tool(name, arguments, namespace="mcp__outlay")
    return Tool(f"outlay_{name}" if tool == "opencode" else f"mcp_outlay_{name}", arguments)


@pytest.mark.parametrize("tool", ["codex", "opencode", "gemini", "acp"])
def test_it_leads_a_session_of_our_own_loop(tool: str, tmp_path: Path) -> None:
    program = "gemini" if tool == "acp" else tool

    def said(call: Call) -> Answer:
        if call.model == "small":
            write = Tool("write", {"path": "prose.txt", "content": "prose"})
            return Answer("I write.", tools=(write,)) if call.turn == 0 else Answer("Written.")
        agents = [{"name": "w", "role": "writer", "task": "PROSE PART"}]
        steps = (team_tool(program, "start", agents=agents, wait=True), shell(program, "cat prose.txt > done.txt"))
        return Answer("A step.", tools=(steps[call.turn],)) if call.turn < 2 else Answer("All is there.")

    async def work(project: DrivenProject) -> None:
        models = {"lead": spec(project, tool), "local": f"openai-chat:small@{project.server.base_url('openai')}"}
        roles = [
            f"{{name: main, model: lead, tools: {ALL}}}",
            "{name: writer, description: writes, model: local, tools: [read, write]}",
        ]
        project.write(models, roles, check="grep prose done.txt")
        await project.run_here()
        assert {name: row["status"] for name, row in project.sessions().items()} == {"main": "done", "main/w": "done"}
        assert project.calls_equal_the_servers()
        assert [event.head["agent"] for event in project.events("merge")] == ["main/w"]
        assert project.events("agent.started")[0].head["agent"] == AGENTS[tool]

    with_project(tmp_path, (program,), said, work)


@pytest.mark.parametrize("tool", ["codex", "opencode", "gemini"])
def test_killed_in_the_middle_it_goes_on_to_its_goal_with_what_its_checks_say(tool: str, tmp_path: Path) -> None:
    resumed = False

    def said(call: Call) -> Answer:
        if call.n == 1:
            return Answer("First half.", tools=(shell(tool, "echo one > one.txt"),))
        if not resumed:
            return Answer("I dawdle. " * 500, chunks=500, chunk_delay_s=0.5)
        if (tmp_path / "asked").exists():
            return Answer("Done.")
        if b"Checks failed" in call.body or b"done.txt" in call.body:
            (tmp_path / "asked").touch()
            return Answer("Second half.", tools=(shell(tool, "cat one.txt > done.txt"),))
        return Answer("I think that is all.")

    async def work(project: DrivenProject) -> None:
        nonlocal resumed
        project.write({"main": spec(project, tool)}, [MAIN], check="grep one done.txt")
        run = project.start("run", str(project.goal), "--plain")
        await until(lambda: len(project.server.records) == 2)
        await until(lambda: len(project.events("call.intent")) == 2)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        resumed = True
        done = await project.outlay_here("resume", project.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stdout + done.stderr
        started = project.events("agent.started")
        assert {(event.head["agent"], event.head["native"]) for event in started} == {
            (AGENTS[tool], started[0].head["native"])
        }
        assert [call.status for call in project.calls()].count("lost") == 1
        assert project.sessions()["main"]["status"] == "done"
        assert project.chain_is_whole()

    with_project(tmp_path, (tool,), said, work)


@pytest.mark.parametrize("tool", ["codex", "opencode", "gemini"])
def test_a_budget_that_is_reached_ends_it_within_one_call_and_a_cancelled_run_in_mid_stream(
    tool: str, tmp_path: Path
) -> None:
    dawdle = False

    def said(call: Call) -> Answer:
        if dawdle:
            return Answer("word " * 2000, chunks=2000, chunk_delay_s=0.2)
        return Answer("More.", tools=(shell(tool, f"echo {call.turn} >> log.txt"),))

    async def work(project: DrivenProject) -> None:
        nonlocal dawdle
        project.write({"main": spec(project, tool)}, [MAIN], check="test -f done.txt", more="limits: {turns: 3}\n")
        done = await project.run_here(code=3)
        assert "limit" in done.stdout
        assert len(project.server.records) == len(project.calls()) == 3
        assert project.calls_equal_the_servers()

        dawdle = True
        run = project.start("run", str(project.goal), "--plain")
        await until(lambda: len(project.server.records) == 4)
        await until(lambda: len(project.events("call.intent")) == 4)
        done = await project.outlay_here("cancel", project.run_row()["id"])
        assert done.returncode == 0, done.stderr
        await asyncio.to_thread(run.wait, 120)
        assert run.returncode == 4
        assert [call.status for call in project.calls()] == ["ok", "ok", "ok", "cut"]

    with_project(tmp_path, (tool,), said, work)
