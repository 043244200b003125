"""What the gateway adds to a call: CPU and latency beside a bare pass-through (and LiteLLM's proxy), streams, memory.

    python benchmarks/gateway.py [--calls 2000] [--memory-calls 20000] [--streams 500] [--litellm PYTHON]

An upstream of fixed bytes, the proxy under test and the client are processes of their own; CPU is the proxy's own
user and system time from /proc, per call, so that it does not depend on what else the machine does. The bare
pass-through is aiohttp without accounts, ledger or limits: it reads the request, posts it, streams the answer back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
BODY = {
    "model": "m-1",
    "max_tokens": 1_000,
    "messages": [
        {"role": "user" if n % 2 == 0 else "assistant", "content": f"{n}: " + "some words of a conversation " * 40}
        for n in range(20)
    ],
}
USAGE = {
    "prompt_tokens": 6000,
    "completion_tokens": 60,
    "total_tokens": 6060,
    "prompt_tokens_details": {"cached_tokens": 0},
}
LITELLM_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
CHUNKS = 60
"""Pieces of a streamed answer, one token each."""


def chunk(delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    document = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices} | more
    return b"data: " + json.dumps(document).encode() + b"\n\n"


EVENTS = [
    chunk({"role": "assistant", "content": ""}),
    *(chunk({"content": f"word{n} "}) for n in range(CHUNKS)),
    chunk({}, "stop"),
    chunk({}, choices=[], usage=USAGE),
    b"data: [DONE]\n\n",
]
WHOLE = json.dumps(
    {
        "id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1", "usage": USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "words " * 60}}],
    }
).encode()  # fmt: skip


# ---- the processes


async def upstream(port: int, pause_s: float) -> None:
    """Answers with the same bytes every time; a stream comes in pieces."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=404)
        body = json.loads(await request.read())
        if not body.get("stream"):
            return web.Response(body=WHOLE, content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        step = 1 if pause_s or "slow" in body.get("user", "") else 8
        for start in range(0, len(EVENTS), step):
            await response.write(b"".join(EVENTS[start : start + step]))
            await asyncio.sleep(0.05 if body.get("user") == "slow" else pause_s)
        await response.write_eof()
        return response

    await serve(answer, port)


async def bare(port: int, target: str) -> None:
    """The pass-through that the gateway is measured against."""
    client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
    hidden = {"host", "content-length", "transfer-encoding", "connection"}

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in hidden}
        async with client.post(target + request.path, data=await request.read(), headers=headers) as got:
            shown = {name: value for name, value in got.headers.items() if name.lower() not in hidden}
            response = web.StreamResponse(status=got.status, headers=shown)
            await response.prepare(request)
            async for piece in got.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    await serve(answer, port)


async def serve(handler: Any, port: int) -> None:
    app = web.Application(client_max_size=1 << 28)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


