"""A thousand sessions at once through the gateway, which is killed (SIGKILL) in the middle and started again.

    python benchmarks/gateway_kill.py [--sessions 1000] [--calls 6]

Every session makes its calls one after the other, streamed; a call that breaks off is made again, as agents do. The
upstream counts what it was asked and what it answered. Afterwards every request that reached the upstream has its row
in the ledger, every answer that a client saw whole is one of the `ok` rows, the chain is whole, and what nobody knows
the end of is `lost`, with the most it may have cost. Exits with 1 when that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
from aiohttp import web

PIECES = 10
PAUSE_S = 0.05
"""Between two pieces of an answer: a call lasts half a second, so that the kill meets hundreds under way."""


def chunk(document: dict[str, object]) -> bytes:
    return (
        b"data: "
        + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m-1"} | document).encode()
        + b"\n\n"
    )


class Upstream:
    """Answers with a stream, and counts."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = str((await request.json())["messages"][0]["content"])
        self.asked[key] += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await self._say(request, response, key)
        return response

    async def _say(self, request: web.Request, response: web.StreamResponse, key: str) -> None:
        await response.prepare(request)
        for n in range(PIECES):
            await response.write(chunk({"choices": [{"index": 0, "delta": {"content": f"{n} "}}]}))
            await asyncio.sleep(PAUSE_S)
        usage = {"prompt_tokens": 100, "completion_tokens": PIECES, "total_tokens": 100 + PIECES}
        await response.write(chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        await response.write(chunk({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
        self.answered[key] += 1
        await response.write_eof()


async def start_gateway(config: Path, env: dict[str, str], port: int) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "outlay", "gateway", "--json", "--port", str(port), "--config", str(config),
        env=env, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())["url"]


class Sessions:
    """The clients."""

    def __init__(self, url: str, calls: int) -> None:
        self.url = url
        self.calls = calls
        self.whole: Counter[str] = Counter()
        self.broken = 0

    async def session(self, client: aiohttp.ClientSession, number: int) -> None:
        for n in range(self.calls):
            key = f"s{number}-{n}"
            while not await self._call(client, number, key):
                self.broken += 1
                await asyncio.sleep(0.5)

    async def _call(self, client: aiohttp.ClientSession, number: int, key: str) -> bool:
        body = {
            "model": "m-1", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 100,
            "messages": [{"role": "user", "content": key}],
        }  # fmt: skip
        try:
            async with client.post(f"{self.url}/s/s{number}/v1/chat/completions", json=body) as answer:
                whole = answer.status == 200 and b"[DONE]" in await answer.read()
        except (aiohttp.ClientError, OSError):
            return False
        self.whole[key] += whole
        return whole


async def measure(sessions: int, calls: int, folder: Path) -> bool:
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/{path:.*}", upstream.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    config = folder / "gateway.yaml"
    where = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    config.write_text(f'models: {{m-1: {{spec: "openai-chat:m-1@{where}", price: {{input: 3, output: 15}}}}}}\n')
    env = os.environ | {"OUTLAY_HOME": str(folder / "home")}
    process, url = await start_gateway(config, env, 0)
    clients = Sessions(url, calls)
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        tasks = [asyncio.create_task(clients.session(client, n)) for n in range(sessions)]
        while sum(clients.whole.values()) < sessions * calls // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        under_way = upstream.asked.total() - upstream.answered.total()
        print(f"killed after {clients.whole.total():,} whole answers, about {under_way:,} calls under way", flush=True)
        process, _ = await start_gateway(config, env, int(url.rpartition(":")[2]))
        await asyncio.gather(*tasks)
    process.send_signal(signal.SIGINT)
    await process.wait()
    await runner.cleanup()
    took = time.perf_counter() - began
    print(f"all {sessions:,} sessions ended after {took:.1f} s; {clients.broken:,} calls made again")
    return account(folder, upstream, clients, sessions * calls)


def account(folder: Path, upstream: Upstream, clients: Sessions, wanted: int) -> bool:
    """What the ledger says against what the upstream and the clients counted."""
    from outlay.ledger import Ledger, verify

    with Ledger(folder / "home" / "ledger.db") as ledger:
        rows = list(ledger.calls())
        problems = verify(ledger).problems
        intents = sum(1 for _ in ledger.events(types=["call.intent"]))
    status = Counter(row.status for row in rows)
    output = sum(row.usage.output for row in rows if row.status == "ok")
    print(f"asked of the upstream {upstream.asked.total():,}, answered whole {upstream.answered.total():,}; "
          f"clients saw {clients.whole.total():,} whole")  # fmt: skip
    print(
        "ledger: "
        + ", ".join(f"{name} {count:,}" for name, count in sorted(status.items()))
        + f" of {intents:,} intents"
    )
    found = {
        "every intent has its row": intents == len(rows),
        "every request that the upstream saw has its row": upstream.asked.total() <= len(rows),
        "every answer that a client saw is in the ledger": clients.whole.total()
        <= status["ok"]
        <= upstream.answered.total(),
        "its tokens are what the upstream billed": output == status["ok"] * PIECES,
        "every lost call says what it may have cost": all(r.possible_cost_pico for r in rows if r.status == "lost"),
        "every session got all its answers": clients.whole.total() == wanted,
        "the chain is whole": not problems,
    }
    for words, holds in found.items():
        print(f"{'yes' if holds else 'NO '}  {words}")
    return all(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=6, help="Calls of every session.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if asyncio.run(measure(options.sessions, options.calls, Path(folder))) else 1)


if __name__ == "__main__":
    main()
