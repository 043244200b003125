"""OpenCode, the real one, driven through its server."""

from __future__ import annotations

from collections import Counter

import pytest
from driver_lab import ALL, Lab, drive

from modelserver.script import Answer, Call, Tool
from outlay.drivers.opencode import DRIVER
from outlay.drivers.types import (
    ChildEnded,
    ChildStarted,
    PermissionAsked,
    Started,
    ToolDone,
    TurnEnded,
    UsageReported,
)
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
SPEC = "openai-chat:scripted-large"
LONG = Answer("word " * 4000, chunks=400, chunk_delay_s=1)


def shell(command: str) -> Tool:
    return Tool("bash", {"command": command, "description": "work"})


def spawn(task: str) -> Tool:
    return Tool("task", {"description": "copy", "prompt": task, "subagent_type": "general"})


def test_a_turn_is_interrupted_in_mid_stream_and_the_conversation_goes_on_after_a_kill(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        return LONG if call.n == 1 else Answer("Went on.")

    async def work(lab: Lab) -> None:
        async with lab.agent() as agent:
            await agent.conversation.send("Talk")
            await agent.until(lambda: lab.server.records)
            await agent.conversation.interrupt()
            await agent.until(lambda: agent.of(TurnEnded))
            assert agent.of(TurnEnded)[0].status == "interrupted"
            native = agent.of(Started)[0].native
        async with lab.agent(native=native) as agent:
            ended = await agent.turn("go on")
            assert (ended.status, ended.answer) == ("done", "Went on.")
            assert agent.of(Started)[0].native == native
        cut, whole = lab.calls()
        assert (cut.status != "ok", whole.status) == (True, "ok")

    drive(tmp_path, monkeypatch, script, DRIVER, "opencode", SPEC, work)


def test_what_its_role_may_not_do_is_refused_with_a_reason_to_its_children_too(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        if "SUBTASK" in call.task:
            return Answer("The child gave up.", tools=(shell("touch child.txt"),) * (call.turn == 0))
        steps = [shell("touch made.txt"), spawn("SUBTASK: make it")]
        return Answer("A step.", tools=(steps[call.turn],)) if call.turn < len(steps) else Answer("All done.")

    async def work(lab: Lab) -> None:
        async with lab.agent(tools=tuple(tool for tool in ALL if tool != "shell")) as agent:
            ended = await agent.turn("Make made.txt")
            assert (ended.status, ended.answer) == ("done", "All done.")
            assert [path.name for path in lab.work.iterdir()] == ["hello.txt"]
            assert agent.of(Started)[0].version == "1.18.33"
            (started,) = agent.of(ChildStarted)
            assert (started.kind, started.parent) == ("general", "")
            (over,) = agent.of(ChildEnded)
            assert (over.native, over.status, over.answer) == (started.native, "done", "The child gave up.")
            served, counted = lab.both_counts()
            assert served == counted
            assert served.total() == len(lab.server.records) == 5  # no title among them
            reported = [event.usage for event in agent.of(UsageReported)]
            assert Counter((u.fresh, u.cache_read, 0, u.output) for u in reported) == served
            main, child = agent.of(PermissionAsked)
            assert "may not run commands" in main.denial
            assert (main.child, child.child) == ("", started.native)
            assert [main.denial in done.text for done in agent.of(ToolDone) if done.name == "bash"] == [True, True]

    drive(tmp_path, monkeypatch, script, DRIVER, "opencode", SPEC, work)
