"""Spans of calls, as a collector gets them."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys

import pytest
from aiohttp import web
from gateway_lab import body_for, lab

from modelserver import Answer, FaultPlan
from outlay.errors import InputError
from outlay.gateway.otel import Exporter, ExportError
from outlay.ledger import Ledger


class Collector:
    """Takes spans by OTLP/HTTP JSON; its first answers may be errors."""

    def __init__(self, failures=0):
        self.failures = failures
        self.spans = {}
        self.requests = 0
        self.headers = {}

    async def take(self, request):
        self.requests += 1
        self.headers = request.headers
        if self.failures:
            self.failures -= 1
            return web.Response(status=503, text="later")
        for resource in (await request.json())["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    facts = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
                    self.spans[span["spanId"]] = span | {"attributes": facts}
        return web.json_response({})

    @contextlib.asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_post("/v1/traces", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def test_every_call_becomes_one_span_with_its_counters_and_no_text(tmp_path, monkeypatch):
    async def go():
        collector = Collector(failures=1)
        said = iter([Answer("a secret answer"), FaultPlan("server")])
        async with collector.serving() as url:
            async with lab(lambda call: next(said), tmp_path, monkeypatch, otel=url) as it:
                for _ in range(2):
                    async with it.post("/s/seat/v1/messages", body_for("anthropic", "a secret task")) as answer:
                        await answer.read()
                calls = it.calls()
                with pytest.raises(ExportError, match="503: later"):
                    await Exporter(it.ledger, url, it.gateway.run).send()
            assert len(collector.spans) == 2
            good, bad = sorted(collector.spans.values(), key=lambda span: span["attributes"].get("error.type", ""))
            facts = good["attributes"]
            assert good["name"] == "chat m-1" and good["kind"] == 3
            assert (facts["gen_ai.provider.name"], facts["gen_ai.agent.name"]) == ("own", "seat")
            assert int(facts["gen_ai.usage.input_tokens"]) == calls[0].usage.input
            assert int(facts["gen_ai.usage.output_tokens"]) == calls[0].usage.output
            assert int(good["endTimeUnixNano"]) >= int(good["startTimeUnixNano"]) > 10**18
            assert bad["attributes"]["error.type"] == "failed" and bad["status"]["code"] == 2
            assert len(good["traceId"]) == 32 and good["traceId"] == bad["traceId"]
            assert "secret" not in json.dumps(collector.spans)

    asyncio.run(go())


def test_the_ledger_exports_afterwards_and_twice_is_the_same(tmp_path, monkeypatch):
    async def go():
        async with lab(lambda call: Answer("x"), tmp_path, monkeypatch) as it:
            for n in range(3):
                async with it.post(f"/s/s{n}/v1/messages", body_for("anthropic")) as answer:
                    await answer.read()
            run = it.gateway.run
        collector = Collector()
        async with collector.serving() as url:
            env = os.environ | {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=a%20b,x-key=k"}
            for _ in range(2):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "outlay", "ledger", "export", run, "--otel", url),
                    env=env, stderr=subprocess.PIPE,
                )  # fmt: skip
                _, said = await process.communicate()
                assert (process.returncode, said.strip()) == (0, b"3 calls sent")
            assert len(collector.spans) == 3 and collector.requests == 2
            assert (collector.headers["x-team"], collector.headers["x-key"]) == ("a b", "k")

    asyncio.run(go())


def test_a_collector_that_is_none_is_said(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger, pytest.raises(InputError, match="no URL of a collector"):
        Exporter(ledger, "localhost:4318")
