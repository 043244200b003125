"""Skills and MCP servers, loaded on demand: their texts enter the conversation only when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from outlay.agents.tool import Outcome, Refused, Tool, tool
from outlay.wires.types import ToolCall

if TYPE_CHECKING:
    from outlay.agents.session import Session

LONGEST_CHARS = 24_000


class Load(msgspec.Struct, frozen=True):
    name: str


class Mcp(msgspec.Struct, frozen=True):
    server: str
    tool: Annotated[str | None, Meta(description="none: list the server's tools")] = None
    arguments: dict[str, Any] = {}


async def _skill(session: Session, asked: tuple[ToolCall, Load]) -> Outcome:
    skills = session.crew.rules.skills
    skill = skills.get(asked[1].name)
    if skill is None:
        raise Refused(f"there is no skill {asked[1].name!r}; there are {', '.join(sorted(skills))}")
    return Outcome(text=_shortened(skill.path.read_text(errors="replace")))


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_CHARS:
        return text
    return f"{text[:LONGEST_CHARS]}\n... shortened: {len(text):,} characters in all"


async def _mcp(session: Session, asked: tuple[ToolCall, Mcp]) -> Outcome:
    arguments = asked[1]
    server = session.crew.mcp_server(arguments.server)
    if arguments.tool is None:
        return Outcome(text=_shortened(await server.tools()))
    text, is_error = await server.call(arguments.tool, arguments.arguments)
    return Outcome(text=_shortened(text), is_error=is_error)


def skill_tool(names: tuple[str, ...]) -> Tool:
    return tool("skill", "Load a skill's instructions.", Load, _skill, choices={"name": names})


def mcp_tool(servers: tuple[str, ...]) -> Tool:
    text = "Use a tool of an MCP server; without a tool, list what the server has."
    return tool("mcp", text, Mcp, _mcp, "outside", choices={"server": servers})
