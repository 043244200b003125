"""The skill that teaches other agents to use `outlay agent`: where it goes, and its text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from outlay.errors import EnvironmentProblem, InputError

Program = Literal["claude", "opencode", "codex"]
PROGRAMS: tuple[Program, ...] = ("claude", "opencode", "codex")
NAME = "outlay-subagents"
_IN_PROJECT: dict[Program, str] = {
    "claude": ".claude/skills",
    "opencode": ".opencode/skills",
    "codex": ".agents/skills",
}


def text() -> str:
    """The SKILL.md."""
    return Path(__file__).with_name("skill_files").joinpath("SKILL.md").read_text()


def place(program: Program, project: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The skill's folder: in a project, or the user's own for None (as the programs' documentation says)."""
    if project is not None:
        return project / _IN_PROJECT[program] / NAME
    home = Path(environ.get("HOME") or Path.home())
    folders = {
        "claude": Path(environ.get("CLAUDE_CONFIG_DIR") or home / ".claude"),
        "opencode": Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "opencode",
        "codex": home / ".agents",
    }
    return folders[program] / "skills" / NAME


def install(program: Program, project: Path | None) -> Path:
    """Write the skill; one of this name that is there is replaced. Raises EnvironmentProblem."""
    file = place(program, project) / "SKILL.md"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text())
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {file}: {error.strerror}") from None
    return file


def uninstall(program: Program, project: Path | None) -> Path:
    """Remove the skill, and its folder when nothing else is in it. Raises InputError when it is not there."""
    file = place(program, project) / "SKILL.md"
    if not file.exists():
        raise InputError(f"no skill at {file}")
    try:
        file.unlink()
        if not any(file.parent.iterdir()):
            file.parent.rmdir()
    except OSError as error:
        raise EnvironmentProblem(f"cannot remove {file}: {error.strerror}") from None
    return file
