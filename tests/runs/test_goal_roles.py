"""Teams and roles."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.runs.goal import load
from outlay.runs.goal_types import Goal

CLAUDE_AGENT = """---
name: reviewer
description: Use this agent when: code was written. Examples: <example>Context: a PR</example>
tools: Read, Grep, Bash(git diff:*), WebFetch, mcp__github__search
model: sonnet
color: blue
---

You review code.
"""


def read(tmp_path: Path, front: str) -> Goal:
    path = tmp_path / "GOAL.md"
    path.write_text(f"---\nmodels: {{main: manual:m, cheap: anthropic:claude-sonnet-5-5}}\n{front}\n---\nDo it.\n")
    return load(path)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_agent_files_of_claude_code_are_read_as_they_are(tmp_path: Path) -> None:
    put(tmp_path / ".claude/agents/reviewer.md", CLAUDE_AGENT)
    goal = read(tmp_path, "team: {shape: lead}")
    role = goal.team.roles["reviewer"]
    assert role.description.startswith("Use this agent when: code was written.")
    assert role.prompt == "You review code."
    assert role.tools == ("read", "grep", "shell", "mcp")
    assert role.model == "cheap"
    assert role.source == ".claude/agents/reviewer.md"
    assert [warning.split("role 'reviewer': ")[1] for warning in goal.warnings if "reviewer" in warning] == [
        "'Bash(git diff:*)' is given as 'Bash' without bounds",
        "there is no tool like 'WebFetch'; it goes without",
    ]


def test_a_model_that_the_goal_does_not_have_is_a_warning_in_a_file_of_another_program(tmp_path: Path) -> None:
    put(tmp_path / ".claude/agents/a.md", "---\nname: a\nmodel: opus\n---\nHi.")
    put(tmp_path / ".claude/agents/b.md", "---\nname: b\nmodel: inherit\n---\nHi.")
    goal = read(tmp_path, "team: {shape: lead}")
    assert goal.team.roles["a"].model == goal.team.roles["b"].model == "main"
    assert "asks for model 'opus', which the goal does not have; it gets 'main'" in goal.warnings[0]


def test_own_agent_files_come_before_those_of_others(tmp_path: Path) -> None:
    put(tmp_path / ".claude/agents/a.md", "---\nname: a\n---\nTheirs.")
    put(tmp_path / ".outlay/agents/a.md", "---\nname: a\n---\nOurs.")
    assert read(tmp_path, "team: {shape: lead}").team.roles["a"].prompt == "Ours."


def test_a_role_may_be_a_path_a_name_or_written_inline(tmp_path: Path) -> None:
    put(tmp_path / ".claude/agents/reviewer.md", CLAUDE_AGENT)
    put(tmp_path / ".claude/agents/unused.md", CLAUDE_AGENT.replace("reviewer", "unused"))
    put(tmp_path / "roles/dev.md", "---\ndescription: Develops.\n---\nYou develop.")
    goal = read(
        tmp_path,
        "team:\n  roles:\n  - reviewer\n  - roles/dev.md\n"
        "  - {name: scout, model: cheap, models: [main], tools: [Read, Glob]}\n"
        "  - {name: dev2, file: roles/dev.md, model: cheap}",
    )
    assert list(goal.team.roles) == ["main", "reviewer", "dev", "scout", "dev2"]
    assert goal.team.shape == "lead"
    assert (goal.team.roles["dev"].prompt, goal.team.roles["dev"].model) == ("You develop.", "main")
    assert goal.team.roles["scout"].models == ("cheap", "main")
    assert goal.team.roles["scout"].tools == ("read", "glob")
    assert goal.team.roles["dev2"].prompt == "You develop." and goal.team.roles["dev2"].model == "cheap"


def test_a_role_without_a_model_takes_the_model_of_its_name_or_the_main_agents(tmp_path: Path) -> None:
    goal = read(tmp_path, "team: {main: boss, roles: {boss: {model: cheap}, main: {}, other: {}}}")
    assert {name: role.model for name, role in goal.team.roles.items()} == {
        "boss": "cheap", "main": "main", "other": "cheap",
    }  # fmt: skip


def test_a_lead_without_roles_gets_a_worker(tmp_path: Path) -> None:
    team = read(tmp_path, "team: {shape: lead}").team
    assert [role.name for role in team.subagents] == ["worker"]
    assert "agents" in team.roles["main"].tools and "agents" not in team.roles["worker"].tools


def test_a_main_role_alone_stays_solo(tmp_path: Path) -> None:
    team = read(tmp_path, "team: {roles: {main: {prompt: Be brief., tools: [read, shell]}}}").team
    assert (team.shape, team.subagents, team.roles["main"].prompt) == ("solo", (), "Be brief.")


def test_tools_can_be_taken_away(tmp_path: Path) -> None:
    put(tmp_path / ".claude/agents/a.md", "---\nname: a\ndisallowedTools: Write, Edit, Task\n---\nHi.")
    role = read(tmp_path, "team: {roles: [a]}").team.roles["a"]
    assert role.tools == ("read", "glob", "grep", "shell", "todo", "mcp")


def test_a_role_file_without_front_matter_is_named_in_the_error(tmp_path: Path) -> None:
    put(tmp_path / "roles/a:b.md", "You develop.")
    with pytest.raises(InputError, match=r"roles/a:b\.md:1: no front matter"):
        read(tmp_path, "team: {roles: ['roles/a:b.md']}")


def test_an_unknown_name_lists_the_roles_there_are(tmp_path: Path) -> None:
    put(tmp_path / ".claude/agents/reviewer.md", CLAUDE_AGENT)
    with pytest.raises(InputError, match=r"no role 'reveiwer' in .*; did you mean 'reviewer'"):
        read(tmp_path, "team: {roles: [reveiwer]}")


@given(st.text(alphabet=st.sampled_from("nametolsd: -[]{}\"'\n#&*!|>%@`~?1\x00é")))
def test_no_role_file_brings_anything_but_a_team_or_an_input_error(front: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder) / ".claude/agents/a.md", f"---\n{front}\n---\nHi.")
        try:
            assert read(Path(folder), "team: {shape: lead}").team.subagents
        except InputError:
            pass
