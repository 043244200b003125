"""The floor: aiohttp and msgspec in a loop. No ledger, no limits, no retries, no checks of what a tool is given; the
whole request is encoded anew each turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from job import MODEL, Job, run, task


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class CallDelta(msgspec.Struct):
    index: int
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice] = []
    usage: dict[str, Any] | None = None


decode = msgspec.json.Decoder(Chunk).decode


async def set_up(job: Job) -> Callable[[int, int], Awaitable[None]]:
    client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    url = f"{job.base_url}/chat/completions"

    async def session(number: int, turns: int) -> None:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": job.system},
            {"role": "user", "content": task(number, turns)},
        ]
        while True:
            said = await turn(messages)
            messages.append(said)
            if not said.get("tool_calls"):
                return
            for call in said["tool_calls"]:
                arguments = msgspec.json.decode(call["function"]["arguments"])
                text = (job.workspace / arguments["path"]).read_text()
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    async def turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
        body = {
            "model": MODEL, "tools": job.tools, "messages": messages, "stream": True,
            "stream_options": {"include_usage": True},
        }  # fmt: skip
        text: list[str] = []
        calls: list[dict[str, Any]] = []
        headers = {"content-type": "application/json"}
        async with client.post(url, data=msgspec.json.encode(body), headers=headers) as response:
            response.raise_for_status()
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                for choice in decode(line[6:]).choices:
                    read(choice.delta, text, calls)
        said: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
        return said | {"tool_calls": calls} if calls else said

    async def sessions(count: int, turns: int) -> None:
        await asyncio.gather(*(session(number, turns) for number in range(count)))

    return sessions


def read(delta: Delta, text: list[str], calls: list[dict[str, Any]]) -> None:
    """Add one delta to what has come so far."""
    if delta.content:
        text.append(delta.content)
    for part in delta.tool_calls or ():
        if part.index == len(calls):
            calls.append({"id": part.id, "type": "function", "function": {"name": "", "arguments": ""}})
        function = calls[part.index]["function"]
        if part.function is not None:
            function["name"] += part.function.name or ""
            function["arguments"] += part.function.arguments or ""


if __name__ == "__main__":
    run(set_up)
