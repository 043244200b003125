"""An agent that speaks ACP: Gemini CLI's own adapter, driven through the protocol."""

from __future__ import annotations

import pytest
from driver_lab import ALL, Lab, drive

from modelserver.script import Answer, Call, Tool
from outlay.drivers.acp import DRIVER, provider_of
from outlay.drivers.types import Failed, PermissionAsked, Started, ToolDone, TurnEnded
from outlay.errors import EnvironmentProblem
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
SPEC = "google:gemini-2.5-pro"
ARGUMENTS = ("--acp", "-m", "gemini-2.5-pro", "--skip-trust")
LONG = Answer("word " * 4000, chunks=400, chunk_delay_s=1)


def shell(command: str) -> Tool:
    return Tool("run_shell_command", {"command": command, "description": "work"})


def test_it_works_with_files_and_commands_and_every_call_is_counted(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        made = Tool("write_file", {"file_path": "/workspace/made.txt", "content": "hello\n"})
        steps = [Tool("read_file", {"file_path": "/workspace/hello.txt"}), made, shell("cp made.txt copy.txt")]
        return Answer("A step.", tools=(steps[call.turn],)) if call.turn < len(steps) else Answer("All done.")

    async def work(lab: Lab) -> None:
        async with lab.agent() as agent:
            ended = await agent.turn("Copy hello.txt")
            assert (ended.status, ended.answer) == ("done", "All done.")
            assert (lab.work / "copy.txt").read_text() == "hello\n"
            assert agent.of(Started)[0].version == "0.61.0"
            assert [asked.denial for asked in agent.of(PermissionAsked)] == ["", ""]
            assert [done.is_error for done in agent.of(ToolDone)] == [False, False, False]
            served, counted = lab.both_counts()
            assert served == counted
            assert served.total() == len(lab.server.records)
        assert not agent.of(Failed)

    drive(tmp_path, monkeypatch, script, DRIVER, "gemini", SPEC, work, arguments=ARGUMENTS)


def test_a_refusal_a_cancelled_turn_and_a_limit(tmp_path, monkeypatch) -> None:
    def script(call: Call) -> Answer:
        if call.n == 1:
            return Answer("A step.", tools=(shell("touch made.txt"),))
        return LONG if call.n == 3 else Answer(f"Answer {call.n}.")

    async def work(lab: Lab) -> None:
        async with lab.agent(tools=tuple(tool for tool in ALL if tool != "shell")) as agent:
            ended = await agent.turn("Make made.txt")
            assert (ended.status, ended.answer) == ("done", "Answer 2.")
            assert [path.name for path in lab.work.iterdir()] == ["hello.txt"]
            assert "may not run commands" in agent.of(PermissionAsked)[0].denial
            await agent.conversation.send("Talk")
            await agent.until(lambda: len(lab.server.records) == 3)
            await agent.conversation.interrupt()
            await agent.until(lambda: len(agent.of(TurnEnded)) == 2)
            assert agent.of(TurnEnded)[1].status == "interrupted"
            assert (await agent.turn("more")).answer == "Answer 4."
            ended = await agent.turn("and more")
            assert ended.status == "failed"
            assert "limit" in ended.reason
            assert len(lab.server.records) == 4

    drive(tmp_path, monkeypatch, script, DRIVER, "gemini", SPEC, work, limits=("turns=3",), arguments=ARGUMENTS)


def test_a_program_that_does_not_speak_it_is_named_with_what_it_said(tmp_path, monkeypatch) -> None:
    async def work(lab: Lab) -> None:
        with pytest.raises(EnvironmentProblem, match=r"(?s)does not speak ACP here: .*Show help"):
            async with lab.agent():
                pass

    arguments = ("--no-such-option",)
    drive(tmp_path, monkeypatch, lambda call: Answer("no"), DRIVER, "gemini", SPEC, work, arguments=arguments)


def test_where_its_calls_go_follows_from_its_name() -> None:
    assert provider_of("gemini --acp") == "google"
    assert provider_of("/opt/claude-agent-acp") == "anthropic"
    assert provider_of("goose acp") == "openai-chat"
