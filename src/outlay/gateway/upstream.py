"""Where a call goes: a model API, a recording, or a person."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from outlay.tokens import Usage
from outlay.wires.types import Reply, Request


class Answer(msgspec.Struct, frozen=True):
    """A reply and how its usage was come by."""

    reply: Reply
    quality: str
    """`exact`, `estimated` or `unmeasured`."""


class CutShort(asyncio.CancelledError):
    """A call that we cancelled, with what had arrived of its usage (None: nothing)."""

    def __init__(self, usage: Usage | None) -> None:
        super().__init__()
        self.usage = usage


class Upstream(Protocol):
    """Sends one request, once."""

    async def send(self, session: str, request: Request) -> Answer:
        """The answer for the session of that name. Raises Fault when there is no whole answer."""

    async def close(self) -> None:
        """Let go of sockets and files."""
