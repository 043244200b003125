"""The first message of a main agent: the goal, its checks, and the files that are shown."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Shown(msgspec.Struct, frozen=True):
    """A file whose content goes along."""

    path: str
    content: str


class Test(msgspec.Struct, frozen=True):
    """A check as the agent sees it."""

    name: str
    command: str
    rule: str


def first_message(goal: str, tests: Sequence[Test], shown: Sequence[Shown], protected: Sequence[str]) -> str:
    """The text that starts a run. Everything that varies from goal to goal stands here, not in the system prompt."""
    parts = [goal.strip(), "## Checks", *(f"- {t.name}: `{t.command}` passes with {t.rule}" for t in tests)]
    if protected:
        parts.append(f"You cannot change: {', '.join(protected)}")
    parts += [f"<file path={file.path!r}>\n{file.content}\n</file>" for file in shown]
    return "\n\n".join(parts[:2]) + "\n" + "\n".join(parts[2:])
