"""Whose turn it is when a provider has asked for a pause: one 429 holds every session back, and after it they go on
in turn, one of each session before a second of any, a few at first and more as the provider bears it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from outlay.clock import Clock

STEP_S = 0.1
"""Between one group that goes on and the next, twice as large."""


@dataclass
class _Lane:
    """What waits for one model of one provider."""

    not_before: float = 0.0
    group: int = 1
    waiting: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)
    drain: asyncio.Task[None] | None = None

    def next(self) -> asyncio.Future[None] | None:
        """The next that still waits; its session goes to the end of the line."""
        while self.waiting:
            session, queue = self.waiting.popitem(last=False)
            future = queue.popleft()
            if queue:
                self.waiting[session] = queue
            if not future.done():
                return future
        return None


class Turns:
    """Pauses by name of what is paused."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}

    def hold(self, name: str, seconds: float) -> None:
        """Nobody goes on for so long."""
        lane = self._lanes.setdefault(name, _Lane())
        lane.not_before = max(lane.not_before, self._clock.monotonic() + seconds)
        lane.group = 1

    def left(self, name: str) -> float:
        """Seconds until the pause ends; 0 when there is none."""
        lane = self._lanes.get(name)
        return 0.0 if lane is None else max(0.0, lane.not_before - self._clock.monotonic())

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return sum(len(queue) for lane in self._lanes.values() for queue in lane.waiting.values())

    async def take(self, name: str, session: str) -> None:
        """Wait for the session's turn; at once when nothing is paused and nobody waits."""
        lane = self._lanes.get(name)
        if lane is None or (not lane.waiting and self.left(name) <= 0 and lane.drain is None):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.setdefault(session, deque()).append(future)
        if lane.drain is None:
            lane.drain = asyncio.create_task(self._drain(name, lane))
        await future

    async def _drain(self, name: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                if (left := self.left(name)) > 0:
                    await asyncio.sleep(left)
                    continue
                for _ in range(lane.group):
                    if (future := lane.next()) is not None:
                        future.set_result(None)
                lane.group *= 2
                await asyncio.sleep(STEP_S)
        finally:
            lane.drain = None
