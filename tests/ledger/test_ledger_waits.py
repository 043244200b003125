"""Those who wait for a commit: cancelled ones harm nobody, and a step that fails is undone alone."""

import asyncio
import threading

import pytest

from outlay.errors import Fenced
from outlay.ledger import Entry, Ledger, verify


def begin(t):
    t.open_stream("s", "session")
    return t.claim("s", "me")


def test_a_cancelled_wait_neither_undoes_the_write_nor_stops_the_ledger(tmp_path):
    async def work(ledger):
        epoch = await ledger.commit(begin)
        held = threading.Event()
        first = asyncio.create_task(ledger.commit(lambda t: held.wait(120)))
        second = asyncio.create_task(ledger.commit(lambda t: t.append("r", "s", epoch, [Entry("x")])))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        held.set()
        assert await asyncio.wait_for(ledger.commit(lambda t: t.append("r", "s", epoch, [Entry("y")])), 120) == [1]

    with Ledger(tmp_path / "ledger.db") as ledger:
        asyncio.run(work(ledger))
        assert [event.type for event in ledger.events("s")] == ["x", "y"]


def test_a_cancelled_future_does_not_stop_the_ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        held = threading.Event()
        ledger.submit(lambda t: held.wait(120))
        assert ledger.submit(begin).cancel()
        held.set()
        assert ledger.write(begin) == 2


def test_steps_of_one_group_that_fail_leave_the_chain_whole(tmp_path):
    async def work(ledger):
        epoch = await ledger.commit(begin)
        held = threading.Event()
        first = asyncio.create_task(ledger.commit(lambda t: held.wait(120)))
        await asyncio.sleep(0)

        def step(number):
            def appended_then_fails(t):
                t.append("r", "s", epoch, [Entry("x", {"number": number}, b"payload")])
                if number % 3 == 1:
                    raise RuntimeError("this step goes wrong")
                t.append("r", "s", epoch - (number % 3 == 2), [Entry("y")])

            return ledger.commit(appended_then_fails)

        steps = [asyncio.create_task(step(number)) for number in range(30)]
        await asyncio.sleep(0)
        held.set()
        await first
        return await asyncio.gather(*steps, return_exceptions=True)

    with Ledger(tmp_path / "ledger.db") as ledger:
        results = asyncio.run(work(ledger))
        assert [type(result) for result in results] == [type(None), RuntimeError, Fenced] * 10
        assert [event.head.get("number") for event in ledger.events("s", types=["x"])] == list(range(0, 30, 3))
        assert verify(ledger).problems == []


def test_an_exception_of_a_step_reaches_who_waits_for_it(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger, pytest.raises(Fenced):
        ledger.write(lambda t: t.append("r", "nobody", 1, [Entry("x")]))
