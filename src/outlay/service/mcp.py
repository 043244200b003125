"""The service as an MCP server: the same commands as tools, results and dialogs as resources."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from pydantic import Field

from outlay import __version__
from outlay.service.agent import Agent, Answer
from outlay.service.client import Client
from outlay.service.errors import ServiceError
from outlay.service.order import roles_for

T = TypeVar("T")
WAIT_S = 50.0
"""Programs give a tool call up for lost after a while, some after 60 s."""
INSTRUCTIONS = """\
Subagents in the background, each with a context, a model and a cost of its own. Use `ask` for one question whose \
answer is short: it saves your context. For work in parallel: `start` each, then `wait`, then `result`. A role that \
only reads sees the folder as it is; a worker changes a clone, and `deliver` brings its changes into the folder. \
`wait` returns after its timeout, too: look at `wait` and `pending` in what it returns and call it again. When an \
agent has a `question`, answer with `send`. Costs include the agents' own subagents."""

Name = Annotated[str, Field(description="Name of the agent.")]
Names = Annotated[list[str], Field(description="Names of agents; empty: all of the project.")]
Role = Annotated[
    str, Field(description="scout, researcher, reviewer, writer (read only), tester, worker; see `roles`.")
]
Model = Annotated[str, Field(description="provider:model; empty: the default one.")]
Folder = Annotated[str, Field(description="Where it works; empty: the server's folder.")]
Limits = Annotated[list[str], Field(description="Such as usd=1, turns=40, net_tokens=500k.")]
Time = Annotated[str, Field(description="Longest time it may work, such as 10m; empty: the default.")]
Wait = Annotated[float, Field(description="Longest wait in seconds.", ge=0)]


def brief(agent: Agent) -> dict[str, Any]:
    """What another agent needs to know of an agent; few tokens."""
    told = {
        "name": agent.name, "status": agent.status, "role": agent.role, "turns": agent.turns,
        "full_percent": agent.full_percent, "cost_usd": agent.cost_usd, "question": agent.question,
        "reason": agent.reason, "doing": agent.doing, "changed_files": agent.changed_files,
        "children": [brief(child) for child in agent.children],
    }  # fmt: skip
    return {key: value for key, value in told.items() if value not in (None, "", [])}


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _result(answer: Answer) -> str:
    told = msgspec.structs.asdict(answer)
    return _text({key: value for key, value in told.items() if value not in (None, "") and key != "cost_pico"})


async def _do(work: Awaitable[T]) -> T:
    """What went wrong with its code, for the model to read."""
    try:
        return await work
    except ServiceError as error:
        raise ToolError(f"{error.code}: {error}") from None


