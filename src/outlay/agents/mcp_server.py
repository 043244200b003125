"""A connection to an MCP server through the official SDK, opened when it is first used."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from outlay.agents.tool import Refused

if TYPE_CHECKING:
    from mcp import Client

CALL_S = 300.0
START_S = 60.0
"""Longest time that a server may take until it answers at all."""
CONNECTION_CLOSED = -32000
"""Code of the SDK's error for a server that is gone."""
VARIABLE = re.compile(r"\$\{(\w+)\}")


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is reached: a command of the user's, or a URL."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    """`${NAME}` in a value stands for a variable of Outlay's own environment, so that no secret is written down."""
    url: str = ""


class Connection:
    """One server. It runs from its first use to the end of the run; one that died is started anew at its next use."""

    def __init__(self, name: str, server: McpServer, log: Path) -> None:
        """log: file that takes what the server prints besides its answers."""
        self._name = name
        self._server = server
        self._log = log
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def tools(self) -> str:
        """The server's tools with their arguments, one a line."""
        lines: list[str] = []
        cursor: str | None = None
        while True:
            listed = await self._ask(lambda client, at=cursor: client.list_tools(cursor=at))  # type: ignore[misc]
            for tool in listed.tools:
                schema = msgspec.json.encode(tool.input_schema).decode()
                about = " ".join((tool.description or "").split())
                lines.append(f"{tool.name}: {about} arguments: {schema}")
            cursor = listed.next_cursor
            if not cursor:
                return "\n".join(lines) or "the server has no tools"

    async def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """The text of a tool's result, and whether it is an error."""
        result = await self._ask(lambda client: client.call_tool(tool, arguments))
        texts = [getattr(part, "text", None) or f"({part.type} left out)" for part in result.content]
        return "\n".join(texts) or "(no text)", bool(result.is_error)

    async def close(self) -> None:
        """End the server; it is started again when it is used again."""
        task, self._task, self._client = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ask(self, request: Callable[[Client], Awaitable[Any]]) -> Any:
        client = await self._connected()
        try:
            async with asyncio.timeout(CALL_S):
                return await request(client)
        except TimeoutError:
            raise Refused(f"MCP server {self._name} did not answer in {CALL_S:.0f} s") from None
        except Exception as error:  # noqa: BLE001 - whatever the server or the SDK raises is an answer
            if getattr(error, "code", None) in (None, CONNECTION_CLOSED):
                await self.close()
            raise Refused(f"MCP server {self._name}: {_words(error)}") from None

    async def _connected(self) -> Client:
        async with self._lock:
            if self._client is None or self._task is None or self._task.done():
                await self.close()
                ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
                self._task = asyncio.create_task(self._serve(ready))
                both: set[asyncio.Future[Any]] = {ready, self._task}
                await asyncio.wait(both, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done():
                    raise Refused(await self._why_not())
                self._client = ready.result()
            return self._client

    async def _why_not(self) -> str:
        """Why the server cannot be used; it is ended if it still runs."""
        task = self._task
        if task is not None and task.done() and not task.cancelled() and (problem := task.exception()) is not None:
            why = f"cannot be reached: {_words(problem)}"
        else:
            why = f"was not ready after {START_S:.0f} s"
        await self.close()
        said = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return f"MCP server {self._name} {why}" + (f"; it said: {said[-1][:300]}" if said else "")

    async def _serve(self, ready: asyncio.Future[Client]) -> None:
        """Hold the connection open: the SDK wants it entered and left by one task."""
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        server = self._server
        if server.url:
            async with Client(server.url) as client:
                ready.set_result(client)
                await asyncio.Event().wait()
            return
        environment = {
            key: VARIABLE.sub(lambda match: os.environ.get(match[1], ""), value) for key, value in server.env.items()
        }
        parameters = StdioServerParameters(command=server.command, args=list(server.args), env=environment)
        with self._log.open("w") as log:
            async with Client(stdio_client(parameters, errlog=log)) as client:
                ready.set_result(client)
                await asyncio.Event().wait()


def _words(error: BaseException) -> str:
    """The message of an error, or of the first one in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return getattr(getattr(error, "error", None), "message", "") or str(error) or type(error).__name__
