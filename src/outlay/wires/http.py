"""One model call over HTTP: post, read the stream, give the reply or a fault. Retries belong to the caller."""

from __future__ import annotations

import asyncio
from typing import Literal

import aiohttp

from outlay.wires import faults
from outlay.wires.types import Codec, Fault, FaultKind, Reply, StreamReader

CONNECT_S = 30.0
"""Longest wait for a connection, where `stall_s` is longer."""
MAX_ANSWER_BYTES = 64 << 20
MAX_ERROR_BYTES = 1 << 20


async def send(
    client: aiohttp.ClientSession,
    codec: Codec,
    *,
    base_url: str,
    key: str | None,
    request_body: bytes,
    model: str,
    stall_s: float,
    total_s: float,
    reader: StreamReader | None = None,
) -> Reply:
    """Post `request_body` (from `codec.body`) and read the whole answer, streamed or not.

    `stall_s`: longest time without a byte; `total_s`: longest time at all. Raises Fault for everything that is no
    whole reply, and nothing else but CancelledError. To know what a cancelled call has used so far, pass a `reader`
    (from `codec.reader()`) and ask its `usage_so_far` after the cancellation.
    """
    if reader is None:
        reader = codec.reader()
    try:
        async with asyncio.timeout(total_s):
            return await _call(client, codec, base_url, key, request_body, model, stall_s, reader)
    except Fault as fault:
        fault.args = (faults.short(str(fault), key),)
        raise
    except TimeoutError:
        raise _fault(reader, "timeout", f"no whole answer within {total_s:g} s", key) from None


async def _call(
    client: aiohttp.ClientSession,
    codec: Codec,
    base_url: str,
    key: str | None,
    request_body: bytes,
    model: str,
    stall_s: float,
    reader: StreamReader,
) -> Reply:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(stall_s, CONNECT_S), sock_read=stall_s)
    try:
        # A redirect would carry the key to another host.
        response = await client.post(
            codec.url(base_url, model),
            data=request_body,
            headers=codec.headers(key),
            timeout=timeout,
            allow_redirects=False,
        )
    except aiohttp.SocketTimeoutError:
        raise _fault(reader, "timeout", f"no byte from the provider for {stall_s:g} s", key) from None
    except aiohttp.ServerTimeoutError:
        raise _fault(reader, "timeout", f"no connection within {min(stall_s, CONNECT_S):g} s", key) from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError) as error:
        raise _fault(reader, "bad_request", f"cannot post to {base_url!r}: {error}", key) from None
    except aiohttp.ClientResponseError as error:
        raise _fault(reader, "bad_answer", f"{base_url} did not answer in HTTP: {error.message}", key) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _fault(reader, unanswered(error), f"{base_url}: {error or type(error).__name__}", key) from None
    try:
        return await _read(response, codec, reader)
    except aiohttp.ServerTimeoutError:
        raise _fault(reader, "timeout", f"no byte from the provider for {stall_s:g} s", key) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _fault(reader, "cut", f"the answer was cut off: {error or type(error).__name__}", key) from None
    finally:
        # Closes the connection when the body was not read to its end, else it was already released for reuse.
        response.close()


def unanswered(error: Exception) -> Literal["connection", "cut"]:
    """The kind of fault when no answer began: a provider that was reached may have begun to work, and bill it."""
    reached = isinstance(error, aiohttp.ClientConnectionError | OSError)
    return "cut" if reached and not isinstance(error, aiohttp.ClientConnectorError) else "connection"


async def _read(response: aiohttp.ClientResponse, codec: Codec, reader: StreamReader) -> Reply:
    status = response.status
    if status >= 300:
        body = await _body(response, MAX_ERROR_BYTES)
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise codec.fault(status, headers, body)
    start = b""
    async for chunk in response.content.iter_any():
        start += chunk
        if start.strip():
            break
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise Fault("cut", "the answer is empty", status=status)
    if head[:1] in b"{[":
        # A server that does not stream, or an error under status 200.
        return codec.read(start + await _body(response, MAX_ANSWER_BYTES))
    if head[:1] == b"<":
        raise Fault("bad_answer", "the answer is a web page: is the base URL right?", status=status)
    reader.feed(start)
    size = len(start)
    async for chunk in response.content.iter_any():
        reader.feed(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise _fault(reader, "bad_answer", f"the answer is longer than {MAX_ANSWER_BYTES} bytes", None)
    return reader.finish()


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The rest of the body, up to `limit` bytes; more is cut."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        pieces.append(chunk)
        size += len(chunk)
        if size > limit:
            break
    return b"".join(pieces)[:limit]


def _fault(reader: StreamReader, kind: FaultKind, message: str, key: str | None) -> Fault:
    return Fault(kind, faults.short(message, key), usage=reader.usage_so_far, raw_usage=reader.raw_usage_so_far)
