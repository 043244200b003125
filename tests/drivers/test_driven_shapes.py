"""Conducted shapes whose members are other agents: the real Claude Code as developer and as a council's member."""

from __future__ import annotations

from pathlib import Path

import pytest
from driven_project import DrivenProject, with_project

from modelserver.script import Answer, Call, Tool
from pinned_programs import needs_npm
from project import PRICE

pytestmark = [pytest.mark.slow, needs_npm]


def bash(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "do it"})


def write(project: DrivenProject, team: str) -> None:
    own = f"anthropic:scripted-large@{project.server.base_url('anthropic')}"
    models = f"  own: {{spec: '{own}', price: {PRICE}}}\n  claude: {{spec: '{project.model}', price: {PRICE}}}\n"
    check = "checks: [{name: done, command: test -f done.txt}]\n"
    project.goal.write_text(
        f"---\nmodels:\n{models}team: {team}\n{check}workspace: {{path: workspace}}\n---\nMAKE IT\n"
    )


def test_claude_code_builds_what_others_plan_and_review(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if "Plan how to" in call.task:
            return Answer("Touch done.txt.")
        if "Review the work" in call.task:
            return Answer("ACCEPT")
        return Answer("On it.", tools=(bash("touch done.txt"),)) if call.turn == 0 else Answer("Built.")

    async def work(project: DrivenProject) -> None:
        write(
            project,
            "{shape: pipeline, roles: {architect: {model: own}, developer: {model: claude}, reviewer: {model: own}}}",
        )
        await project.run_here()
        assert {name: row["status"] for name, row in project.sessions().items()} == {
            "main": "done", "main/architect": "done", "main/developer-1": "done", "main/reviewer-1": "done",
        }  # fmt: skip
        assert project.calls_equal_the_servers()
        assert project.chain_is_whole()

    with_project(tmp_path, ("claude",), said, work)


def test_claude_code_sits_on_a_council_and_speaks_again(tmp_path: Path) -> None:
    def said(call: Call) -> Answer:
        if "You chair" in call.task:
            return Answer("", (Tool("shell", {"command": "touch done.txt"}),)) if call.turn == 0 else Answer("Decided.")
        return Answer(f"round {call.turn + 1}")

    async def work(project: DrivenProject) -> None:
        write(project, "{shape: council, roles: {a: {model: claude}, b: {model: own}, chair: {model: own}}}")
        await project.run_here()
        chair = next(call for call in project.events("message.added") if call.stream.endswith("main/chair"))
        assert (chair.payload or b"").count(b"round 2") == 2
        assert {name: row["turns"] for name, row in project.sessions().items()}["main/a"] == 2

    with_project(tmp_path, ("claude",), said, work)
