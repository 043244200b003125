"""`outlay agents`, and what a goal with an agent that is not there is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from outlay.runs.goal import parse
from outlay.runs.prepare import prepare
from project import Project


def outlay_agents(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": str(path), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "outlay", "agents", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def fake(path: Path, name: str, says: str, code: int = 0) -> None:
    (path / name).write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    (path / name).chmod(0o755)


def test_it_says_what_is_installed_and_what_to_type_for_the_rest(tmp_path: Path) -> None:
    fake(tmp_path, "claude", "2.1.329 (Claude Code)")
    fake(tmp_path, "codex", "codex-cli 0.120.1")
    fake(tmp_path, "gemini", "no idea", code=1)
    (tmp_path / "sh").symlink_to("/bin/sh")
    found = {each["name"]: each for each in json.loads(outlay_agents(tmp_path, "--json").stdout)["agents"]}
    claude, codex, opencode, gemini = (found[n] for n in ("claude-code", "codex", "opencode", "gemini-cli"))
    assert (claude["version"], claude["can_be_driven"], claude["remark"]) == ("2.1.329", True, "")
    assert codex["can_be_driven"]
    assert codex["remark"].startswith("older than 0.169.0")
    assert not opencode["installed"]
    assert opencode["remark"] == "install it with: npm install -g opencode-ai"
    assert not gemini["can_be_driven"]
    table = outlay_agents(tmp_path).stdout
    assert "claude-code:MODEL" in table
    assert "npm install -g opencode-ai" in table


def test_a_goal_whose_agent_is_not_installed_says_what_to_type_and_starts_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9", codec="claude-code")
    project.write_goal()
    folder = tmp_path / "none"
    folder.mkdir()
    project.environment["PATH"] = str(folder)
    done = project.outlay("run", str(project.goal), "--plain")
    assert done.returncode == 2
    assert "Claude Code is not installed; install it with: npm install -g @anthropic-ai/claude-code" in done.stderr
    assert not (project.home / "runs").exists()


def test_a_broken_policy_and_a_recording_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9", codec="claude-code")
    fake(tmp_path, "claude", "2.1.329")
    project.environment["PATH"] = f"{tmp_path}:{project.environment['PATH']}"
    project.write_goal()
    done = project.outlay("run", str(project.goal), "--plain", "--record", "tape.jsonl")
    assert (done.returncode, "cannot be recorded" in done.stderr) == (2, True)
    (tmp_path / "policy.toml").write_text('[data.all]\npaths = ["**"]\n')
    project.write_goal(more="policy: policy.toml\n")
    done = project.outlay("run", str(project.goal), "--plain")
    assert (done.returncode, "policy.toml" in done.stderr) == (2, True)
    assert not (project.home / "runs").exists()


def test_an_agent_without_a_model_is_told_how_to_write_it(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9")
    project.model = "claude-code"
    project.write_goal()
    done = project.outlay("run", str(project.goal), "--plain")
    assert (done.returncode, "write claude-code:MODEL" in done.stderr) == (2, True)


def test_without_an_address_every_model_it_asks_for_goes_to_its_own_provider(tmp_path: Path) -> None:
    fake(tmp_path, "claude", "2.1.329")
    (tmp_path / "workspace").mkdir()
    front = (
        "models: {main: 'claude-code:sonnet'}\nchecks: [{name: a, command: 'true'}]\nlimits: {usd: 1}\n"
        "workspace: {path: workspace}"
    )
    goal = parse(f"---\n{front}\n---\ngo\n", tmp_path / "GOAL.md")
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ANTHROPIC_API_KEY": "a-key"}
    driven = prepare(goal, environ=environ).driven["main"]
    assert (driven.model, driven.endpoint.model, driven.key) == ("sonnet", "*", "a-key")
    assert driven.endpoint.base_url.startswith("https://api.anthropic.com")
    assert driven.program.argv == (str(Path("/bin/sh").resolve()), str(tmp_path / "claude"))
