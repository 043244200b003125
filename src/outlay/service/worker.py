"""The worker: one process that works on all agents of a state folder, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback

from outlay import home
from outlay.agents.mail import posted
from outlay.agents.session import Ending
from outlay.clock import Clock
from outlay.errors import DiskProblem, LedgerError
from outlay.gateway.http import open_client
from outlay.ledger import Ledger, Transaction
from outlay.runs.owner import owner_here, release_dead
from outlay.sandbox.probe import open_sandbox
from outlay.service import config, keeper
from outlay.service.activation import Activation, Shared, end_queued, leave
from outlay.service.keys import Given, Keys, listening
from outlay.service.registry import Registered, found_key, select

TICK_S = 0.1
BEAT_S = 1.0
RENEW_BEATS = 5
KEEPER_BEATS = 10
"""Time for a keeper to start before another one is tried."""
IDLE_S = 60.0
"""How long a worker without work stays. `OUTLAY_AGENT_IDLE_S` in the environment: another number of seconds."""
SETTLED_MS = 10_000
"""An agent that was worked on for so long does not end its worker at its beginning."""
RETRY_S = 5.0
"""Pause after the ledger or a disk could not be written."""
_READY = "live AND run IN (SELECT id FROM runs WHERE status = 'queued')"
_WANTED = "live AND run IN (SELECT id FROM runs WHERE wanted = 'cancel')"


def serve(memory: int | None) -> None:
    """Be the worker until there is nothing left to do, or until it is asked to end. A second one ends at once.
    memory: descriptor of where it keeps the keys that it is handed."""
    keys = Keys(memory)
    while True:
        with keeper.lock("worker") as held:
            if not held:
                return
            if asyncio.run(_serve(keys)):
                return
        # Released first, then looked once more: whoever registers an agent either meets the lock or is met here.
        with Ledger(home.home() / "ledger.db") as ledger:
            if not select(ledger, f"{_READY} OR {_WANTED}"):
                return


async def _serve(keys: Keys) -> bool:
    """Work; whether it ended because it was asked to."""
    clock = Clock()
    with Ledger(home.home() / "ledger.db", clock) as ledger:
        client = open_client()
        try:
            shared = Shared(ledger, open_sandbox(), client, owner_here("agents"), clock, keys)
            worker = Worker(shared, config.load().concurrent)
            async with listening(worker.take_keys):
                return await worker.work()
        finally:
            await client.close()


class Worker:
    """All agents that are being worked on."""

    def __init__(self, shared: Shared, concurrent: int) -> None:
        self._shared = shared
        self._concurrent = concurrent
        self._idle_s = float(os.environ.get("OUTLAY_AGENT_IDLE_S") or IDLE_S)
        self._active: dict[str, Activation] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._version = -1
        self._stopping = False

    async def work(self) -> bool:
        """Work until idle for long enough, or asked to end; whether it was the latter."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        await self._shared.ledger.commit(self._recover)
        beating = asyncio.create_task(self._beat())
        try:
            await self._until_idle()
        finally:
            beating.cancel()
            for activation in self._active.values():
                activation.pause(park=activation.asking)
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        return self._stopping

    async def take_keys(self, given: Given) -> None:
        """Know keys from now on, and go on with what waited for them."""
        self._shared.keys.take(given)
        await self._shared.ledger.commit(lambda t: found_key(t, given))

    def _stop(self) -> None:
        self._stopping = True

    async def _until_idle(self) -> None:
        clock = self._shared.clock
        last = busy = clock.monotonic()
        while not self._stopping and clock.monotonic() - busy < self._idle_s:
            if self._news():
                await self._look()
            now = clock.monotonic()
            self._count_time(now - last)
            last = now
            if self._not_before or any(not activation.asking for activation in self._active.values()):
                busy = now
            await asyncio.sleep(TICK_S)

    def _news(self) -> bool:
        """Whether anybody wrote to the ledger since this was last asked, or a pause is over."""
        version = self._shared.ledger.reader.execute("PRAGMA data_version").fetchone()[0]
        changed, self._version = version != self._version, version
        return changed or bool(self._not_before)

    # ---- what is to be done

    async def _look(self) -> None:
        ledger = self._shared.ledger
        for row in select(ledger, _WANTED):
            await self._cancel(row)
        for run, activation in list(self._active.items()):
            if activation.main is not None and posted(ledger.reader, run) > activation.read:
                await activation.deliver_mail()
        room = self._concurrent - sum(not activation.asking for activation in self._active.values())
        if room > 0:
            now = self._shared.clock.monotonic()
            ready = [row for row in select(ledger, _READY) if row.run not in self._tasks]
            self._not_before = {run: at for run, at in self._not_before.items() if at > now}
            for row in [row for row in ready if row.run not in self._not_before][:room]:
                self._begin(row)

    async def _cancel(self, row: Registered) -> None:
        activation = self._active.get(row.run)
        if activation is not None:
            activation.end_as(Ending("cancelled", reason="cancelled"))
        else:
            await self._shared.ledger.commit(lambda t: end_queued(t, row.run, self._shared.owner))

    def _begin(self, row: Registered) -> None:
        activation = self._active[row.run] = Activation(row, self._shared)
        self._tasks[row.run] = asyncio.create_task(self._pursue(activation), name=row.run)

    async def _pursue(self, activation: Activation) -> None:
        run = activation.run
        try:
            await activation.pursue()
        except (LedgerError, DiskProblem) as error:
            self._say(f"{run}: {error}; tried again in {RETRY_S:.0f} s")
            self._not_before[run] = self._shared.clock.monotonic() + RETRY_S
        except Exception:  # noqa: BLE001 - a defect: the agent ends, the others go on
            self._say(f"{run}: {traceback.format_exc()}")
            with contextlib.suppress(LedgerError):
                await activation.lose("an error in Outlay itself; the worker's log has it")
        finally:
            self._active.pop(run, None)
            self._tasks.pop(run, None)

    def _say(self, words: str) -> None:
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()

    # ---- time

    def _count_time(self, seconds: float) -> None:
        for activation in self._active.values():
            if not activation.asking:
                activation.worked_s += seconds
                if activation.overdue:
                    assert activation.goal is not None
                    words = f"worked longer than {activation.goal.limits.wall_s:g} s"
                    activation.end_as(Ending("timed_out", reason=words))

    async def _beat(self) -> None:
        """Renew the leases, write down what the sessions are doing, have a keeper."""
        beats = look_again = 0
        while True:
            actions = [action for a in self._active.values() if a.crew is not None for action in a.crew.take_actions()]
            renew = beats % RENEW_BEATS == 0

            def work(t: Transaction, actions: list[tuple[str, str]] = actions, renew: bool = renew) -> None:
                if renew:
                    t.renew(self._shared.owner)
                    settled = t.now_ms() - SETTLED_MS
                    t.conn.execute("UPDATE agents SET tries = 0 WHERE live AND tries AND begun_ms < ?", (settled,))
                t.conn.executemany("UPDATE sessions SET last_action = ? WHERE id = ? AND ended_ms IS NULL", actions)

            if renew or actions:
                with contextlib.suppress(LedgerError):  # whoever writes next will meet it and say so
                    await self._shared.ledger.commit(work)
            if beats >= look_again and not keeper.is_held("keeper"):
                keeper.spawn_keeper(self._shared.keys.descriptor)
                look_again = beats + KEEPER_BEATS
            beats += 1
            await asyncio.sleep(BEAT_S)

    # ---- after a crash

    def _recover(self, t: Transaction) -> None:
        """Queue again what a worker that died was working on, as of its last sign of life."""
        for (run,) in t.conn.execute(
            "SELECT id FROM runs WHERE status = 'running' AND id IN (SELECT run FROM agents WHERE live)"
        ).fetchall():
            release_dead(t, run)
            row = t.conn.execute("SELECT max(at_ms) FROM events WHERE run = ?", (run,)).fetchone()
            leave(t, run, row[0] or 0)
