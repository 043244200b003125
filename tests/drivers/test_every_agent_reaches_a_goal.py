"""The real Codex, OpenCode and Gemini CLI each reach a goal through the command line: commands, a subagent, a check
that fails once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from driven_project import ALL, DrivenProject, counted, served, with_project

from modelserver.script import Answer, Call, Tool
from pinned_programs import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]
Steps = tuple[Callable[[str], Tool], Tool, Callable[[Call], bool]]
"""How it runs a command, how it starts a subagent, and which calls are the subagent's."""

CODEX: Steps = (
    lambda command: Tool("exec_command", {"cmd": command}),
    Tool("spawn_agent", {"message": "SUBTASK"}, namespace="multi_agent_v1"),
    lambda call: all(tool["name"] != "multi_agent_v1" for tool in call.tools),
)
OPENCODE: Steps = (
    lambda command: Tool("bash", {"command": command, "description": "work"}),
    Tool("task", {"description": "copy", "prompt": "SUBTASK", "subagent_type": "general"}),
    lambda call: "SUBTASK" in call.task,
)
GEMINI: Steps = (
    lambda command: Tool("run_shell_command", {"command": command, "description": "work"}),
    Tool("invoke_agent", {"agent_name": "generalist", "prompt": "SUBTASK"}),
    lambda call: any(tool["name"] == "complete_task" for tool in call.tools),
)


@pytest.mark.parametrize(
    ("program", "model", "wire", "steps"),
    [
        ("codex", "codex:gpt-5.2-codex", "openai", CODEX),
        ("opencode", "opencode:m1", "openai", OPENCODE),
        ("gemini", "gemini-cli:gemini-2.5-pro", "google", GEMINI),
    ],
)
def test_it_reaches_a_goal_with_a_subagent(tmp_path: Path, program: str, model: str, wire: str, steps: Steps) -> None:
    shell, start, is_child = steps

    def said(call: Call) -> Answer:
        if is_child(call):
            if call.turn == 0:
                return Answer("I do.", tools=(shell("echo sub > sub.txt"),))
            done = Tool("complete_task", {"result": {"response": "Done."}})
            return Answer("Sub done.", tools=(done,) if program == "gemini" else ())
        waiting = "until test -s sub.txt; do sleep 0.1; done"
        return (
            Answer("A subagent.", tools=(start,)),
            Answer("Wait for it.", tools=(shell(waiting),)),
            Answer("I think that is all."),
            Answer("The check says no.", tools=(shell("cat sub.txt > done.txt"),)),
            Answer("Now it is done."),
        )[min(call.turn, 4)]

    async def work(project: DrivenProject) -> None:
        spec = f"{model}@{project.server.base_url(wire)}"
        roles = [f"{{name: main, model: main, tools: {ALL}}}"]
        project.write({"main": spec}, roles, check="grep sub done.txt")
        await project.run_here()
        whole = Counter(served(record) for record in project.server.records if record["outcome"] == "whole")
        answered = Counter(counted(call) for call in project.calls() if call.status == "ok")
        assert not answered - whole
        # Codex works beside its subagent and may end while that is being answered.
        assert (whole - answered).total() <= (program == "codex")
        assert len(project.calls()) >= len(project.server.records)
        main, child = project.sessions().values()
        assert (main["name"], main["status"]) == ("main", "done")
        assert child["parent"] == main["id"]
        assert child["status"] in ("done", "cancelled")
        assert len(project.events("agent.started")) == 1
        assert project.chain_is_whole()

    with_project(tmp_path, (program,), said, work)
