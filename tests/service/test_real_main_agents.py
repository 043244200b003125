"""Claude Code, Codex and OpenCode as main agents: subagents do the work, by MCP tools and by the skill's commands."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_lab import AgentLab

from modelserver import Answer, Call, Tool
from modelserver.server import ModelServer
from pinned_programs import environment, needs_npm, program, run

pytestmark = [pytest.mark.slow, needs_npm]
TASK = "SUBTASK: which word stands in hello.txt?"


def played(*steps: Tool):
    """The main agent asks one subagent by MCP, loads the skill, asks another by its command, and is done.

    Heard: whether it was offered the skill, then what its tools gave it.
    """
    shell = steps[-1]
    heard: list[str] = []

    def said(call: Call) -> Answer:
        if "SUBTASK" in call.task and not any(tool.get("name") == shell.name for tool in call.tools):
            return Answer("The word is hello.") if call.turn else Answer("", (Tool("read", {"path": "hello.txt"}),))
        if not any(tool.get("name") == shell.name for tool in call.tools):
            return Answer("A title")
        if not call.turn:
            heard.append("offered" if b"outlay-subagents" in call.body else "not offered")
        heard.extend(result.content for result in call.results)
        return Answer("", (steps[call.turn],)) if call.turn < len(steps) else Answer("All done.")

    return said, heard


def drive(tool: str, arguments: list[str], steps: tuple[Tool, ...], folder: Path) -> tuple[list[str], Any]:
    """What the main agent's tools gave it, and how its agents stand."""
    said, heard = played(*steps)

    async def all_of_it() -> Any:
        async with ModelServer(said) as server:
            it = AgentLab(folder, server.base_url("openai"))
            try:
                (it.folder / "hello.txt").write_text("hello\n")
                assert it.run("skill", "install", "--for", tool, "--project").returncode == 0
                home = folder / "home"
                home.mkdir()
                env = environment(tool, home, server)
                ours = ("OUTLAY_HOME", "XDG_CONFIG_HOME", "OUTLAY_AGENT_IDLE_S")
                mcp = {key: str(it.environment[key]) for key in ours}
                configure(tool, home, it.folder, mcp)
                await run([str(program(tool)), *arguments], env, it.folder)
                return await asyncio.to_thread(it.agent, "status")
            finally:
                it.end()

    return heard, asyncio.run(all_of_it())["agents"]


def configure(tool: str, home: Path, work: Path, ours: dict[str, str]) -> None:
    """Give the program our MCP server."""
    command = [sys.executable, "-m", "outlay", "mcp"]
    if tool == "codex":
        given = ", ".join(f"{key} = {json.dumps(value)}" for key, value in ours.items())
        with (home / ".codex" / "config.toml").open("a") as config:
            config.write(
                f"[mcp_servers.outlay]\ncommand = {json.dumps(command[0])}\nargs = {json.dumps(command[1:])}\n"
                f"env = {{ {given} }}\nstartup_timeout_sec = 60\nrequired = true\n"
            )
        return
    if tool == "claude":
        server = {"command": command[0], "args": command[1:], "env": ours}
        (home / "mcp.json").write_text(json.dumps({"mcpServers": {"outlay": server}}))
        return
    file = home / ".config" / "opencode" / "opencode.json"
    settings = json.loads(file.read_text())
    settings["mcp"] = {"outlay": {"type": "local", "command": command, "environment": ours, "enabled": True}}
    file.write_text(json.dumps(settings))


def by_shell(folder: Path) -> str:
    """The skill's command as the main agent runs it."""
    settings = {
        "OUTLAY_HOME": folder / "state",
        "XDG_CONFIG_HOME": folder / "config",
        "OUTLAY_AGENT_IDLE_S": 3,
    }
    words = [f"{key}={shlex.quote(str(value))}" for key, value in settings.items()]
    return " ".join([*words, sys.executable, "-m outlay agent ask --role scout", shlex.quote(TASK)])


def check(heard: list[str], agents: Any) -> None:
    offered, by_mcp, *loaded, by_command = heard
    assert offered == "offered"
    assert "The word is hello." in by_mcp and "cost_usd" in by_mcp, by_mcp
    assert all("outlay-subagents" in text for text in loaded), loaded
    assert "The word is hello." in by_command and "scout-2: done, 2 turns" in by_command and "$0." in by_command
    assert [(agent["name"], agent["status"], agent["turns"]) for agent in agents] == [
        ("scout-1", "done", 2),
        ("scout-2", "done", 2),
    ]
    assert all(agent["cost_pico"] > 0 for agent in agents)


def test_claude_code_has_its_work_done_by_our_subagents(tmp_path: Path) -> None:
    steps = (
        Tool("mcp__outlay__ask", {"prompt": TASK, "role": "scout"}),
        Tool("Skill", {"skill": "outlay-subagents"}),
        Tool("Bash", {"command": by_shell(tmp_path), "description": "ask a subagent"}),
    )
    arguments = ["-p", "find out", "--output-format", "json", "--permission-mode", "bypassPermissions"]
    arguments += ["--model", "claude-opus-4-5-20251101", "--mcp-config", str(tmp_path / "home" / "mcp.json")]
    check(*drive("claude", arguments, steps, tmp_path))


def test_opencode_has_its_work_done_by_our_subagents(tmp_path: Path) -> None:
    # OpenCode fetches ripgrep before it loads a skill, so without a network it is only seen to offer ours.
    steps = (
        Tool("outlay_ask", {"prompt": TASK, "role": "scout"}),
        Tool("bash", {"command": by_shell(tmp_path), "description": "ask a subagent"}),
    )
    check(*drive("opencode", ["run", "find out"], steps, tmp_path))


def test_codex_has_its_work_done_by_our_subagents(tmp_path: Path) -> None:
    steps = (
        Tool("ask", {"prompt": TASK, "role": "scout"}, namespace="mcp__outlay"),
        Tool("exec_command", {"cmd": by_shell(tmp_path), "yield_time_ms": 30_000}),
    )
    arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json", "find out"]
    check(*drive("codex", arguments, steps, tmp_path))
