"""Other agents, the real ones, as agents of the service: they read the folder or work in a clone, are steered,
cancelled and killed as ours are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_lab import AgentLab, lab

from modelserver import Answer, Call, Tool
from pinned_programs import needs_npm, program
from project import until

pytestmark = [pytest.mark.slow, needs_npm]
SECONDS = "400"
"""Longest wait for a program to get on."""


def bash(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "do it"})


@contextmanager
def claude(folder: Path, script: Callable[[Call], Answer]) -> Iterator[AgentLab]:
    with driven(folder, script, "claude", "claude-code:sonnet", "anthropic") as it:
        yield it


@contextmanager
def driven(folder: Path, script: Callable[[Call], Answer], tool: str, model: str, wire: str) -> Iterator[AgentLab]:
    """A lab whose default model is another agent, which lies on the PATH."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / tool).symlink_to(program(tool))
    with lab(folder, script, wire=wire, model=model) as it:
        it.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
        (it.folder / "hello.txt").write_text("hello\n")
        yield it


def waited(it: AgentLab, name: str, code: int = 0) -> dict[str, Any]:
    (agent,) = it.agent("wait", name, "--timeout", SECONDS, code=code)["agents"]
    found: dict[str, Any] = agent
    return found


def left_over(it: AgentLab) -> list[str]:
    """Programs of this lab that still run, by their command."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if str(it.home) in command:
                found.append(command)
    return found


def test_claude_code_reads_the_folder_as_it_is_and_cannot_write_into_it(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        steps = (
            Tool("Read", {"file_path": "/workspace/hello.txt"}),
            Tool("Write", {"file_path": "/workspace/new.txt", "content": "x"}),
        )
        if call.turn < len(steps):
            return Answer("I look.", (steps[call.turn],))
        return Answer(" / ".join(result.content for message in call.messages for result in message.results)[:2000])

    with claude(tmp_path, said) as it:
        it.start("eye", "what does hello.txt say?", "--role", "scout")
        agent = waited(it, "eye")
        assert (agent["status"], agent["turns"], agent["changed_files"]) == ("done", 3, None)
        assert agent["cost_pico"] > 0 and agent["dialog_tokens"] > 0
        answer = it.agent("result", "eye")["result"]["answer"]
        assert "hello" in answer and not (it.folder / "new.txt").exists()
        assert it.is_whole()


def test_claude_code_is_told_something_cut_by_kill_9_resumed_and_its_work_is_delivered(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if b"AND AGAIN" in call.body:
            copied = "more.txt" in str(call.messages[-2:])
            return Answer("Both.") if copied else Answer("", (bash("cp a.txt more.txt"),))
        if b"THAT IS ENOUGH" in call.body:
            return Answer("Stopped as told.")
        return Answer("", (bash(f"echo {call.n} > a.txt; sleep 0.5"),))

    with claude(tmp_path, said) as it:
        it.start("hand", "write", "--role", "worker")
        until(lambda: it.status("hand")["turns"] > 1, 300)
        turns = it.status("hand")["turns"]
        it.kill("keeper", "worker")
        until(lambda: it.status("hand")["turns"] > turns, 300)
        it.agent("send", "hand", "THAT IS ENOUGH")
        agent = waited(it, "hand")
        assert (agent["status"], agent["changed_files"]) == ("done", 1)
        assert it.agent("result", "hand")["result"]["answer"] == "Stopped as told."
        it.agent("resume", "hand", "AND AGAIN")
        assert waited(it, "hand")["resumed"] == 1
        assert it.agent("deliver", "hand")["files"] == 2
        assert (it.folder / "more.txt").read_text() == (it.folder / "a.txt").read_text()
        assert it.agent("search", "hand", "THAT IS ENOUGH", "--kind", "instructions")["matches"]
        assert it.is_whole()


def test_claude_code_is_cancelled_and_leaves_no_process(tmp_path: Path) -> None:
    with claude(tmp_path, lambda call: Answer("", (bash("sleep 300"),))) as it:
        it.start("long", "sleep", "--role", "worker")
        until(lambda: it.status("long")["doing"] == "Bash", 300)
        until(lambda: left_over(it))
        assert it.agent("cancel", "long")["agents"][0]["status"] == "cancelled"
        assert it.agent("result", "long", code=4)["result"]["reason"] == "cancelled"
        it.kill("keeper", "worker")
        until(lambda: not left_over(it))


def test_codex_reads_the_folder_as_it_is_after_its_worker_was_killed(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if call.turn < 3:
            command = "cat hello.txt; echo x > new.txt || echo READ ONLY; sleep 0.5"
            return Answer("I look.", (Tool("exec_command", {"cmd": command}),))
        return Answer(" / ".join(result.content for message in call.messages for result in message.results)[:2000])

    with driven(tmp_path, said, "codex", "codex:gpt-5.2-codex", "openai") as it:
        it.start("eye", "what does hello.txt say?", "--role", "tester", "--limit", "turns=20")
        it.start("seer", "what does hello.txt say?", "--role", "reviewer", "--limit", "turns=20")
        until(lambda: it.status("seer")["turns"], 300)
        it.kill("worker")
        for name in ("eye", "seer"):
            agent = waited(it, name)
            assert agent["status"] == "done" and agent["cost_pico"] > 0 and agent["turns"] >= 4
        answer = it.agent("result", "seer")["result"]["answer"]
        assert "hello" in answer and "Read-only file system" in answer
        assert not (it.folder / "new.txt").exists()
        assert it.is_whole()
