"""Codex, the real one, driven through its app-server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driver_lab import Lab, drive

from modelserver.script import Answer, Call, Tool
from outlay.drivers.codex import DRIVER
from outlay.drivers.types import (
    ChildEnded,
    ChildStarted,
    Failed,
    Said,
    Started,
    ToolAsked,
    ToolDone,
    TurnEnded,
    UsageReported,
)
from outlay.errors import InputError
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
SPEC = "openai-responses:scripted-large"
LONG = Answer("word " * 4000, chunks=400, chunk_delay_s=1)


def shell(command: str) -> Tool:
    return Tool("exec_command", {"cmd": command})


def test_it_works_with_files_and_commands_and_a_subagent_and_every_call_is_counted(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        if all(tool["name"] != "multi_agent_v1" for tool in call.tools):
            return Answer("The child did it.", tools=(shell("cat made.txt > child.txt"),) * (call.turn == 0))
        spawn = Tool("spawn_agent", {"message": "SUBTASK: copy it"}, namespace="multi_agent_v1")
        steps = [
            (shell("cat hello.txt > made.txt"),),
            (spawn,),
            (shell("until test -s child.txt; do sleep 0.1; done"),),
        ]
        return Answer("A step.", tools=steps[call.turn]) if call.turn < len(steps) else Answer("All done.")

    async def work(lab: Lab) -> None:
        async with lab.agent() as agent:
            ended = await agent.turn("Copy hello.txt")
            assert (ended.status, ended.answer) == ("done", "All done.")
            assert (lab.work / "child.txt").read_text() == "hello\n"
            (started,) = agent.of(Started)
            assert started.version == "0.169.0"
            (child,) = agent.of(ChildStarted)
            assert child.task == "SUBTASK: copy it"
            (over,) = agent.of(ChildEnded)
            assert (over.native, over.status, over.answer) == (child.native, "done", "The child did it.")
            assert [said.text for said in agent.of(Said) if said.child] == ["The child did it."] * 2
            assert {asked.name for asked in agent.of(ToolAsked)} >= {"exec_command", "spawnAgent"}
            assert not any(done.is_error for done in agent.of(ToolDone))
            served, counted = lab.both_counts()
            assert served == counted
            assert served.total() == len(lab.server.records) >= 6  # one more where the child ends in mid-turn
            reported = [event.usage for event in agent.of(UsageReported)]
            assert sorted(u.output for u in reported) == sorted(key[3] for key in served.elements())
            assert sum(u.gross for u in reported) == sum(sum(key) for key in served.elements())
            assert [name.rpartition("/")[0] for name in lab.sessions()] == ["", "main"]
        assert not agent.of(Failed)

    drive(tmp_path, monkeypatch, script, DRIVER, "codex", SPEC, work)


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

    drive(tmp_path, monkeypatch, script, DRIVER, "codex", SPEC, work)


def test_a_role_that_writes_without_commands_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: Any) -> None:
    async def work(lab: Lab) -> None:
        with pytest.raises(InputError, match="give it `shell`"):
            async with lab.agent(tools=("read", "write")):
                pass

    drive(tmp_path, monkeypatch, lambda call: Answer("no"), DRIVER, "codex", SPEC, work)