class Process:
    """A process that prints its URL as JSON."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None, url: str = "") -> None:
        self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE if not url else subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL if url else None)  # fmt: skip
        if url:
            self.url = url
        else:
            assert self._process.stdout is not None
            self.url = json.loads(self._process.stdout.readline())["url"]

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    @property
    def rss_mb(self) -> float:
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


# ---- the client


async def load(url: str, calls: int, at_once: int, *, stream: bool, **more: Any) -> list[float]:
    """Seconds of each call, `at_once` of them under way, over as many sessions."""
    body = json.dumps(
        BODY | {"stream": stream} | ({"stream_options": {"include_usage": True}} if stream else {}) | more
    )
    took: list[float] = []
    left = iter(range(calls))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def worker(number: int) -> None:
            headers = {"authorization": f"Bearer outlay-s{number}", "content-type": "application/json"}
            for _ in left:
                began = time.perf_counter()
                async with client.post(f"{url}/v1/chat/completions", data=body, headers=headers) as answer:
                    text = await answer.read()
                assert answer.status == 200 and (b"[DONE]" in text or not stream), text[:300]
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(worker(number) for number in range(at_once)))
    return took


def measured(name: str, proxy: Process, calls: int, at_once: int, stream: bool) -> dict[str, float]:
    asyncio.run(load(proxy.url, max(50, calls // 10), at_once, stream=stream))
    before = proxy.cpu_s
    took = sorted(asyncio.run(load(proxy.url, calls, at_once, stream=stream)))
    result = {
        "cpu_ms": (proxy.cpu_s - before) / calls * 1e3,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[int(len(took) * 0.99)] * 1e3,
    }
    kind = "streamed" if stream else "whole"
    shown = "  ".join(f"{key} {value:7.3f}" for key, value in result.items())
    print(f"{name:<10} {kind:<9} {at_once:>3} at once  {shown}", flush=True)
    return result


def litellm_process(python: str, target: str, folder: Path) -> Process:
    """LiteLLM's proxy, one worker, no database."""
    config = folder / "litellm.yaml"
    parameters = {"model": "openai/m-1", "api_base": f"{target}/v1", "api_key": "k"}
    config.write_text(json.dumps({"model_list": [{"model_name": "m-1", "litellm_params": parameters}]}))
    port = 18_931
    binary = str(Path(python).parent / "litellm")
    command = [python, binary, "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    process = Process(command, os.environ | LITELLM_SETTINGS, url=f"http://127.0.0.1:{port}")
    asyncio.run(_until_ready(process.url))
    return process


async def _until_ready(url: str) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(240):
            try:
                async with client.get(f"{url}/health/liveliness") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.5)
    raise SystemExit("the LiteLLM proxy did not start")


def gateway_process(target: str, folder: Path) -> Process:
    config = folder / "gateway.yaml"
    price = "{input: 3, output: 15, cache_read: 0.3}"
    config.write_text(
        f'models: {{m-1: {{spec: "openai-chat:m-1@{target}/v1", price: {price}}}}}\nlimits: {{usd: 1000000}}\n'
    )
    command = [sys.executable, "-m", "outlay", "gateway", "--json", "--port", "0", "--config", str(config)]
    return Process(command, os.environ | {"OUTLAY_HOME": str(folder / "home")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--memory-calls", type=int, default=20_000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--litellm", metavar="PYTHON", help="Interpreter of an environment with litellm[proxy].")
    parser.add_argument("--role", choices=["upstream", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--target", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        asyncio.run(upstream(0, 0.0) if options.role == "upstream" else bare(0, options.target))
        return
    with tempfile.TemporaryDirectory() as name:
        run(options, Path(name))


def run(options: argparse.Namespace, folder: Path) -> None:
    here = [sys.executable, __file__]
    source = Process([*here, "--role", "upstream"])
    plain = Process([*here, "--role", "bare", "--target", source.url])
    ours = gateway_process(source.url, folder)
    running = [source, plain, ours]
    try:
        for stream in (False, True):
            for at_once in (1, 32):
                calls = options.calls // (4 if at_once == 1 else 1)
                floor = measured("bare", plain, calls, at_once, stream)
                got = measured("gateway", ours, calls, at_once, stream)
                ratio, p50, p99 = got["cpu_ms"] / floor["cpu_ms"], *(got[p] - floor[p] for p in ("p50_ms", "p99_ms"))
                print(f"{'':<10} gateway / bare: CPU {ratio:.2f}, added p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        if options.litellm:
            other = litellm_process(options.litellm, source.url, folder)
            running.append(other)
            for stream in (False, True):
                measured("litellm", other, max(100, options.calls // 10), 8, stream)
        began = time.perf_counter()
        cpu = ours.cpu_s
        took = asyncio.run(load(ours.url, options.streams, options.streams, stream=True, user="slow"))
        print(f"{options.streams} streams at once, each {len(EVENTS)} events 50 ms apart: all whole, "
              f"{time.perf_counter() - began:.1f} s, longest {max(took):.1f} s, CPU {ours.cpu_s - cpu:.1f} s, "
              f"{ours.rss_mb:.0f} MB")  # fmt: skip
        for part in range(4):
            asyncio.run(load(ours.url, options.memory_calls // 4, 32, stream=part % 2 == 1))
            print(f"after {(part + 1) * options.memory_calls // 4:,} more calls: {ours.rss_mb:.1f} MB", flush=True)
    finally:
        for process in running:
            process.end()


if __name__ == "__main__":
    main()
