"""pydantic-ai's Agent as its users run it: `agent.run` with OpenAI's chat completions and function tools.

`LOOP_STREAMED=1`: with an `event_stream_handler`, which makes it stream its requests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from job import MODEL, Job, run, task
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Item(BaseModel):
    text: str
    done: bool = False


async def consume(_: RunContext[None], events: AsyncIterable[Any]) -> None:
    async for _event in events:
        pass


async def set_up(job: Job) -> Callable[[int, int], Awaitable[None]]:
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=job.base_url, api_key="none"))
    agent = Agent(model, instructions=job.system)
    handler = consume if os.environ.get("LOOP_STREAMED") else None

    @agent.tool_plain
    def read(path: str, offset: int = 1, limit: int = 2000) -> str:
        """Read a text file.

        Args:
            path: The file.
            offset: first line
            limit: number of lines
        """
        lines = (job.workspace / path).read_text().splitlines()
        return "\n".join(lines[offset - 1 : offset - 1 + limit])

    @agent.tool_plain
    def todo(items: list[Item]) -> str:
        """Write down the whole list of what is to be done."""
        return f"{sum(not item.done for item in items)} of {len(items)} left"

    @agent.tool_plain
    def ask(question: str) -> str:
        """Ask the one who gave you the task; waits for the answer."""
        return "decide yourself"

    @agent.tool_plain
    def finish(answer: str) -> str:
        """Say that you are done, with your answer."""
        return "done"

    async def session(number: int, turns: int) -> None:
        result = await agent.run(task(number, turns), event_stream_handler=handler)
        if result.usage.requests != turns:
            raise RuntimeError(f"{result.usage.requests} requests instead of {turns}: {result.output}")

    async def sessions(count: int, turns: int) -> None:
        await asyncio.gather(*(session(number, turns) for number in range(count)))

    return sessions


if __name__ == "__main__":
    run(set_up)
