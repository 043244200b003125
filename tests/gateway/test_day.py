"""The day's limit: one account over all runs and processes of a ledger."""

import asyncio
import datetime as dt
import random

import pytest

from outlay.clock import Clock
from outlay.errors import LimitReached
from outlay.gateway.budget import Account, Bounds, Budget
from outlay.gateway.day import Day, used_pico
from outlay.gateway.door import Caller, Gateway
from outlay.gateway.endpoint import Endpoint
from outlay.gateway.upstream import Answer
from outlay.ledger import Entry, Ledger
from outlay.prices import book
from outlay.tokens import Usage
from outlay.wires.types import Fault, Message, Reply, Text

CENT = 10**10
PRICED = book.load().with_price("m", input=3, output=15)


class At(Clock):
    """A clock that says what it is told to."""

    def __init__(self, moment=None):
        super().__init__()
        self.moment = moment

    def now_ms(self):
        return super().now_ms() if self.moment is None else int(self.moment.timestamp() * 1000)


class Process:
    """A gateway with a ledger connection of its own, as in a process of its own."""

    def __init__(self, folder, run, bounds, clock=None):
        clock = clock or Clock()
        self.ledger = Ledger(folder / "ledger.db", clock)
        self.endpoint = Endpoint("m", "anthropic", "m", "anthropic", own_server=True)
        budget = Budget(Account("the run", Bounds()))
        self.gateway = Gateway(self.ledger, {}, {}, budget, PRICED, clock, folder, Day(bounds, PRICED, clock))
        self.run = run

    def caller(self, name):
        def opened(t):
            t.open_stream(f"{self.run}:{name}", "session")
            return t.claim(f"{self.run}:{name}", self.run)

        return Caller(self.run, f"{self.run}:{name}", name, "main", None, self.ledger.write(opened))

    def admit(self, caller, output=1_000):
        return self.gateway.admit(caller, self.endpoint, self.gateway.worst(self.endpoint, 2_000, 2_000, output), [])

    def spent(self):
        return sum(used_pico(call, PRICED) for call in self.ledger.calls())


def reply(fresh, output):
    return Answer(Reply(Message("assistant", (Text("x"),)), "end", "m", Usage(fresh=fresh, output=output)), "exact")


def test_processes_at_once_do_not_overspend_the_day_together(tmp_path):
    bounds = Bounds(usd_pico=20 * CENT)

    async def session(process, name, rng):
        caller = process.caller(name)
        calls = 0
        while True:
            try:
                meter = await process.admit(caller)
            except LimitReached as limit:
                assert limit.limit == "day.usd"
                return calls
            await asyncio.sleep(rng.random() / 100)
            share = rng.random()
            await meter.answered(reply(int(2_000 * share), int(meter.grant.max_output_tokens * share)), ())
            assert process.spent() <= bounds.usd_pico
            calls += 1

    async def run():
        processes = [Process(tmp_path, name, bounds) for name in ("one", "two", "three")]
        rng = random.Random(1)
        done = await asyncio.gather(*(session(p, f"s{n}", rng) for p in processes for n in range(4)))
        spent = processes[0].spent()
        assert bounds.usd_pico * 0.9 < spent <= bounds.usd_pico
        assert sum(done) == len(list(processes[0].ledger.calls()))
        for process in processes:
            process.ledger.close()

    asyncio.run(run())


def test_what_a_dead_process_reserved_stays_counted_and_nobody_waits_for_it(tmp_path):
    async def run():
        bounds = Bounds(usd_pico=3 * CENT)
        dead, alive = Process(tmp_path, "dead", bounds), Process(tmp_path, "alive", bounds)
        await dead.admit(dead.caller("main"), output=1_500)
        dead.ledger.write(lambda t: t.release("dead"))  # as its lease would run out
        with pytest.raises(LimitReached, match=r"limit usd of the day reached"):
            await alive.admit(alive.caller("main"))
        assert not list(alive.ledger.events("alive:main"))
        dead.ledger.close()
        alive.ledger.close()

    asyncio.run(run())


def test_a_call_waits_for_what_another_process_may_free_and_gets_the_output_that_is_left(tmp_path):
    async def run():
        bounds = Bounds(usd_pico=3 * CENT)
        one, two = Process(tmp_path, "one", bounds), Process(tmp_path, "two", bounds)
        first = await one.admit(one.caller("main"), output=1_500)
        second = asyncio.create_task(two.admit(two.caller("main"), output=4_000))
        await asyncio.sleep(0.1)
        assert not second.done()
        await first.failed(Fault("rate_limit", "later", status=429))
        granted = (await asyncio.wait_for(second, 120)).grant
        assert 256 <= granted.max_output_tokens < 2_000
        assert granted.usd_pico <= bounds.usd_pico
        assert two.gateway.budget.run.reserved_pico == granted.usd_pico
        one.ledger.close()
        two.ledger.close()

    asyncio.run(run())


def test_at_midnight_the_day_begins_anew(tmp_path):
    async def run():
        clock = At(dt.datetime(2026, 3, 1, 23, 30).astimezone())
        process = Process(tmp_path, "run", Bounds(turns=1), clock)
        caller = process.caller("main")
        await (await process.admit(caller)).answered(reply(10, 10), ())
        with pytest.raises(LimitReached, match="turns of the day"):
            await process.admit(caller)
        clock.moment += dt.timedelta(minutes=31)
        process.ledger.write(lambda t: t.claim(caller.session, "run"))
        caller = Caller("run", caller.session, "main", "main", None, 2)
        await (await process.admit(caller)).failed(Fault("server", "no", status=500))
        await process.admit(caller)
        process.ledger.close()

    asyncio.run(run())


def test_what_was_rolled_back_is_not_counted(tmp_path):
    async def run():
        process = Process(tmp_path, "run", Bounds(turns=2))
        caller = process.caller("main")

        def undone(t):
            ask = process.gateway.worst(process.endpoint, 10, 10, 10)
            process.gateway.day.admit(t.conn, ask, ask.grant(10))
            t.append("run", caller.session, caller.epoch, [Entry("call.intent", {"reserved_pico": CENT})])
            process.gateway.day.admit(t.conn, ask, ask.grant(10))
            raise ValueError("undone")

        with pytest.raises(ValueError, match="undone"):
            await process.ledger.commit(undone)
        await process.admit(caller)
        await process.admit(caller)
        process.ledger.close()

    asyncio.run(run())
