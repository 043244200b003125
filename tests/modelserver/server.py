"""The server: one port, four APIs, a simulated prompt cache, a truth log."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from modelserver import reading, writing
from modelserver.script import Answer, Call, FaultPlan, Said, Script, Tool

CACHE_BYTES = 256 << 20
SESSION_HEADERS = ("x-session-id", "x-outlay-session")
MODELS = ("scripted-large", "scripted-small")
_STATUS_FAULTS = ("rate_limit", "server", "overloaded", "payment", "auth", "bad_request", "overflow", "not_found")


@dataclass
class _Conversation:
    """What is known of a conversation since its last call."""

    prompt: bytes
    messages: int
    turn: int
    since: int
    inside: bool


class ModelServer:
    """A scripted model server. `async with ModelServer(script) as server`; the calls it took are `server.records`."""

    def __init__(
        self,
        script: Script,
        *,
        log: str | Path | None = None,
        keep_bodies: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script = script
        self.records: list[dict[str, Any]] = []
        """One record per call, as in the log."""
        self._log_path = log
        self._log: Any = None
        self._keep_bodies = keep_bodies
        self._host = host
        self.port = port
        self._n = 0
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()
        self._cached_bytes = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def base_url(self, wire: str) -> str:
        """The base URL by which a client of this API (or provider) finds the server."""
        return self.url + {"anthropic": "", "google": "/v1beta"}.get(wire, "/v1")

    async def __aenter__(self) -> ModelServer:
        app = web.Application(client_max_size=256 << 20)
        app.router.add_post("/v1/messages", self._handle)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_post("/v1/responses", self._handle)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_post("/{version:v1|v1beta}/models/{call}", self._handle)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1beta/models", self._models)
        if self._log_path is not None:
            self._log = Path(self._log_path).open("a", buffering=1)  # noqa: SIM115, ASYNC230
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._log is not None:
            self._log.close()

    async def _models(self, request: web.Request) -> web.Response:
        if "v1beta" in request.path:
            return web.json_response({"models": [{"name": f"models/{name}"} for name in MODELS]})
        data = [{"id": name, "object": "model", "type": "model", "created": 1, "owned_by": "script"} for name in MODELS]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def _count(self, request: web.Request) -> web.Response:
        body = reading.decode_body(await request.read())
        return web.json_response({"input_tokens": _tokens(_prompt(body, reading.raw_messages(body)))})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        path = request.path
        try:
            body = reading.decode_body(raw)
            messages = reading.raw_messages(body)
        except Exception as error:  # noqa: BLE001
            return web.json_response({"error": {"message": str(error), "type": "invalid_request_error"}}, status=400)
        wire, model, stream = _what(path, body)
        if path.endswith(":countTokens"):
            return web.json_response({"totalTokens": _tokens(_prompt(body, messages))})
        self._n += 1
        call, prompt = self._call(self._n, wire, model, stream, path, request, raw, body, messages)
        record: dict[str, Any] = {
            "n": call.n,
            "time": time.time(),
            "path": path,
            "wire": wire,
            "model": model,
            "stream": stream,
            "conversation": call.conversation,
            "turn": call.turn,
            "request_bytes": len(raw),
            "request_sha256": hashlib.sha256(raw).hexdigest(),
            "usage": None,
            "billed": None,
            "outcome": "gone",
            "fault": None,
        }
        if self._keep_bodies:
            record["body"] = raw.decode("utf-8", "replace")
        self.records.append(record)
        try:
            said = self.script(call)
            said = await said if isinstance(said, Awaitable) else said
            return await self._say(request, call, body, said, prompt, record)
        except ConnectionError:
            record["outcome"] = "gone"
            raise
        finally:
            if self._log is not None:
                self._log.write(json.dumps(record) + "\n")

    def _call(
        self,
        n: int,
        wire: str,
        model: str,
        stream: bool,
        path: str,
        request: web.Request,
        raw: bytes,
        body: reading.Body,
        messages: list[Any],
    ) -> tuple[Call, dict[str, int]]:
        """The call as scripts see it, and what its prompt costs by the simulated cache."""
        system = 0
        if wire == "openai-chat":
            while system < len(messages) and reading.decode_who(messages[system]).role in ("system", "developer"):
                system += 1
        session = next((request.headers[name] for name in SESSION_HEADERS if name in request.headers), None)
        if session is None:
            digest = hashlib.blake2s(bytes(body.system or body.instructions or body.systemInstruction or b""))
            for message in messages[: system + 1]:
                # Only the first text: the message may still grow (neighbours of one role are merged).
                digest.update("".join(reading.entry(message).texts[:1]).encode("utf-8", "replace"))
            session = digest.hexdigest()[:16]
        prompt = _prompt(body, messages)
        key = f"{session}/{model}"
        known = self._conversations.get(key)
        common = 0
        first, turn, since, inside = 0, 0, system, False
        if known is not None:
            if prompt.startswith(known.prompt) and len(messages) >= known.messages:
                common = len(known.prompt)
                first, turn, since, inside = known.messages, known.turn, known.since, known.inside
            else:
                common = _common(known.prompt, prompt)
        for index in range(max(first, system), len(messages)):
            models = reading.is_models(messages[index])
            if models:
                since = index + 1
                turn += not inside or wire != "openai-responses"
            inside = models
        self._remember(key, _Conversation(prompt, len(messages), turn, since, inside))
        call = Call(
            n=n,
            path=path,
            wire=wire,
            model=model,
            stream=stream,
            turn=turn,
            conversation=session,
            body=raw,
            headers=request.headers,
            parse=lambda where: [reading.entry(message) for message in messages[system:][where]],
            read_system=lambda: reading.system_text(body, messages),
            read_tools=lambda: reading.tool_list(body),
            since=since - system,
            max_output_tokens=body.max_tokens
            or body.max_completion_tokens
            or body.max_output_tokens
            or (body.generationConfig or {}).get("maxOutputTokens"),
        )
        return call, _counted(wire, raw, len(prompt), common)

    def _remember(self, key: str, conversation: _Conversation) -> None:
        old = self._conversations.pop(key, None)
        self._cached_bytes += len(conversation.prompt) - (len(old.prompt) if old else 0)
        self._conversations[key] = conversation
        while self._cached_bytes > CACHE_BYTES and len(self._conversations) > 1:
            _, dropped = self._conversations.popitem(last=False)
            self._cached_bytes -= len(dropped.prompt)

    async def _say(
        self,
        request: web.Request,
        call: Call,
        body: reading.Body,
        said: Said,
        prompt: dict[str, int],
        record: dict[str, Any],
    ) -> web.StreamResponse:
        plan = said if isinstance(said, FaultPlan) else None
        answer = _spoiled(plan) if plan is not None else said
        assert isinstance(answer, Answer)
        record["fault"] = plan.kind if plan else None
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if plan is not None and (early := await self._refuse(call, plan, record)) is not None:
            return early
        sent = writing.ready(call.n, call.wire, call.model, answer, prompt)
        record["billed"] = sent.usage
        broken = plan is not None and plan.kind in (
            "cut", "short", "reset", "half_json", "error_event", "stall_midway",
        )  # fmt: skip
        if not call.stream:
            whole = writing.whole(call.wire, sent)
            if broken:
                assert plan is not None
                return await self._break(request, call, plan, [(whole, sent.usage)], record, "application/json")
            record["usage"] = sent.usage if answer.usage else None
            record["outcome"] = "whole"
            return web.Response(body=whole, content_type="application/json")
        include = call.wire != "openai-chat" or bool((body.stream_options or {}).get("include_usage"))
        events = writing.stream(call.wire, sent, include)
        if broken:
            assert plan is not None
            return await self._break(request, call, plan, events, record, "text/event-stream")
        if answer.chunk_delay_s:
            return await self._slowly(request, events, answer.chunk_delay_s, record)
        record["usage"] = next((usage for _, usage in reversed(events) if usage), None) if answer.usage else None
        record["outcome"] = "whole"
        return web.Response(body=b"".join(piece for piece, _ in events), content_type="text/event-stream")

    async def _refuse(self, call: Call, plan: FaultPlan, record: dict[str, Any]) -> web.StreamResponse | None:
        """Faults that send no answer at all. None: the fault is of another kind."""
        if plan.kind == "stall":
            record["outcome"] = "stalled"
            await asyncio.sleep(plan.hold_s)
            return web.Response(status=500)
        if plan.kind == "error_body":
            record["outcome"] = "error_body"
            return web.json_response(writing.error(call.wire, "overloaded", plan.message)[1])
        if plan.kind in ("empty_body", "html"):
            record["outcome"] = plan.kind
            text = "" if plan.kind == "empty_body" else "<!doctype html><html><body>Welcome</body></html>"
            return web.Response(text=text, content_type="text/html" if text else "text/event-stream")
        if plan.kind not in _STATUS_FAULTS:
            return None
        status, body = writing.error(call.wire, plan.kind, plan.message, plan.status)
        record["outcome"] = str(status)
        headers = {"retry-after": plan.retry_after} if plan.retry_after is not None else {}
        return web.json_response(body, status=status, headers=headers)

    async def _slowly(
        self, request: web.Request, events: writing.Events, pause_s: float, record: dict[str, Any]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece, usage in events:
            await response.write(piece)
            record["usage"] = usage or record["usage"]
            await asyncio.sleep(pause_s)
        record["outcome"] = "whole"
        await response.write_eof()
        return response

    async def _break(
        self,
        request: web.Request,
        call: Call,
        plan: FaultPlan,
        events: writing.Events,
        record: dict[str, Any],
        content_type: str,
    ) -> web.StreamResponse:
        """Send a part of the answer, then what the plan says."""
        response = web.StreamResponse(headers={"content-type": content_type})
        await response.prepare(request)
        if len(events) == 1:
            piece = events[0][0]
            sent: writing.Events = [(piece[: int(len(piece) * plan.after)], None)]
            rest = events
        else:
            # At least one event is kept back, so that the answer is never whole.
            count = min(int(len(events) * plan.after), len(events) - 3)
            sent, rest = events[:count], events[count:]
        for piece, usage in sent:
            await response.write(piece)
            record["usage"] = usage or record["usage"]
        record["outcome"] = plan.kind
        if plan.kind == "stall_midway":
            record["outcome"] = "stalled"
            await asyncio.sleep(plan.hold_s)
        elif plan.kind == "half_json":
            await response.write(rest[0][0].rstrip()[:-3] + b"\n\n" if len(events) > 1 else b"")
        elif plan.kind == "error_event":
            await response.write(writing.error_event(call.wire, "overloaded", plan.message))
        transport = request.transport
        if plan.kind in ("cut", "reset") and transport is not None:
            await asyncio.sleep(0.01)
            if plan.kind == "reset":
                raw_socket = transport.get_extra_info("socket")
                raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            else:
                transport.close()
            return response
        await response.write_eof()
        return response


def _what(path: str, body: reading.Body) -> tuple[str, str, bool]:
    """API, model, whether streamed."""
    if path == "/v1/messages":
        return "anthropic", body.model, body.stream
    if path == "/v1/chat/completions":
        return "openai-chat", body.model, body.stream
    if path == "/v1/responses":
        return "openai-responses", body.model, body.stream
    model, _, method = path.rpartition("/")[2].partition(":")
    return "google", model, method == "streamGenerateContent"


def _prompt(body: reading.Body, messages: list[Any]) -> bytes:
    """What the model reads: system prompt, tools, messages."""
    head = [body.system or body.instructions or body.systemInstruction or b"", body.tools or b""]
    return b"\n".join(bytes(part) for part in (*head, *messages))


def _tokens(prompt: bytes) -> int:
    return -(-len(prompt) // 4)


def _common(one: bytes, other: bytes) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _counted(wire: str, raw: bytes, size: int, common: int) -> dict[str, int]:
    """Tokens of the prompt by class. Anthropic caches nothing without marks."""
    total = -(-size // 4)
    usage = dict.fromkeys(writing.CLASSES, 0)
    marked = wire != "anthropic" or b'"cache_control"' in raw
    usage["cache_read"] = common // 4 if marked else 0
    if wire != "anthropic" or not marked:
        kind = "fresh"
    else:
        kind = "cache_write_1h" if b'"ttl":"1h"' in raw else "cache_write_5m"
    usage[kind] = total - usage["cache_read"]
    return usage


def _spoiled(plan: FaultPlan) -> Answer:
    """The answer of faults that send a strange one."""
    answer = plan.answer
    if plan.kind == "malformed_call":
        tool = answer.tools[0] if answer.tools else Tool("shell")
        return replace(answer, tools=(Tool(tool.name, '{"command": "echo', tool.id), *answer.tools[1:]))
    if plan.kind == "no_usage":
        return replace(answer, usage=False)
    if plan.kind == "wrong_model":
        return replace(answer, model="another-model")
    if plan.kind == "empty":
        return replace(answer, text="", tools=(), reasoning="")
    return answer


@contextlib.contextmanager
def serving(script: Script, **options: Any) -> Iterator[ModelServer]:
    """The server on a thread of its own, for clients that block."""
    server = ModelServer(script, **options)
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        async with server:
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    try:
        if not started.wait(120):
            raise RuntimeError("the model server did not start")
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(120)
        loop.close()
