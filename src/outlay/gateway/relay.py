"""An answer on its way from the provider to the client: the same bytes as they come, and a copy for the meter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from outlay.gateway.passthrough import UsageFilter
from outlay.gateway.tap import Tap
from outlay.gateway.tape import Played
from outlay.wires.types import Fault

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade", "host", "content-length", "expect")
)  # fmt: skip
"""RFC 9110, 7.6.1; and what is made anew for every connection."""
AT_ONCE_BYTES = 1 << 20
"""Answers up to this size that are no streams go out in one piece."""
FLUSH_S = 5.0
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)

Answering = aiohttp.ClientResponse | Played
"""An answer that began: a provider's, or a tape's."""
Settle = Callable[[Fault | None], Awaitable[None]]
"""Told once, before the client sees the end: None when the body came to its end, else how it broke."""


class ClientGone(Exception):
    """The client closed its connection while the answer came."""


async def relay(
    request: web.BaseRequest, answer: Answering, tap: Tap, settle: Settle, usage_filter: UsageFilter | None
) -> web.StreamResponse:
    """Pass an answer on. Raises ClientGone when nobody is there to take it; nothing is settled then."""
    headers = shown_headers(answer.headers)
    length = answer.content_length
    if usage_filter is None and length is not None and length <= AT_ONCE_BYTES and not _is_stream(answer):
        return await _at_once(request, answer, headers, length, tap, settle)
    # No length: then the end is a byte of its own, which the client gets after the ledger has the call.
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await _to_client(response.prepare(request))
    broken: Fault | None = None
    content = answer.content
    while True:
        try:
            chunk = await content.readany()
        except _BROKEN as error:
            broken = tap.cut(*_why(error))
            break
        if not chunk:
            break
        tap.feed(chunk)
        shown = chunk if usage_filter is None else usage_filter.feed(chunk)
        if shown:
            await _to_client(response.write(shown))
    if usage_filter is not None and (rest := usage_filter.flush()):
        await _to_client(response.write(rest))
    await settle(broken)
    if broken is not None:
        await break_off(request)
    return response


async def _at_once(
    request: web.BaseRequest,
    answer: Answering,
    headers: CIMultiDict[str],
    length: int,
    tap: Tap,
    settle: Settle,
) -> web.StreamResponse:
    pieces: list[bytes] = []
    broken: Fault | None = None
    try:
        while chunk := await answer.content.readany():
            pieces.append(chunk)
            tap.feed(chunk)
    except _BROKEN as error:
        broken = tap.cut(*_why(error))
    await settle(broken)
    body = b"".join(pieces)
    if broken is None:
        return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)
    headers["Content-Length"] = str(length)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await _to_client(response.prepare(request))
    await _to_client(response.write(body))
    await break_off(request)
    return response


async def _to_client(work: Awaitable[object]) -> None:
    try:
        await work
    except (ConnectionError, aiohttp.ClientError) as error:
        raise ClientGone from error


async def break_off(request: web.BaseRequest) -> None:
    """Close the connection without the end of the answer, so that the client sees that it broke."""
    transport = request.transport
    if transport is None:
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + FLUSH_S
    while transport.get_write_buffer_size() and not transport.is_closing() and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    transport.close()


def shown_headers(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Headers as they are passed on: all but those of the connection."""
    hidden = HOP_BY_HOP
    if "Connection" in headers:
        hidden = hidden | {n.strip().lower() for value in headers.getall("Connection") for n in value.split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in hidden)


async def whole(answer: Answering, limit: int) -> bytes:
    """The body of an answer, up to `limit` bytes; what follows is left out."""
    pieces: list[bytes] = []
    size = 0
    while chunk := await answer.content.readany():
        pieces.append(chunk)
        size += len(chunk)
        if size > limit:
            break
    return b"".join(pieces)[:limit]


def _is_stream(answer: Answering) -> bool:
    return answer.headers.get("Content-Type", "").startswith("text/event-stream")


def _why(error: BaseException) -> tuple[str, str]:
    if isinstance(error, TimeoutError):  # aiohttp's time-outs are of this kind, too
        return "the provider fell silent in the middle of its answer", "timeout"
    return f"the answer was cut off: {error or type(error).__name__}", "cut"
