"""Calls over the network: one connection pool for all sessions, the key added at the last moment."""

from __future__ import annotations

import asyncio

import aiohttp

from outlay.gateway.endpoint import Endpoint
from outlay.gateway.upstream import Answer, CutShort
from outlay.wires import codec
from outlay.wires.http import send
from outlay.wires.types import Request

STALL_S = 120.0
"""Longest silence of a provider: reasoning models may think for minutes, but they keep the stream alive."""
TOTAL_S = 1_800.0


class Http:
    """One model API at one address. The key is held here and nowhere else."""

    def __init__(self, endpoint: Endpoint, key: str | None, client: aiohttp.ClientSession, stall_s: float) -> None:
        self._endpoint = endpoint
        self._key = key
        self._client = client
        self._codec = codec(endpoint.codec, base_url=endpoint.base_url)
        self._stall_s = stall_s

    async def send(self, session: str, request: Request) -> Answer:
        reader = self._codec.reader()
        try:
            reply = await send(
                self._client,
                self._codec,
                base_url=self._endpoint.base_url,
                key=self._key,
                request_body=self._codec.body(request),
                model=request.model,
                stall_s=self._stall_s,
                total_s=TOTAL_S,
                reader=reader,
            )
        except asyncio.CancelledError:
            raise CutShort(reader.usage_so_far) from None
        return Answer(reply, "exact")

    async def close(self) -> None:
        if not self._client.closed:
            await self._client.close()


def open_client() -> aiohttp.ClientSession:
    """The pool that all endpoints share: no limit on connections, environment proxies ignored."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=True)
