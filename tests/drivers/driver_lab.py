"""A driven agent, the real one, in the sandbox, between the gateway and the scripted model server."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer
from outlay.drivers.process import Place, spawner
from outlay.drivers.types import Conversation, Driver, Event, Launch, TurnEnded
from outlay.ledger import Call
from outlay.runs.standalone import Serving, serving, set_up
from outlay.sandbox.probe import open_sandbox
from outlay.sandbox.types import Bounds, Forward, Mount
from pinned_programs import program

PORT = 8484
TOKEN = "agent"
SECONDS = 300
"""Longest wait for anything here."""
ALL = ("read", "write", "edit", "glob", "grep", "shell", "todo", "agents")
PRICE = "{input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6}"


@dataclass
class Agent:
    """A conversation and what it has told."""

    conversation: Conversation
    told: list[Event] = field(default_factory=list)

    async def listen(self) -> None:
        async for event in self.conversation.events():
            self.told.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    async def until(self, true: Callable[[], Any]) -> Any:
        async with asyncio.timeout(SECONDS):
            while not (value := true()):
                await asyncio.sleep(0.01)
            return value

    async def turn(self, text: str) -> TurnEnded:
        """Send a message and wait for the end of its turn."""
        ended = len(self.of(TurnEnded))
        await self.conversation.send(text)
        await self.until(lambda: len(self.of(TurnEnded)) > ended)
        last: TurnEnded = self.of(TurnEnded)[-1]
        return last


@dataclass
class Lab:
    """Where agents are started: `work` and `home` stay, so that a second one can go on."""

    folder: Path
    server: ModelServer
    gateway: Serving
    driver: Driver
    tool: str
    model: str
    arguments: tuple[str, ...] = ()

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @contextlib.asynccontextmanager
    async def agent(self, tools: tuple[str, ...] = ALL, native: str = "", mcp: str = "") -> AsyncIterator[Agent]:
        found = program(self.tool)
        packages = next(parent for parent in found.parents if parent.name == "node_modules")
        place = Place(
            sandbox=open_sandbox(),
            workspace=self.work,
            writable=True,
            home=self.folder / "home",
            mounts=(Mount(packages, str(packages)),),
            forwards=(Forward(PORT, self.folder / "gateway.sock"),),
            bounds=Bounds(wall_s=SECONDS),
        )
        launch = Launch(
            session="main",
            instructions="You are a coder. Do the task.",
            model=self.model,
            tools=tools,
            home=place.home,
            gateway=f"http://127.0.0.1:{PORT}/s/{TOKEN}",
            key=f"outlay-{TOKEN}",
            mcp=mcp,
            native=native,
            program=(*(("node",) if found.suffix == ".js" else ()), str(found), *self.arguments),
        )
        agent = Agent(await self.driver.start(launch, spawner(place)))
        listening = asyncio.ensure_future(agent.listen())
        try:
            yield agent
        finally:
            await agent.conversation.stop()
            await asyncio.wait_for(listening, SECONDS)

    def calls(self) -> list[Call]:
        return list(self.gateway.ledger.calls("run = ?", (self.gateway.run,)))

    def sessions(self) -> list[str]:
        rows = self.gateway.ledger.rows("SELECT name FROM sessions WHERE run = ? ORDER BY id", (self.gateway.run,))
        return [row["name"] for row in rows]

    def both_counts(self) -> tuple[Counter[Any], Counter[Any]]:
        """The upstream's own log of finished calls, and the ledger's."""
        served = Counter(
            (u["fresh"], u["cache_read"], u["cache_write_5m"] + u["cache_write_1h"], u["output"])
            for u in (record["usage"] for record in self.server.records if record["outcome"] == "whole")
        )
        counted = Counter(
            (u.fresh, u.cache_read, u.cache_write_5m + u.cache_write_1h, u.output)
            for u in (call.usage for call in self.calls() if call.status == "ok")
        )
        return served, counted


def drive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[Any], Any],
    driver: Driver,
    tool: str,
    spec: str,
    work: Callable[[Lab], Awaitable[None]],
    limits: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
) -> None:
    """Run `work` in a lab; spec: `codec:model`."""
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path / "state"))
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "hello.txt").write_text("hello\n")
    codec, _, model = spec.partition(":")

    async def main() -> None:
        async with ModelServer(script) as server:
            where = server.base_url(codec)
            config = tmp_path / "gateway.yaml"
            config.write_text(
                f'models:\n  "*": {{spec: "{codec}:{model}@{where}", key_env: LAB_KEY, price: {PRICE}}}\n'
            )
            setup = set_up((), (), limits, config, {"LAB_KEY": "the-true-key"})
            async with serving(setup, tokens=(TOKEN,)) as gateway, _door(tmp_path / "gateway.sock", gateway.url):
                await work(Lab(tmp_path, server, gateway, driver, tool, model, arguments))

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _door(path: Path, url: str) -> AsyncIterator[None]:
    """A unix socket that leads to the gateway."""
    host, port = url.removeprefix("http://").split(":")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_unix_server(lead, path)
    try:
        yield
    finally:
        server.close()
