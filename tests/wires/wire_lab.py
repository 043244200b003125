"""Conversations with the scripted model server, for the tests of the wires."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from modelserver import ModelServer, Script
from outlay.wires import CODECS, codec
from outlay.wires.http import send
from outlay.wires.types import Codec, Message, Reply, Request, Text, ToolCall, ToolResult, ToolSpec

WIRES = CODECS
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}')
TOOLS = (
    ToolSpec("shell", "Run a command in the workspace.", SCHEMA),
    ToolSpec("read", "Read a file.", msgspec.Raw(b'{"type":"object","properties":{"path":{"type":"string"}}}')),
)


def user(*texts: str) -> Message:
    return Message("user", tuple(Text(text) for text in texts))


def request(*messages: Message, model: str = "scripted-large", system: str = "You work.", **more: Any) -> Request:
    return Request(model, system, TOOLS, messages, more.pop("max_output_tokens", 1000), **more)


def results(reply: Reply, content: str = "ok") -> Message:
    """The answers to the tool calls of a reply."""
    calls = [part for part in reply.message.parts if isinstance(part, ToolCall)]
    return Message("user", tuple(ToolResult(call.id, call.name, content) for call in calls))


Post = Callable[[Request], Awaitable[Reply]]


async def with_server(
    script: Script, wire: str, work: Callable[[ModelServer, Codec, Post], Awaitable[Any]], **options: Any
) -> Any:
    """Run `work(server, codec, post)` against a scripted server."""
    async with ModelServer(script) as server, aiohttp.ClientSession() as client:
        own = codec(wire, base_url=options.pop("base_url", server.url))
        settings = {"key": "sk-test-0123456789", "stall_s": 5.0, "total_s": 20.0} | options

        async def post(asked: Request) -> Reply:
            return await send(
                client,
                own,
                base_url=server.base_url(wire),
                request_body=own.body(asked),
                model=asked.model,
                **settings,
            )

        return await work(server, own, post)


async def converse(post: Post, first: Request, turns: int = 100) -> list[Reply]:
    """Answer tool calls with `ok` until the model says something without any."""
    replies: list[Reply] = []
    messages = first.messages
    for _ in range(turns):
        reply = await post(msgspec.structs.replace(first, messages=messages))
        replies.append(reply)
        if reply.stop != "tools":
            break
        messages = (*messages, reply.message, results(reply))
    return replies
