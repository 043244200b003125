"""The team's tools for agents that are driven: an MCP server (streamable HTTP, 2025-06-18), one address per session.

Each request is answered as it stands, without a stream or a session of its own: a list of tools, and calls of them.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from outlay import __version__
from outlay.agents.tool import Outcome
from outlay.wires.types import ToolSpec

PROTOCOLS = ("2025-06-18", "2025-03-26", "2024-11-05")
_NO_METHOD, _BAD_REQUEST = -32601, -32600

CallTool = Callable[[str, str], Awaitable[Outcome]]
"""`await call(name, arguments)`: arguments are JSON as generated."""


class _Request(msgspec.Struct):
    method: str = ""
    id: int | str | None = None
    params: dict[str, Any] = {}


class TeamServer:
    """Serves the tools of sessions by their tokens."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[Sequence[ToolSpec], CallTool]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, listening: socket.socket) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{token}/mcp", self._post)
        # What else the protocol knows (a stream of the server's own, ending a session) is optional, and refused.
        app.router.add_route("*", "/{token}/mcp", self._refuse)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def admit(self, tools: Sequence[ToolSpec], call: CallTool) -> str:
        """Serve these tools; returns the path of their address."""
        token = secrets.token_urlsafe(24)
        self._sessions[token] = (tools, call)
        return f"/{token}/mcp"

    def withdraw(self, path: str) -> None:
        """The address leads nowhere any more."""
        self._sessions.pop(path.strip("/").partition("/")[0], None)

    async def _refuse(self, _: web.Request) -> web.Response:
        return web.Response(status=405, headers={"Allow": "POST"})

    async def _post(self, request: web.Request) -> web.Response:
        session = self._sessions.get(request.match_info["token"])
        if session is None:
            return web.Response(status=404, text="no such session")
        try:
            asked = msgspec.json.decode(await request.read(), type=_Request)
        except msgspec.MsgspecError as error:
            return _answer(None, error=(_BAD_REQUEST, str(error)))
        if asked.id is None:  # a notification
            return web.Response(status=202)
        tools, call = session
        match asked.method:
            case "initialize":
                wanted = asked.params.get("protocolVersion")
                return _answer(asked.id, {
                    "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[0],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "outlay", "version": __version__},
                })  # fmt: skip
            case "ping":
                return _answer(asked.id, {})
            case "tools/list":
                listed = [{"name": t.name, "description": t.description, "inputSchema": t.schema} for t in tools]
                return _answer(asked.id, {"tools": listed})
            case "tools/call":
                arguments = msgspec.json.encode(asked.params.get("arguments") or {}).decode()
                outcome = await call(str(asked.params.get("name")), arguments)
                content = [{"type": "text", "text": outcome.text}]
                return _answer(asked.id, {"content": content, "isError": outcome.is_error})
        return _answer(asked.id, error=(_NO_METHOD, f"no method {asked.method!r}"))


def _answer(id: int | str | None, result: Any = None, error: tuple[int, str] | None = None) -> web.Response:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": id}
    if error is not None:
        body["error"] = {"code": error[0], "message": error[1]}
    else:
        body["result"] = result
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
