"""JSON-RPC over an agent's stdin and stdout, one message a line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from outlay.drivers.process import Process
from outlay.errors import EnvironmentProblem

ANSWER_S = 120.0
"""Longest wait for an answer; none of the methods used here waits for a model."""


class Unknown(Exception):
    """The other side asked for something that is not done here."""


class Peer:
    """The agent, as one asks it and is asked by it."""

    def __init__(
        self,
        process: Process,
        noticed: Callable[[str, dict[str, Any]], None],
        asked: Callable[[str, dict[str, Any]], dict[str, Any]],
    ) -> None:
        """noticed: takes notifications. asked: answers the agent's own requests; raises Unknown."""
        self._process = process
        self._noticed = noticed
        self._asked = asked
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request. Raises EnvironmentProblem with what the agent says instead of one."""
        self._number += 1
        number = self._number
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._write({"id": number, "method": method, "params": params})
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            raise EnvironmentProblem(f"no answer to {method} for {ANSWER_S:g} s") from None
        finally:
            del self._waiting[number]

    async def tell(self, method: str) -> None:
        """A notification."""
        await self._write({"method": method})

    async def _write(self, message: dict[str, Any]) -> None:
        await self._process.write(msgspec.json.encode({"jsonrpc": "2.0"} | message))

    async def listen(self) -> None:
        """Take what comes, to the end of the agent's output."""
        try:
            while line := await self._process.line():
                try:
                    message = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    continue  # a line of a library's own, no message
                if isinstance(message, dict):
                    await self._take(message)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    words = self._process.complaint() or "it said nothing"
                    answer.set_exception(EnvironmentProblem(f"the agent has ended: {words}"))

    async def _take(self, message: dict[str, Any]) -> None:
        method, number = message.get("method"), message.get("id")
        params = message.get("params") or {}
        if method is None:
            waiting = self._waiting.get(number) if isinstance(number, int) else None
            if waiting is None or waiting.done():
                return
            if error := message.get("error"):
                waiting.set_exception(EnvironmentProblem(str(error.get("message", error))))
            else:
                waiting.set_result(message.get("result") or {})
        elif number is None:
            self._noticed(method, params)
        else:
            try:
                await self._write({"id": number, "result": self._asked(method, params)})
            except Unknown:
                await self._write({"id": number, "error": {"code": -32601, "message": f"{method} is not served"}})
