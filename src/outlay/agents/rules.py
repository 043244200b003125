"""What holds for every session of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from outlay.agents.context.settings import Handoff
from outlay.agents.delegation import Delegation
from outlay.agents.mcp_server import McpServer
from outlay.agents.skill import Skill
from outlay.agents.watch.settings import Breakers
from outlay.sandbox.types import Bounds as CommandBounds


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every session of a run."""

    concurrent: int = 8
    """Subagents at work at the same time; others queue."""
    depth: int = 2
    """How deep subagents may start subagents; the main agent has depth 0."""
    session_wall_s: float | None = None
    spawns: int | None = None
    """Subagents that may be started in all."""
    session_spawns: int | None = None
    """Subagents that one session may start."""
    answer_tokens: int = 1_500
    hosts: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    bounds: CommandBounds = CommandBounds()
    skills: Mapping[str, Skill] = {}
    mcp: Mapping[str, McpServer] = {}
    databases: Mapping[str, str] = {}
    """Name -> URL, which may hold a password: for the one who asks it, and for nobody's eyes."""
    judged: str = ""
    """Name of the role whose sessions the checks judge besides the main session's; empty: none."""
    answers: bool = False
    """The first session works for somebody outside who waits for its answer: a subagent of theirs, no main agent."""
    reads: Path | None = None
    """A folder that the first session reads as it is, without a clone; only for one that cannot write."""
    breakers: Breakers = Breakers()
    handoff: Handoff = Handoff()
    delegation: Delegation = Delegation()
