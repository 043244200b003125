"""Calls as OpenTelemetry spans (GenAI semantic conventions 1.41), sent by OTLP over HTTP as JSON.

Only leaf calls, and no texts: what was asked of which model, for which session, how long it took and what it used. They
are read from the ledger, so that an export costs no call anything and can be made again at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec

from outlay import __version__
from outlay.errors import InputError, OutlayError
from outlay.ledger import Call, Ledger

PERIOD_S = 2.0
BATCH = 500
TIMEOUT_S = 10.0
_CLIENT = 3
"""Kind of a span that asks somebody else."""
_ERROR = 2
_PROVIDERS = {"google": "gcp.gemini"}
"""Names of the conventions where they differ from ours."""


class ExportError(OutlayError):
    """The collector did not take the spans. Nothing is lost: they are in the ledger."""


def document(calls: Iterable[Call]) -> bytes:
    """The calls as one `ExportTraceServiceRequest`."""
    resource = {"attributes": _attributes({"service.name": "outlay", "service.version": __version__})}
    scope = {"name": "outlay.gateway", "version": __version__}
    spans = [_span(call) for call in calls]
    return msgspec.json.encode(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
    )


def _span(call: Call) -> dict[str, object]:
    """One call. Ids are made from its run and its key: a call that is sent twice is the same span."""
    usage = call.usage
    measured = call.quality != "unmeasured"
    facts: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(call.provider, call.provider),
        "gen_ai.request.model": call.model,
        "gen_ai.response.model": call.answered_model or (call.model if call.status == "ok" else None),
        "gen_ai.conversation.id": call.session,
        "gen_ai.agent.name": call.agent,
        "gen_ai.usage.input_tokens": usage.input if measured else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read if measured else None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_5m + usage.cache_write_1h if measured else None,
        "gen_ai.usage.output_tokens": usage.output if measured else None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning if measured else None,
        "error.type": call.status if call.status != "ok" else None,
        "outlay.run": call.run,
        "outlay.role": call.role,
        "outlay.quality": call.quality,
        "outlay.attempt": call.attempt,
    }
    began = call.started_ms if call.started_ms is not None else call.ended_ms
    return {
        "traceId": hashlib.sha256((call.run or call.session).encode()).hexdigest()[:32],
        "spanId": hashlib.sha256(f"{call.source} {call.key}".encode()).hexdigest()[:16],
        "name": f"chat {call.model}",
        "kind": _CLIENT,
        "startTimeUnixNano": str(began * 1_000_000),
        "endTimeUnixNano": str(call.ended_ms * 1_000_000),
        "attributes": _attributes(facts),
        "status": {} if call.status == "ok" else {"code": _ERROR, "message": call.status},
    }


def _attributes(facts: Mapping[str, object]) -> list[dict[str, object]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in facts.items()
        if value is not None and value != ""
    ]


class Exporter:
    """Sends calls of a ledger to a collector, each once it has ended."""

    def __init__(
        self, ledger: Ledger, endpoint: str, run: str | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """endpoint: the collector's URL, with or without `/v1/traces`. run: None is every run of ours.

        Headers are taken from OTEL_EXPORTER_OTLP_HEADERS (`name=value,name=value`). Raises InputError when the endpoint
        is no URL.
        """
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise InputError(f"--otel {endpoint!r} is no URL of a collector, such as http://127.0.0.1:4318")
        self._url = endpoint if url.path.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
        pairs = (pair.partition("=") for pair in environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if pair)
        self._headers = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
        self._ledger = ledger
        self._run = run
        self._sent = 0
        """Place of the last call that the collector took."""

    async def send(self) -> int:
        """Send what has ended since the last time; how many calls. Raises ExportError when the collector fails."""
        count = 0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:
            while rows := self._next():
                keys = ", ".join("?" * len(rows))
                calls = self._ledger.calls(f"source = 'outlay' AND key IN ({keys})", tuple(key for _, key in rows))
                await self._post(client, document(calls))
                self._sent = rows[-1][0]
                count += len(rows)
        return count

    def _next(self) -> list[tuple[int, str]]:
        query = "SELECT id, key FROM call_facts WHERE id > ? AND source = 'outlay'"
        if self._run is not None:
            query += " AND caller IN (SELECT id FROM callers WHERE run = ?)"
        parameters = (self._sent, *([self._run] if self._run is not None else []), BATCH)
        return self._ledger.reader.execute(f"{query} ORDER BY id LIMIT ?", parameters).fetchall()

    async def _post(self, client: aiohttp.ClientSession, body: bytes) -> None:
        try:
            async with client.post(
                self._url, data=body, headers={"Content-Type": "application/json"} | self._headers
            ) as answer:
                if answer.status >= 300:
                    words = (await answer.text())[:200].strip()
                    raise ExportError(f"{self._url} answered {answer.status}{': ' if words else ''}{words}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ExportError(f"cannot send spans to {self._url}: {error or type(error).__name__}") from None

    @contextlib.asynccontextmanager
    async def following(self, warn: Callable[[str], None]) -> AsyncIterator[None]:
        """Send as calls end, and the rest at the end. A collector that fails is told of once, and tried again."""
        task = asyncio.create_task(self._follow(warn))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with contextlib.suppress(ExportError):
                await self.send()

    async def _follow(self, warn: Callable[[str], None]) -> None:
        warned = False
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.send()
                warned = False
            except ExportError as error:
                if not warned:
                    warn(f"{error}; the calls stay in the ledger and are tried again")
                warned = True
