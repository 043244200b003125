"""The gateway as a loopback server: identify -> limits -> upstream -> meter -> ledger, for any agent's requests.

A request passes as it is but for what a rule changes; its answer passes as it comes. Keys are added here and nowhere
else. Only the configured providers are reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import re
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict

from outlay.clock import Clock
from outlay.errors import InputError, LedgerError, LimitReached
from outlay.gateway.door import BYTES_PER_TOKEN, Caller, Gateway, Meter, through
from outlay.gateway.endpoint import Endpoint
from outlay.gateway.identify import claim_of, token_of
from outlay.gateway.metrics import CONTENT_TYPE, Metrics
from outlay.gateway.models import listing
from outlay.gateway.passthrough import ANTHROPIC, CHAT, GOOGLE, RESPONSES, Asked, UsageFilter, changed, read
from outlay.gateway.policing import as_request
from outlay.gateway.refusals import Refused, error_body
from outlay.gateway.relay import HOP_BY_HOP, Answering, ClientGone, relay, shown_headers, whole
from outlay.gateway.routes import Routes, address
from outlay.gateway.seats import Seats
from outlay.gateway.tap import ENCODINGS, Tap
from outlay.gateway.tape import Played, Recording, Tape
from outlay.gateway.turns import Turns
from outlay.gateway.upstream import Answer
from outlay.wires import codec
from outlay.wires.http import CONNECT_S, MAX_ERROR_BYTES, unanswered
from outlay.wires.types import Codec, Fault

MAX_REQUEST_BYTES = 256 << 20
BACKLOG = 1024
STALL_S = 600.0
"""Longest silence of a provider; the agents' own time-outs are as long."""
HOLD_S = 60.0
"""Longest time for which a call waits here for a provider's pause to end; then the 429 is the agent's."""
_KEYS = frozenset(("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "accept-encoding", "origin"))
_HIDDEN = HOP_BY_HOP | _KEYS | {"content-encoding"}  # the body was unpacked
_GOOGLE_CALL = re.compile(r"/(?:v1|v1beta)/models/([^/]+):(\w+)")
_POSTS = {
    "/v1/messages": (ANTHROPIC, ""), "/v1/messages/count_tokens": (ANTHROPIC, "/count_tokens"),
    "/v1/chat/completions": (CHAT, ""), "/chat/completions": (CHAT, ""),
    "/v1/responses": (RESPONSES, ""), "/responses": (RESPONSES, ""),
}  # fmt: skip
_STATUS = {"timeout": 504, "bad_request": 400}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError when that is impossible."""
    try:
        (family, *_, where), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(where, family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise InputError(f"cannot listen on {host}:{port}: {why}; choose another --port or --host") from None


class Server:
    """Serves agents, from `start` to `stop`."""

    def __init__(
        self,
        gateway: Gateway,
        routes: Routes,
        keys: Mapping[tuple[str, str], str | None],
        seats: Seats,
        clock: Clock,
        *,
        stall_s: float = STALL_S,
        hold_s: float = HOLD_S,
        local_only: bool = True,
        recording: Recording | None = None,
    ) -> None:
        """keys: by (base URL, name of the key's variable). local_only: bound to the loopback, so a request that names
        another host, or comes from a web page, is refused. recording: where answers are kept."""
        self.metrics = Metrics()
        self._gateway = gateway
        self._routes = routes
        self._keys = keys
        self._seats = seats
        self._clock = clock
        self._stall_s = stall_s
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(stall_s, CONNECT_S), sock_read=stall_s)
        self._hold_s = hold_s
        self._local_only = local_only
        self.recording = recording
        self._tapes: dict[str, Tape] = {}
        self._turns = Turns(clock)
        self._codecs: dict[str, Codec] = {wire: codec(wire) for wire in (ANTHROPIC, CHAT, RESPONSES, GOOGLE)}
        self._sizes: dict[str, int] = {}
        bounds = (*gateway.budget.all_bounds, *([gateway.day.bounds] if gateway.day else []))
        self._money_bound = any(each.usd_pico is not None for each in bounds)
        self._bound = self._money_bound or any(each.net_tokens is not None for each in bounds)
        self._client: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> int:
        """Serve on a socket (from `listen`, or a unix one); returns its port, 0 for a unix socket. tls: none is plain
        HTTP."""
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        loop = asyncio.get_running_loop()

        def received(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_REQUEST_BYTES)

        bare = web.Server(self._handle, request_factory=received, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(bare, shutdown_timeout=2.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listening, backlog=BACKLOG, ssl_context=tls).start()
        return 0 if listening.family == socket.AF_UNIX else int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Cut what is under way (it is metered) and close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    # ---- what is asked

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, token = _split(request.path)
        wire = _wire_of(path, request.headers)
        try:
            self._check_origin(request)
            if request.method in ("GET", "HEAD"):
                return await self._get(request, path, wire, token)
            verb, model = "", ""
            if path in _POSTS and request.method == "POST":
                wire, verb = _POSTS[path]
            elif found := _GOOGLE_CALL.fullmatch(path):
                wire, model, verb = GOOGLE, found[1], found[2]
            else:
                raise Refused(404, f"Outlay's gateway does not serve {request.method} {path}", "path")
            token = token_of(request.headers, token, request.query.get("key", ""))
            asked = read(wire, await request.read(), model, verb == "streamGenerateContent")
            if verb in ("/count_tokens", "countTokens"):
                return await self._count(request, asked, verb, token)
            if wire == GOOGLE and verb not in ("generateContent", "streamGenerateContent"):
                raise Refused(404, f"Outlay's gateway does not serve Google's {verb}", "path")
            return await self._call(request, asked, verb, token)
        except Refused as refused:
            self.metrics.refusal(refused.reason)
            response = _error(wire, refused.status, str(refused))
            if refused.retry_after_s is not None:
                response.headers["Retry-After"] = str(math.ceil(refused.retry_after_s))
            return response
        except LimitReached as limit:
            self.metrics.refusal("limit")
            return _error(wire, 402, str(limit))
        except InputError as error:
            self.metrics.refusal("bad_request")
            return _error(wire, 400, str(error))
        except LedgerError as error:
            self.metrics.refusal("ledger")
            return _error(wire, 503, str(error))
        except ClientGone:
            return _error(wire, 400, "the client has gone")  # nobody reads it
        except web.HTTPException as error:  # aiohttp's own, such as a request that is too large
            return _error(wire, error.status, error.reason)

    def _check_origin(self, request: web.BaseRequest) -> None:
        """Web pages must not spend money: no foreign origin, no foreign name for this host."""
        if not self._local_only:
            return
        origin = request.headers.get("Origin", "")
        if not is_local(request.host) or (origin and not is_local(urlsplit(origin).netloc)):
            raise Refused(403, "the gateway serves this machine's own programs only", "origin")

    async def _get(self, request: web.BaseRequest, path: str, wire: str, token: str) -> web.StreamResponse:
        if path == "/health":
            return web.json_response({"status": "ok", "calls_under_way": self.metrics.under_way})
        if path == "/metrics":
            text = self.metrics.text(len(self._gateway.budget.sessions), self._turns.waiting)
            return web.Response(text=text, headers={"Content-Type": CONTENT_TYPE})
        if path not in ("/v1/models", "/models", "/v1beta/models") and not re.fullmatch(
            r"/v1(beta)?/models/[^/:]+", path
        ):
            raise Refused(404, f"Outlay's gateway does not serve {request.method} {path}", "path")
        self._seats.name_of(token_of(request.headers, token, request.query.get("key", "")))
        endpoint = self._routes.by_wire(wire)
        if endpoint is None:
            return web.json_response(body=listing(wire, self._routes.names(wire), path))
        base = endpoint.base_url if wire != ANTHROPIC else f"{endpoint.base_url.removesuffix('/v1')}/v1"
        return await self._pass(request, wire, endpoint, f"{base}{path[path.index('/models') :]}", b"", [])

    async def _count(self, request: web.BaseRequest, asked: Asked, verb: str, token: str) -> web.StreamResponse:
        """Counting tokens costs nothing: it is passed on and not metered. A policy holds for it all the same."""
        self._seats.name_of(token)
        endpoint = self._routes.find(asked.model, asked.wire)
        if self._gateway.gate is not None:
            caller = await self._seats.caller(token, claim_of(request.headers, asked), asked.model)
            await self._clear(caller, endpoint, asked)
        if endpoint.offline:
            raise Refused(404, f"{endpoint.name} is played from a tape, which counts no tokens", "path")
        self.metrics.count_request(asked.wire)
        body = changed(asked, model=endpoint.model, max_output_tokens=None)
        return await self._pass(request, asked.wire, endpoint, address(endpoint, asked.wire, verb), body, [])

    async def _pass(
        self, request: web.BaseRequest, wire: str, endpoint: Endpoint, url: str, body: bytes, drop: list[str]
    ) -> web.StreamResponse:
        """Something that is not billed, there and back."""
        try:
            async with await self._send(request, endpoint, wire, url, body, plain=False) as answer:
                raw = await whole(answer, MAX_REQUEST_BYTES)
                return web.Response(status=answer.status, headers=shown_headers(answer.headers), body=raw)
        except Fault as fault:
            return _error(wire, _STATUS.get(fault.kind, 502), str(fault))
        except (aiohttp.ClientError, OSError) as error:
            return _error(wire, 502, f"{endpoint.base_url}: {error or type(error).__name__}")

    # ---- a call

    async def _call(self, request: web.BaseRequest, asked: Asked, verb: str, token: str) -> web.StreamResponse:
        endpoint = self._routes.find(asked.model, asked.wire)
        claim = claim_of(request.headers, asked)
        caller = await self._seats.caller(token, claim, asked.model)
        if claim.label:
            caller = _labelled(caller, claim.label)
        url = "" if endpoint.offline else address(endpoint, asked.wire, verb)
        with self._seats.calling(token, caller):
            return await self._pass_on(request, asked, endpoint, caller, url)

    async def _pass_on(
        self, request: web.BaseRequest, asked: Asked, endpoint: Endpoint, caller: Caller, url: str
    ) -> web.StreamResponse:
        """There and back, as often as the provider asks for a pause that is waited for here."""
        began = self._clock.monotonic()
        attempt = 0
        while True:
            attempt += 1
            await self._turn(endpoint, caller, began)
            await self._clear(caller, endpoint, asked)
            meter = await self._admit(caller, endpoint, asked, attempt)
            passing = _Passing(self, request, asked, endpoint, caller, meter)
            try:
                held = await passing.attempt(url, began)
            except BaseException as error:  # whatever it is, the call gets its end
                left = isinstance(error, asyncio.CancelledError | ClientGone)
                await through(passing.cut("the client cancelled" if left else f"broke off here: {error}"))
                raise
            if held is not None:
                return held

    async def _clear(self, caller: Caller, endpoint: Endpoint, asked: Asked) -> None:
        """Hold the call against the policy, when there is one. A refusal is written down before it is told."""
        gate = self._gateway.gate
        if gate is None:
            return
        found = gate(caller, endpoint, as_request(asked))
        if found is None:
            return
        entry, words = found
        await self._gateway.ledger.commit(lambda t: t.append(caller.run, caller.session, caller.epoch, [entry]))
        raise Refused(403, words, "policy")

    async def _turn(self, endpoint: Endpoint, caller: Caller, began: float) -> None:
        """Wait while the provider has asked for a pause; a longer one than we wait is the agent's own."""
        left = self._turns.left(endpoint.name)
        if self._clock.monotonic() + left - began > self._hold_s:
            words = f"{endpoint.name}: the provider asked for a pause, {left:.0f} s are left"
            raise Refused(429, words, "pause", retry_after_s=left)
        await self._turns.take(endpoint.name, caller.session)

    async def _admit(self, caller: Caller, endpoint: Endpoint, asked: Asked, attempt: int) -> Meter:
        """Reserve the worst case and write the intent."""
        size = len(asked.body)
        tokens = size // BYTES_PER_TOKEN + 64
        before = self._sizes.get(caller.session, 0)
        self._sizes[caller.session] = size
        fresh = (size - before) // BYTES_PER_TOKEN + 64 if size >= before else tokens
        output = (asked.max_output_tokens or endpoint.max_output_tokens) * asked.answers
        ask = self._gateway.worst(endpoint, tokens, fresh, output)
        if self._money_bound and ask.input_pico is None:
            words = (
                f"model {endpoint.model!r} has no price, so the limit in USD cannot be kept; give it one (models: "
                f"{{{endpoint.model}: {{spec: ..., price: {{input: ..., output: ...}}}}}}) or limit net_tokens instead"
            )
            raise Refused(403, words, "price")
        meter = await self._gateway.admit(caller, endpoint, ask, [], attempt=attempt)
        if (lowered := self.lowered(asked, meter)) is not None and lowered <= asked.thinking_tokens:
            await through(meter.failed(Fault("payment", "what is left is less than the thinking asked for")))
            raise LimitReached("usd", "limit reached: what is left does not cover the thinking asked for")
        return meter

    def lowered(self, asked: Asked, meter: Meter) -> int | None:
        """The limit of output to send; None when the client's own stands, or there is nothing to keep to."""
        granted = meter.grant.max_output_tokens // asked.answers
        return granted if self._bound and granted != asked.max_output_tokens else None

    def played(self, caller: Caller, endpoint: Endpoint, asked: Asked) -> Played:
        """The answer that a tape has. Raises Refused when it has another one."""
        tape = self._tapes.get(endpoint.base_url)
        if tape is None:
            tape = self._tapes[endpoint.base_url] = Tape(Path(endpoint.base_url))
        return tape.answer(caller.name, caller.role, asked)

    async def _send(
        self, request: web.BaseRequest, endpoint: Endpoint, wire: str, url: str, body: bytes, *, plain: bool
    ) -> aiohttp.ClientResponse:
        """Pass a request on. Raises Fault when no answer began."""
        assert self._client is not None
        query = [(name, value) for name, value in request.query.items() if name != "key"]
        try:
            return await self._client.request(
                request.method,
                url,
                params=query or None,
                data=body or None,
                headers=self._sent_headers(request, endpoint, wire, plain=plain),
                timeout=self._timeout,
                allow_redirects=False,
            )
        except TimeoutError:
            raise Fault("timeout", f"{endpoint.base_url}: no byte for {self._stall_s:g} s") from None
        except aiohttp.ClientResponseError as error:
            raise Fault("bad_answer", f"{endpoint.base_url} did not answer in HTTP: {error.message}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(unanswered(error), f"{endpoint.base_url}: {error or type(error).__name__}") from None

    def _sent_headers(
        self, request: web.BaseRequest, endpoint: Endpoint, wire: str, *, plain: bool
    ) -> CIMultiDict[str]:
        """The client's headers, its dummy key replaced by the true one."""
        hidden = _HIDDEN
        if connection := request.headers.get("Connection", "").lower():
            hidden = hidden | {name.strip() for name in connection.split(",")}
        headers = CIMultiDict((n, v) for n, v in request.headers.items() if n.lower() not in hidden)
        offered = request.headers.get("Accept-Encoding", "").lower()
        known = [name for name in ENCODINGS if name in offered]
        headers["Accept-Encoding"] = ", ".join(known) if known and not plain else "identity"
        key = self._keys.get((endpoint.base_url, endpoint.key_env))
        if key:
            name, value = {
                ANTHROPIC: ("x-api-key", key), GOOGLE: ("x-goog-api-key", key),
            }.get(wire, ("Authorization", f"Bearer {key}"))  # fmt: skip
            headers[name] = value
        return headers


class _Passing:
    """One attempt at one call, from its intent to its end."""

    def __init__(
        self, server: Server, request: web.BaseRequest, asked: Asked, endpoint: Endpoint, caller: Caller, meter: Meter
    ) -> None:
        self._server = server
        self._caller = caller
        self._place = server.recording.place(caller.name, caller.role) if server.recording else 0
        self._request = request
        self._asked = asked
        self._endpoint = endpoint
        self._meter = meter
        self._tap: Tap | None = None
        self._headers: Mapping[str, str] = {}
        self._settled = False
        self._began = server._clock.monotonic()

    async def attempt(self, url: str, began: float) -> web.StreamResponse | None:
        """The client's answer, or None: the provider asked for a pause, and it is waited for here."""
        server, asked, wire = self._server, self._asked, self._asked.wire
        own = self._endpoint.own_server
        body = changed(
            asked, model=self._endpoint.model, max_output_tokens=server.lowered(asked, self._meter),
            limit_field="max_tokens" if own else "",
        )  # fmt: skip
        server.metrics.under_way += 1
        try:
            try:
                answer = await self._begin(url, body)
            except Refused as refused:
                await self._failed(Fault("bad_request", str(refused)))
                raise
            except Fault as fault:
                await self._failed(fault)
                return _error(wire, _STATUS.get(fault.kind, 502), str(fault))
            try:
                if answer.status >= 300:
                    return await self._refused(answer, began)
                encoding = answer.headers.get("Content-Encoding", "").lower()
                self._tap = Tap(server._codecs[wire], encoding, keep=server.recording is not None)
                self._headers = answer.headers
                hide = None if asked.shows_usage else UsageFilter()
                return await relay(self._request, answer, self._tap, self._settle, hide)
            finally:
                answer.close()  # the connection goes back when the body was read to its end
        finally:
            server.metrics.under_way -= 1

    async def _begin(self, url: str, body: bytes) -> Answering:
        """An answer's status and headers. Raises Fault when none began, Refused when a tape has none."""
        server, asked = self._server, self._asked
        if self._endpoint.offline:
            return server.played(self._caller, self._endpoint, asked)
        plain = server.recording is not None or not asked.shows_usage
        return await server._send(self._request, self._endpoint, asked.wire, url, body, plain=plain)

    def _record(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if self._server.recording is not None:
            caller = self._caller
            self._server.recording.add(caller.name, caller.role, self._place, self._asked, status, headers, body)

    async def _settle(self, broken: Fault | None) -> None:
        """Write what became of the call; the client's leaving does not stop it."""
        assert self._tap is not None
        if broken is not None:
            await self._failed(broken)
            return
        try:
            reply = self._tap.finish()
        except Fault as fault:
            await self._failed(fault)
            return
        if self._tap.kept is not None:
            self._record(200, self._headers, b"".join(self._tap.kept))
        self._settled = True
        self._count("ok", reply.usage)
        _, cancelled = await through(self._meter.answered(Answer(reply, "exact"), ()))
        if cancelled:
            raise asyncio.CancelledError

    async def _failed(self, fault: Fault) -> None:
        self._settled = True
        self._count(fault.kind, fault.usage)
        await through(self._meter.failed(fault))

    async def cut(self, message: str) -> None:
        """The call ended before its answer did: what had come is counted, as a lower bound."""
        if not self._settled:
            await self._failed(self._tap.cut(message) if self._tap else Fault("cut", message))

    async def _refused(self, answer: Answering, began: float) -> web.StreamResponse | None:
        """An error of the provider: passed on as it is, unless it is a pause that is soon over."""
        server, wire = self._server, self._asked.wire
        try:
            raw = await whole(answer, MAX_ERROR_BYTES)
        except (aiohttp.ClientError, OSError):
            raw = b""
        tap = Tap(server._codecs[wire], answer.headers.get("Content-Encoding", "").lower())
        tap.feed(raw)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        fault = server._codecs[wire].fault(answer.status, headers, tap.body or raw)
        await self._failed(fault)
        if fault.kind == "rate_limit" and fault.retry_after_s is not None:
            server._turns.hold(self._endpoint.name, fault.retry_after_s)
            if server._clock.monotonic() - began + fault.retry_after_s <= server._hold_s:
                return None
        self._record(answer.status, answer.headers, raw)
        return web.Response(status=answer.status, reason=answer.reason, headers=shown_headers(answer.headers), body=raw)

    def _count(self, status: str, usage: object) -> None:
        took = self._server._clock.monotonic() - self._began
        self._server.metrics.call(self._asked.wire, self._endpoint.model, status, usage, took)  # type: ignore[arg-type]


def _labelled(caller: Caller, label: str) -> Caller:
    return msgspec.structs.replace(caller, role=label)


def _split(path: str) -> tuple[str, str]:
    """The path without the token in front, and the token (`/s/TOKEN/v1/...`)."""
    if path.startswith("/s/"):
        token, slash, rest = path[3:].partition("/")
        return slash + rest, token
    return path, ""


def _wire_of(path: str, headers: Mapping[str, str]) -> str:
    """The API in which an answer is worded."""
    if path in _POSTS:
        return _POSTS[path][0]
    if path.startswith("/v1beta/") or "x-goog-api-key" in headers:
        return GOOGLE
    return ANTHROPIC if "anthropic-version" in headers else CHAT


@lru_cache(maxsize=256)
def is_local(host: str) -> bool:
    """Whether a `host:port` names this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _error(wire: str, status: int, message: str) -> web.Response:
    return web.Response(status=status, body=error_body(wire, status, message), content_type="application/json")