class _Progress:
    """Tells whoever waits of every change, as progress of the call."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sent = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, agents: list[Agent]) -> None:
        turns = sum(agent.turns for agent in agents)
        if turns < self._sent:
            return
        self._sent = turns + 1
        said = ", ".join(f"{agent.name} {agent.status} {agent.doing}".strip() for agent in agents)
        task = asyncio.create_task(self._context.report_progress(turns, None, said[:300]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def build(client: Client) -> MCPServer:
    """The server over one project's agents."""
    server = MCPServer("outlay", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    _starting(server, client)
    _steering(server, client)
    _looking(server, client)
    _resources(server, client)
    return server


def _starting(server: MCPServer, client: Client) -> None:
    @server.tool(structured_output=False)
    async def start(
        prompt: str, name: str = "", role: Role = "worker", model: Model = "", folder: Folder = "",
        files: Annotated[list[str], Field(description="Files whose text it is given.")] = [],  # noqa: B006
        limits: Limits = [], timeout: Time = "",  # noqa: B006
        subagents: Annotated[bool, Field(description="It may start subagents of its own.")] = False,
        deliver: Literal["never", "success", "always"] = "never",
        replace: Annotated[bool, Field(description="Take the name over from one that has ended.")] = False,
    ) -> str:  # fmt: skip
        """Start a subagent in the background and return at once. It knows only the prompt: name files and facts."""
        order: dict[str, Any] = {
            "name": name, "role": role, "model": model, "files": files, "limits": limits, "timeout": timeout,
            "subagents": subagents, "deliver": deliver, "replace": replace,
        }  # fmt: skip
        return _text(brief(await _do(client.start(prompt, folder=folder or None, **order))))

    @server.tool(structured_output=False)
    async def ask(
        context: Context, prompt: str, role: Role = "scout", model: Model = "", folder: Folder = "",
        timeout_s: Wait = WAIT_S,
    ) -> str:  # fmt: skip
        """Ask a subagent and wait for its answer; not ended in time, it goes on: then use `wait` and `result`."""
        agent = await _do(client.start(prompt, role=role, model=model, folder=folder or None))
        await _do(client.wait([agent.name], timeout_s=timeout_s, progress=_Progress(context)))
        return _result(await _do(client.result(agent.name)))


def _steering(server: MCPServer, client: Client) -> None:
    @server.tool(structured_output=False)
    async def send(name: Name, text: str) -> str:
        """Answer an agent's question, or tell it something before its next turn."""
        return _text(brief(await _do(client.send(name, text))))

    @server.tool(structured_output=False)
    async def resume(name: Name, text: str, limits: Limits = [], timeout: Time = "") -> str:  # noqa: B006
        """Set an agent that has ended to work again; it knows what it did."""
        return _text(brief(await _do(client.resume(name, text, limits=limits, timeout=timeout))))

    @server.tool(structured_output=False)
    async def cancel(names: Annotated[list[str], Field(description="Names of agents.", min_length=1)]) -> str:
        """End agents at work, with all that they started."""
        return _text([brief(agent) for agent in await _do(client.cancel(names))])

    @server.tool(structured_output=False)
    async def deliver(name: Name) -> str:
        """Bring an agent's changes into its folder; a file that was changed meanwhile is never overwritten."""
        files, folder = await _do(client.deliver(name))
        return _text({"files": files, "folder": str(folder)})


def _looking(server: MCPServer, client: Client) -> None:
    @server.tool(structured_output=False)
    async def wait(context: Context, names: Names = [], any_one: bool = False, timeout_s: Wait = WAIT_S) -> str:  # noqa: B006
        """Wait until agents have ended (`any_one`: one has). `wait` in the answer: all, any, question or timeout."""
        progress = _Progress(context)
        waited = await _do(client.wait(names, any_one=any_one, timeout_s=timeout_s, progress=progress))
        agents = [brief(agent) for agent in waited.agents]
        return _text({"wait": waited.wait, "pending": waited.pending, "agents": agents})

    @server.tool(structured_output=False)
    async def status(names: Names = []) -> str:  # noqa: B006
        """How agents stand: turns, how full their context is, cost with their subagents'."""
        return _text([brief(agent) for agent in await _do(client.status(names))])

    @server.tool(structured_output=False)
    async def result(name: Name) -> str:
        """What an agent found or did. `ended` false: not yet."""
        return _result(await _do(client.result(name)))

    @server.tool(structured_output=False)
    async def search(pattern: Annotated[str, Field(description="A regular expression.")], names: Names = []) -> str:  # noqa: B006
        """Find something in what agents were told, said and saw."""
        return _text(await _do(client.search(pattern, names)))

    @server.tool(structured_output=False)
    async def roles() -> str:
        """The roles that agents can have here, and what they are for."""
        found = roles_for(client.folder)
        return _text([{"role": role.name, "writes": role.writes, "for": role.description} for role in found])


def _resources(server: MCPServer, client: Client) -> None:
    @server.resource("outlay://agents", mime_type="application/json")
    async def agents() -> str:
        """All agents of the project, as `outlay agent status` tells them."""
        return _text(await client.status())

    @server.resource("outlay://agents/{name}/result", mime_type="text/plain")
    async def agent_result(name: str) -> str:
        """An agent's answer."""
        answer = await _read(client.result(name))
        return answer.answer or f"({answer.status}: {answer.reason})"

    @server.resource("outlay://agents/{name}/dialog", mime_type="text/plain")
    async def agent_dialog(name: str) -> str:
        """What an agent was told, said and saw."""
        (agent,) = await _read(client.status([name]))
        return "\n\n".join(f"{who} {said.kind} {said.tool}\n{said.text}" for who, said in client.dialogs(agent, {}))


async def _read(work: Awaitable[T]) -> T:
    try:
        return await work
    except ServiceError as error:
        raise ResourceError(f"{error.code}: {error}") from None


async def serve(client: Client, port: int | None) -> None:
    """Serve over standard input and output, or (with a port) over streamable HTTP on the loopback, path /mcp."""
    server = build(client)
    try:
        if port is None:
            await server.run_stdio_async()
        else:
            from outlay.service.mcp_http import serve_http

            await serve_http(server, port)
    finally:
        client.close()
