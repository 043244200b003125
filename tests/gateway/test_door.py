"""The gateway against the scripted model server: what the server saw and what the ledger says are the same."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from modelserver import Answer, FaultPlan, ModelServer, Tool, in_turn
from outlay.clock import Clock
from outlay.errors import Fenced, LimitReached, Paused
from outlay.gateway import Bounds, Budget, Caller, Endpoint, Gateway
from outlay.gateway.budget import Account
from outlay.gateway.http import Http, open_client
from outlay.ledger import Entry, Ledger, verify
from outlay.prices import book
from outlay.wires.types import Fault, Message, Request, Text

PROVIDERS = {"anthropic": "anthropic", "openai-chat": "openai-chat", "openai-responses": "openai", "google": "google"}
REQUEST = Request("m", "You are a test.", (), (Message("user", (Text("go"),)),), 1_000)


class Impatient(Clock):
    """Real time, but back-off is short."""

    def jitter(self) -> float:
        return 0.0


class Bench:
    """A gateway with one session, in front of a scripted server."""

    def __init__(self, folder: Path, server: ModelServer, codec="anthropic", bounds=Bounds(), stall_s=5.0, fallback=()):
        self.ledger = Ledger(folder / "ledger.db")
        clock = Impatient()

        def endpoint(name, fallback=()):
            return Endpoint(
                name, codec, f"id-{name}", codec, server.base_url(codec), own_server=True, fallback=fallback
            )

        self.endpoints = {"main": endpoint("main", fallback), "spare": endpoint("spare")}
        priced = book.load()
        for name in self.endpoints:
            priced = priced.with_price(f"id-{name}", input=3, output=15, cache_read="0.3", cache_write_5m="3.75")
        client = open_client()
        upstreams = {name: Http(e, "secret-key", client, stall_s) for name, e in self.endpoints.items()}
        budget = Budget(Account("the run", bounds))
        self.gateway = Gateway(self.ledger, self.endpoints, upstreams, budget, priced, clock, folder)

        def opened(t):
            t.open_stream("r:main", "session")
            return t.claim("r:main", "me")

        self.caller = Caller("r", "r:main", "main", "main", None, self.ledger.write(opened))

    async def call(self, request=REQUEST, before=()):
        return await self.gateway.call(self.caller, "main", request, list(before))

    async def close(self):
        await self.gateway.close()
        self.ledger.close()

    def rows(self):
        return list(self.ledger.calls())

    def types(self):
        return [event.type for event in self.ledger.events("r:main")]


def on_bench(tmp_path, script, work, **options):
    async def run():
        async with ModelServer(script) as server:
            bench = Bench(tmp_path, server, **options)
            try:
                return await work(bench, server)
            finally:
                await bench.close()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr("outlay.gateway.door.FIRST_WAIT_S", 0.02)


@pytest.mark.parametrize("codec", list(PROVIDERS))
def test_what_the_server_billed_is_what_the_ledger_counts(tmp_path, codec):
    async def work(bench, server):
        reply = await bench.call()
        grown = msgspec.structs.replace(
            REQUEST, messages=(*REQUEST.messages, reply.message, Message("user", (Text("and on"),)))
        )
        await bench.call(grown)
        truth = [record["usage"] for record in server.records]
        rows = bench.rows()
        counted = [msgspec.structs.asdict(row.usage) for row in rows]
        for asked, got in zip(truth, counted, strict=True):
            assert {name: got[name] for name in asked if name in got} == {k: v for k, v in asked.items() if k in got}
        assert [row.quality for row in rows] == ["exact", "exact"]
        assert bench.gateway.budget.run.spent_net == sum(row.usage.net for row in rows)
        assert verify(bench.ledger).problems == []

    on_bench(tmp_path, in_turn([Answer("one", reasoning="hm"), Answer("two")]), work, codec=codec)


def test_intent_comes_before_and_result_after_and_what_was_pending_goes_along(tmp_path):
    async def work(bench, _):
        pending = [Entry("tool.result", {"call_id": "x"}, b"text")]
        await bench.gateway.call(bench.caller, "main", REQUEST, pending, then=lambda _: [Entry("tool.intent", {})])
        assert pending == []
        assert bench.types() == ["tool.result", "call.intent", "call.result", "tool.intent"]

    on_bench(tmp_path, lambda call: Answer("hi", (Tool("read", {}),)), work)


def test_every_attempt_is_a_row_and_retry_after_is_kept(tmp_path):
    plans = [FaultPlan("rate_limit", retry_after="0.3"), FaultPlan("server"), FaultPlan("overloaded"), Answer("ok")]

    async def work(bench, server):
        await bench.call()
        assert [row.status for row in bench.rows()] == ["failed", "failed", "failed", "ok"]
        assert len(server.records) == 4
        assert server.records[1]["time"] - server.records[0]["time"] >= 0.3
        assert bench.gateway.budget.run.turns == 1
        assert [row.possible_cost_pico for row in bench.rows()] == [None] * 4

    steps = iter(plans)
    on_bench(tmp_path, lambda _: next(steps), work)


@pytest.mark.parametrize("kind", ["cut", "reset", "half_json", "error_event", "stall", "stall_midway"])
def test_a_broken_answer_is_tried_again_and_counted_as_possibly_paid(tmp_path, kind):
    steps = iter([FaultPlan(kind, answer=Answer("word " * 50)), Answer("ok")])

    async def work(bench, server):
        await bench.call()
        broken, whole = bench.rows()
        assert (broken.status, whole.status) == ("cut", "ok")
        assert broken.quality in ("lower_bound", "unmeasured") and broken.possible_cost_pico > 0
        seen = server.records[0]["usage"]
        assert (broken.usage.input > 0) == (seen is not None)

    on_bench(tmp_path, lambda _: next(steps), work, stall_s=0.5)


def test_an_answer_without_usage_is_counted_and_flagged_unmeasured(tmp_path):
    async def work(bench, _):
        await bench.call()
        (row,) = bench.rows()
        assert row.quality == "unmeasured" and row.status == "ok" and row.usage.net == 0
        assert row.possible_cost_pico == bench.gateway.budget.run.spent_pico > 0

    on_bench(tmp_path, lambda _: FaultPlan("no_usage", answer=Answer("hi")), work)


def test_another_models_name_in_the_answer_is_kept_beside_the_one_asked_for(tmp_path):
    async def work(bench, _):
        await bench.call()
        (row,) = bench.rows()
        assert (row.model, row.answered_model) == ("id-main", "impostor")

    on_bench(tmp_path, lambda _: Answer("hi", model="impostor"), work)


def test_a_refusal_by_the_provider_is_final_and_the_fallback_is_asked(tmp_path):
    async def work(bench, server):
        reply = await bench.call()
        assert reply.model == "id-spare"
        assert [(row.model, row.status) for row in bench.rows()] == [("id-main", "failed"), ("id-spare", "ok")]

    def script(call):
        return FaultPlan("payment") if call.model == "id-main" else Answer("ok")

    on_bench(tmp_path, script, work, fallback=("spare",))


def test_when_everything_fails_the_last_fault_is_raised(tmp_path):
    async def work(bench, server):
        with pytest.raises(Fault) as caught:
            await bench.call()
        assert caught.value.kind == "auth"
        assert "secret-key" not in str(caught.value)
        assert len(server.records) == 1

    on_bench(tmp_path, lambda _: FaultPlan("auth"), work)


def test_a_cancelled_call_is_counted_as_what_had_arrived(tmp_path):
    async def work(bench, server):
        task = asyncio.create_task(bench.call())
        while not server.records or server.records[0]["usage"] is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (row,) = bench.rows()
        assert row.status == "cut" and row.quality == "lower_bound" and row.usage.input > 0
        assert bench.gateway.budget.run.reserved_pico == 0

    on_bench(tmp_path, lambda _: Answer("word " * 400, chunks=200, chunk_delay_s=1), work)


def test_a_limit_stops_before_anything_is_sent(tmp_path):
    async def work(bench, server):
        with pytest.raises(LimitReached):
            await bench.call()
        assert server.records == [] and bench.types() == []

    on_bench(tmp_path, lambda _: Answer("hi"), work, bounds=Bounds(usd_pico=1000))


def test_after_a_takeover_nothing_is_sent_and_nothing_written(tmp_path):
    async def work(bench, server):
        bench.ledger.write(lambda t: t.conn.execute("UPDATE streams SET epoch = 99"))
        with pytest.raises(Fenced):
            await bench.call()
        assert server.records == [] and bench.types() == []
        assert bench.gateway.budget.run.reserved_pico == 0

    on_bench(tmp_path, lambda _: Answer("hi"), work)


def test_a_pause_does_not_wait_out_the_back_off(tmp_path):
    async def work(bench, _):
        task = asyncio.create_task(bench.call())
        while "call.failed" not in bench.types():
            await asyncio.sleep(0.01)
        bench.gateway.pausing.set()
        with pytest.raises(Paused):
            await asyncio.wait_for(task, 120)

    on_bench(tmp_path, lambda _: FaultPlan("rate_limit", retry_after="600"), work)


def test_neither_ledger_nor_log_holds_the_key(tmp_path):
    async def work(bench, _):
        await bench.call()

    on_bench(tmp_path, lambda _: Answer("hi"), work)
    for file in tmp_path.iterdir():
        assert b"secret-key" not in file.read_bytes()
