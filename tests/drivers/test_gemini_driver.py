"""Gemini CLI, the real one, driven through stream-json."""

from __future__ import annotations

import pytest
from driver_lab import ALL, Lab, drive

from modelserver.script import Answer, Call, Tool
from outlay.drivers.gemini import DRIVER
from outlay.drivers.types import (
    ChildEnded,
    ChildStarted,
    Failed,
    Started,
    ToolAsked,
    ToolDone,
    TurnEnded,
    UsageReported,
)
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
SPEC = "google:gemini-2.5-pro"
LONG = Answer("word " * 4000, chunks=400, chunk_delay_s=1)
DONE = Tool("complete_task", {"result": {"response": "The child did it."}})


def shell(command: str) -> Tool:
    return Tool("run_shell_command", {"command": command, "description": "work"})


def spawn(task: str) -> Tool:
    return Tool("invoke_agent", {"agent_name": "generalist", "prompt": task})


def is_child(call: Call) -> bool:
    return any(tool["name"] == "complete_task" for tool in call.tools)


def test_it_works_with_files_and_commands_and_a_subagent_and_every_call_is_counted(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        if is_child(call):
            return Answer("Now.", tools=(shell("cp made.txt child.txt") if call.turn == 0 else DONE,))
        made = Tool("write_file", {"file_path": "/workspace/made.txt", "content": "hello\n"})
        steps = [Tool("read_file", {"file_path": "/workspace/hello.txt"}), made, spawn("SUBTASK: copy it")]
        return Answer("A step.", tools=(steps[call.turn],)) if call.turn < len(steps) else Answer("All done.")

    async def work(lab: Lab) -> None:
        async with lab.agent() as agent:
            ended = await agent.turn("Copy hello.txt")
            assert (ended.status, ended.answer) == ("done", "All done.")
            assert (lab.work / "child.txt").read_text() == "hello\n"
            assert agent.of(Started)[0].version == "0.61.0"
            (child,) = agent.of(ChildStarted)
            assert (child.kind, child.task) == ("generalist", "SUBTASK: copy it")
            assert [(over.native, over.status) for over in agent.of(ChildEnded)] == [(child.native, "done")]
            assert [asked.name for asked in agent.of(ToolAsked)] == ["read_file", "write_file", "invoke_agent"]
            assert not any(done.is_error for done in agent.of(ToolDone))
            served, counted = lab.both_counts()
            assert served == counted
            assert served.total() == len(lab.server.records) == 6
            reported = agent.of(UsageReported)
            assert sum(event.usage.gross for event in reported) == sum(sum(key) for key in served.elements())
            assert lab.sessions() == ["main", f"main/{child.native[-8:]}"]
        assert not agent.of(Failed)

    drive(tmp_path, monkeypatch, script, DRIVER, "gemini", SPEC, work)


def test_a_turn_is_interrupted_in_mid_stream_and_the_conversation_goes_on_after_a_kill(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        return LONG if call.n == 2 else Answer(f"Answer {call.turn}.")

    async def work(lab: Lab) -> None:
        async with lab.agent() as agent:
            assert (await agent.turn("First")).answer == "Answer 0."
            await agent.conversation.send("Talk")
            await agent.until(lambda: len(lab.server.records) == 2)
            await agent.conversation.interrupt()
            await agent.until(lambda: len(agent.of(TurnEnded)) == 2)
            assert agent.of(TurnEnded)[1].status == "interrupted"
            native = agent.of(Started)[0].native
        async with lab.agent(native=native) as agent:
            ended = await agent.turn("go on")
            assert (ended.status, ended.answer) == ("done", "Answer 1.")
        first, cut, whole = lab.calls()
        assert (first.status, cut.status != "ok", whole.status) == ("ok", True, "ok")

    drive(tmp_path, monkeypatch, script, DRIVER, "gemini", SPEC, work)


def test_what_its_role_may_not_do_is_not_there_for_its_children_neither(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        if is_child(call):
            return Answer("Now.", tools=(shell("touch child.txt") if call.turn == 0 else DONE,))
        steps = [shell("touch made.txt"), spawn("SUBTASK: make it")]
        return Answer("A step.", tools=(steps[call.turn],)) if call.turn < len(steps) else Answer("All done.")

    async def work(lab: Lab) -> None:
        async with lab.agent(tools=tuple(tool for tool in ALL if tool != "shell")) as agent:
            ended = await agent.turn("Make made.txt")
            assert (ended.status, ended.answer) == ("done", "All done.")
            assert [path.name for path in lab.work.iterdir()] == ["hello.txt"]
            refused, _ = agent.of(ToolDone)
            assert refused.is_error and "not found" in refused.text

    drive(tmp_path, monkeypatch, script, DRIVER, "gemini", SPEC, work)
