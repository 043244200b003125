"""The real programs, pinned, from npm, against the scripted model server: its count of every call equals ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shared_samples import calls_of, counters, read_home

from modelserver.script import Answer, Call, Tool
from modelserver.server import ModelServer
from outlay.ledger import Ledger
from pinned_programs import environment, needs_npm, program, run

pytestmark = [pytest.mark.slow, needs_npm]


def script(read: Tool, start: Tool | None, offered: Callable[[Call], bool]) -> Callable[[Call], Answer]:
    """The main agent reads a file, starts a subagent that reads it too, and is done. Without tools: a title."""

    def said(call: Call) -> Answer:
        if not offered(call):
            return Answer("A title")
        sub = "SUBTASK" in call.task
        if call.turn == 0:
            return Answer("I look.", tools=(read,), reasoning="First the file.")
        if call.turn == 1 and start is not None and not sub:
            return Answer("Somebody else looks, too.", tools=(start,))
        return Answer("The file says hello." if sub else "Done with it.")

    return said


def drive(tool: str, arguments: list[str], said: Callable[[Path], Callable[[Call], Answer]], folder: Path) -> Any:
    """Run one program; returns (the server's records, its home)."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    (work / "hello.txt").write_text("hello\n")

    async def all_of_it() -> list[dict[str, Any]]:
        async with ModelServer(said(work)) as server:
            await run([str(program(tool)), *arguments], environment(tool, home, server), work)
            return server.records

    return asyncio.run(all_of_it()), home


def served(record: dict[str, Any]) -> tuple[int, int, int, int]:
    u = record["usage"]
    return u["fresh"], u["cache_read"], u["cache_write_5m"] + u["cache_write_1h"], u["output"]


def offers(name: str) -> Callable[[Call], bool]:
    return lambda call: any(tool.get("name") == name for tool in call.tools)


def test_claude_code_and_its_subagent(tmp_path: Path) -> None:
    def said(work: Path) -> Callable[[Call], Answer]:
        start = {"description": "look", "prompt": "SUBTASK: read it", "subagent_type": "general-purpose"}
        return script(Tool("Read", {"file_path": str(work / "hello.txt")}), Tool("Agent", start), offers("Read"))

    arguments = ["-p", "read hello.txt", "--output-format", "json", "--permission-mode", "bypassPermissions"]
    records, home = drive("claude", [*arguments, "--model", "claude-opus-4-5-20251101"], said, tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, home)
        calls = calls_of(ledger)
    assert Counter(map(counters, calls)) == Counter(map(served, records))
    assert {c.quality for c in calls} == {"exact"}
    assert Counter(c.role for c in calls) == {"main": 3, "general-purpose": 2}


def test_codex(tmp_path: Path) -> None:
    def said(work: Path) -> Callable[[Call], Answer]:
        return script(Tool("exec_command", {"cmd": "cat hello.txt"}), None, offers("exec_command"))

    arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json"]
    records, home = drive("codex", [*arguments, "read hello.txt"], said, tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, home)
        calls = calls_of(ledger)
    assert Counter(map(counters, calls)) == Counter(map(served, records))
    assert [c.tools for c in calls] == ["exec_command", ""]


def test_opencode_and_its_subagent_but_for_the_title_that_it_does_not_write_down(tmp_path: Path) -> None:
    def said(work: Path) -> Callable[[Call], Answer]:
        start = {"description": "look", "prompt": "SUBTASK: read it", "subagent_type": "general"}
        return script(Tool("read", {"filePath": str(work / "hello.txt")}), Tool("task", start), offers("read"))

    records, home = drive("opencode", ["run", "read hello.txt"], said, tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, home)
        calls = calls_of(ledger)
    shown = [record for record in records if record["usage"]["output"] != 2]  # a title is two tokens here
    assert len(shown) == len(records) - 1
    assert Counter(map(counters, calls)) == Counter(map(served, shown))
    assert Counter(c.role for c in calls) == {"build": 3, "general": 2}
