"""The slots in which subagents work: as many at once as the goal allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """Who holds one of `count` slots, by name."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._holders: set[str] = set()

    def held_by(self, name: str) -> bool:
        """Whether a subagent is at work itself: it neither queues nor waits for others."""
        return name in self._holders

    @asynccontextmanager
    async def on_duty(self, name: str) -> AsyncIterator[None]:
        """Hold a slot, as soon as there is one."""
        await self._take(name)
        try:
            yield
        finally:
            if name in self._holders:
                self._leave(name)

    @asynccontextmanager
    async def off_duty(self, name: str) -> AsyncIterator[None]:
        """While a subagent waits for others it holds no slot; when its waiting is cut short it needs none again."""
        held = name in self._holders
        if held:
            self._leave(name)
        yield
        if held:
            await self._take(name)

    async def _take(self, name: str) -> None:
        await self._free.acquire()
        self._holders.add(name)

    def _leave(self, name: str) -> None:
        self._holders.remove(name)
        self._free.release()
