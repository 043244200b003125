"""The fixed part of a session's prompt: what every request begins with, system prompt and tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from outlay.agents.prompt import system_prompt
from outlay.agents.role import Role
from outlay.agents.tool import Tool
from outlay.agents.toolbox import Offer, toolbox
from outlay.wires import CODECS, codec
from outlay.wires.types import Request

CHARS_PER_TOKEN = 4
MAIN_TOKENS = 2_000
"""Most that the main agent's fixed prompt may take."""
SUBAGENT_TOKENS = 1_200

EVERYTHING = ("read", "write", "edit", "glob", "grep", "shell", "todo", "agents")
WORKER = ("read", "write", "edit", "glob", "grep", "shell", "todo")
READER = ("read", "todo")
ROLES = (
    Role(name="scout", description="Reads the code and answers questions about it; changes nothing.", model="small"),
    Role(name="developer", description="Does one well-described piece of work and tests it.", model="main"),
    Role(name="reviewer", description="Reads code and runs tests, reports defects.", model="small"),
)


@dataclass(frozen=True)
class Size:
    """Size of one session's fixed prompt."""

    agent: str
    wire: str
    system_chars: int
    request_chars: int
    """The body of a request without messages, as it is sent: system prompt, tools and what JSON adds."""
    tokens: int
    """request_chars at 4 characters a token, rounded up."""
    limit_tokens: int


def fixed(names: tuple[str, ...], *, main: bool, leads: bool) -> tuple[str, list[Tool]]:
    """System prompt and tools of a session with these tools."""
    role = Role(name="any", model="main", tools=names)  # type: ignore[arg-type]
    system = system_prompt(role, main=main, leads=leads, hosts=(), answer_tokens=1_500)
    roles = ROLES if leads else ()
    offer = Offer(names=names, main=main, roles=roles, models=("main", "small"), skills=(), mcp=())
    return system, list(toolbox(offer).values())


def openai_tools(tools: list[Tool]) -> list[dict[str, Any]]:
    """Tools as chat completions take them."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.spec.name,
                "description": tool.spec.description,
                "parameters": msgspec.json.decode(bytes(tool.spec.schema)),
            },
        }
        for tool in tools
    ]


def sizes() -> list[Size]:
    """The main agent with every tool and three roles; a subagent with every tool but those for subagents."""
    found = []
    cases = (("main agent", EVERYTHING, True, MAIN_TOKENS), ("subagent", WORKER, False, SUBAGENT_TOKENS))
    for agent, names, main, limit in cases:
        system, tools = fixed(names, main=main, leads=main)
        request = Request("m", system, tuple(tool.spec for tool in tools), (), 16_000)
        for wire in CODECS:
            chars = len(codec(wire).body(request).decode())
            found.append(Size(agent, wire, len(system), chars, -(-chars // CHARS_PER_TOKEN), limit))
    return found
