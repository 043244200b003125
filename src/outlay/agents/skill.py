"""A skill: a folder with a SKILL.md, listed by name and description, its text loaded when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

DESCRIPTION_CHARS = 100
LIST_CHARS = 2_000
"""The list stands in every session's fixed prompt: about 500 tokens at most."""
LARGEST_BYTES = 1 << 20
_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


class Skill(msgspec.Struct, frozen=True):
    """A skill as it is offered."""

    name: str
    """Name of its folder."""
    path: Path
    """Its SKILL.md."""
    description: str = ""


def read_skill(path: Path) -> Skill:
    """The skill of a SKILL.md; without front matter that can be read it has no description."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_BYTES).decode(errors="replace")
    except OSError:
        text = ""
    return Skill(path.parent.name, path, _description(text))


def _description(text: str) -> str:
    import yaml

    front = _FRONT.match(text)
    try:
        read = yaml.safe_load(front[1]) if front else None
    except (yaml.YAMLError, ValueError):
        read = None
    written = read.get("description") if isinstance(read, dict) else None
    return " ".join(str(written).split()) if written else ""


def skill_list(skills: Iterable[Skill]) -> str:
    """Names and descriptions for the system prompt, bounded: when room runs short only names are left, then nothing."""
    lines: list[str] = []
    room = LIST_CHARS
    for skill in sorted(skills, key=lambda skill: skill.name):
        about = skill.description
        about = about if len(about) <= DESCRIPTION_CHARS else about[: DESCRIPTION_CHARS - 1].rstrip() + "…"
        line = f"- {skill.name}" + (f": {about}" if about and room > LIST_CHARS // 4 else "")
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines)
