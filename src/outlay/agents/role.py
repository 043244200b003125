"""A role: what an agent is for, which model it has and which tools."""

from __future__ import annotations

from typing import Literal

import msgspec

from outlay.agents.context.settings import Handoff

Tool = Literal["read", "write", "edit", "glob", "grep", "shell", "todo", "agents", "mcp"]
TOOLS: tuple[Tool, ...] = ("read", "write", "edit", "glob", "grep", "shell", "todo", "agents", "mcp")
WRITING: frozenset[Tool] = frozenset({"write", "edit", "shell"})
"""Tools that can change a workspace: a session that has one works in its own clone."""


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """An agent definition."""

    name: str
    description: str = ""
    """When to use this role; the main agent reads it."""
    prompt: str = ""
    """System prompt; empty: the built-in one of its place (main agent or subagent)."""
    model: str
    """Name of a model of the goal."""
    models: tuple[str, ...] = ()
    """Names of the models that may be chosen for a session of this role; `model` is always among them."""
    tools: tuple[Tool, ...] = ()
    handoff: Handoff | None = None
    """When its sessions get a fresh context; None: as the goal says."""
    source: str = "built in"
    """Where it is defined: a file, or a line of the goal file."""

    @property
    def writes(self) -> bool:
        return not WRITING.isdisjoint(self.tools)
