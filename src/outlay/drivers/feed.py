"""The events of a conversation, on their way from the agent's output to the one who reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from outlay.drivers.types import Event, Failed, TurnEnded, UsageReported
from outlay.tokens import ZERO, Usage


class Feed:
    """A queue of events that ends. Nothing is told after the end."""

    def __init__(self) -> None:
        self.usage: dict[str, Usage] = {}
        """What was reported so far, by model."""
        self.in_turn = False
        """Whether a message was sent and its turn has not ended."""
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._ended = False

    def tell(self, event: Event) -> None:
        """Add an event."""
        if self._ended:
            return
        if isinstance(event, UsageReported):
            self.usage[event.model] = self.usage.get(event.model, ZERO) + event.usage
        elif isinstance(event, TurnEnded):
            self.in_turn = False
        self._queue.put_nowait(event)

    def end(self, reason: str = "") -> None:
        """Nothing follows; reason: why, where nobody asked for it."""
        if self._ended:
            return
        if reason:
            self.tell(Failed(reason))
        self._ended = True
        self._queue.put_nowait(None)

    @property
    def ended(self) -> bool:
        return self._ended

    async def events(self) -> AsyncIterator[Event]:
        """Everything that is told, to the end."""
        while (event := await self._queue.get()) is not None:
            yield event
