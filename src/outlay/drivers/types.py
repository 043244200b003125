"""What a driven agent is started with, what it tells, and how it is talked to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from outlay.tokens import Usage

if TYPE_CHECKING:
    from outlay.drivers.process import Process

Kind = Literal["read", "write", "shell", "agents", "web", "mcp", "plan", "own"]
"""What a tool of another agent does: looks into files, changes them, runs commands, starts subagents, reaches the web,
calls an MCP server of the user's, keeps a list of things to do; `own`: a tool that Outlay itself serves."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that Outlay can drive."""

    name: str
    """As a goal file names it: `claude-code` in `claude-code:sonnet`."""
    title: str
    program: str
    """The command that must be on the PATH; empty: the goal file gives it in place of a model."""
    package: str
    """Its npm package."""
    tested: str
    """The version that Outlay's own tests drive."""
    provider: str
    """Where its model calls go unless the goal says otherwise: a provider of `gateway.endpoint.PROVIDERS`."""
    module: str
    """Module that has `DRIVER`."""
    steers: bool = False
    """Whether a message that comes while it works is read within the turn, which then has one end."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What a session of a driven agent is started with."""

    session: str
    """Name of the session (`main/research`)."""
    instructions: str
    """What the role says: to be added to, or put in place of, the agent's own system prompt."""
    model: str
    """As the agent's own provider names it."""
    tools: tuple[str, ...]
    """The role's tools (`outlay.agents.role.TOOLS`); `denial` tells what they allow."""
    workspace: str = "/workspace"
    """Working directory inside the sandbox."""
    home: Path
    """Folder of the host that is HOME inside; it is kept, so that a conversation can be gone on with. Settings are
    written here before the start."""
    inside_home: str = "/home/agent"
    """What `home` is called inside."""
    gateway: str
    """Base URL of the seat at the gateway, as it is reached from inside: `http://127.0.0.1:PORT/s/TOKEN`. Append `/v1`
    for OpenAI's APIs, nothing for Anthropic's and Google's."""
    key: str
    """A dummy key that the gateway knows."""
    mcp: str = ""
    """URL of Outlay's own MCP server for this session (streamable HTTP), as it is reached from inside; empty: none."""
    native: str = ""
    """The agent's own id of the conversation to go on with; empty: a new one."""
    program: tuple[str, ...]
    """The agent's command, as it is called inside the sandbox."""
    window_tokens: int = 200_000
    max_output_tokens: int = 16_000
    only_model: bool = False
    """What it does on the side (titles, summaries) is to go to `model`, too; the gateway may refuse any other."""


Spawn = Callable[..., Awaitable["Process"]]
"""`await spawn(argv, environment, ports=())` starts a process in the session's sandbox: `outlay.drivers.process`."""


# ---- what it tells


class Started(msgspec.Struct, frozen=True, tag=True):
    """The conversation stands."""

    native: str
    """The agent's own id, with which it can be gone on with."""
    version: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()


class Said(msgspec.Struct, frozen=True, tag=True):
    """Text of the agent, or of its child with this native id."""

    text: str
    child: str = ""


class ToolAsked(msgspec.Struct, frozen=True, tag=True):
    """A tool is about to run."""

    id: str
    name: str
    arguments: str
    """JSON, as far as the agent tells them."""
    child: str = ""


class ToolDone(msgspec.Struct, frozen=True, tag=True):
    """A tool has run."""

    id: str
    name: str
    text: str = ""
    is_error: bool = False
    child: str = ""


class PermissionAsked(msgspec.Struct, frozen=True, tag=True):
    """The agent asked whether it may; the driver has answered by the role's tools."""

    name: str
    arguments: str
    denial: str = ""
    """What the agent was told; empty: allowed."""
    child: str = ""


class ChildStarted(msgspec.Struct, frozen=True, tag=True):
    """The agent started a subagent of its own."""

    native: str
    """Id as its model calls carry it (see `outlay.gateway.identify`), else that of the tool call."""
    kind: str = ""
    task: str = ""
    parent: str = ""


class ChildEnded(msgspec.Struct, frozen=True, tag=True):
    """A subagent of its own has ended."""

    native: str
    status: Literal["done", "failed", "cancelled"] = "done"
    answer: str = ""


class TurnEnded(msgspec.Struct, frozen=True, tag=True):
    """The agent has answered a message and waits for the next."""

    status: Literal["done", "failed", "interrupted"]
    answer: str = ""
    reason: str = ""
    """Why it failed."""


class UsageReported(msgspec.Struct, frozen=True, tag=True):
    """What the agent itself says it used since it last said so. The gateway's count is what holds."""

    model: str
    usage: Usage
    usd: float | None = None


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The agent is gone, or cannot go on; no event follows."""

    reason: str


Event = (
    Started
    | Said
    | ToolAsked
    | ToolDone
    | PermissionAsked
    | ChildStarted
    | ChildEnded
    | TurnEnded
    | UsageReported
    | Failed
)


# ---- how it is talked to


class Conversation(Protocol):
    """A driven agent at work. Start, send, events, interrupt, resume (a `Launch` with `native`), stop, usage: what our
    own session can, too."""

    async def send(self, text: str) -> None:
        """Give it a message: the task, new instructions, or what its checks say. While it works the message is read as
        soon as the agent can."""

    def events(self) -> AsyncIterator[Event]:
        """What it tells, as it comes, to the end of the process; `Failed` last when it was not asked to end. To be read
        once, by one reader, throughout."""

    async def interrupt(self) -> None:
        """End the turn under way; `TurnEnded("interrupted")` follows."""

    async def stop(self) -> None:
        """End the agent and all of its processes. Safe to call twice."""

    def usage(self) -> Mapping[str, Usage]:
        """What it said it used so far, by model; empty when it says nothing."""


class Driver(Protocol):
    """How one kind of agent is driven."""

    async def start(self, launch: Launch, spawn: Spawn) -> Conversation:
        """Write its settings into `launch.home`, start it, open a conversation or go on with `launch.native`. Raises
        InputError or EnvironmentProblem with what the agent said when it does not start."""


# ---- what it may do

_DENIED = {
    "write": "change files",
    "shell": "run commands",
    "agents": "start subagents",
    "read": "read files",
    "web": "reach the web",
    "mcp": "call MCP servers",
}


def denial(kind: Kind, tools: tuple[str, ...]) -> str:
    """Why a role with these tools may not use a tool of this kind, in words that the agent can work with; empty: it
    may."""
    may = {
        "read": bool({"read", "glob", "grep", "shell"} & set(tools)),
        "write": bool({"write", "edit"} & set(tools)),
        "shell": "shell" in tools,
        "agents": "agents" in tools,
        "mcp": "mcp" in tools,
        "web": False,
    }
    if may.get(kind, True):
        return ""
    has = ", ".join(tools) or "none"
    return (
        f"Your role may not {_DENIED[kind]} (its tools: {has}). Work without it, or say in your answer what is to be "
        "done by somebody who may."
    )
