"""One activation of a run: the team works, checks decide, the result is delivered, the outcome is written."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outlay.agents.crew import Crew
from outlay.agents.guard import Guard
from outlay.agents.mail import hand_in, read_up_to, unread
from outlay.agents.role import Role
from outlay.agents.session import Ending, Session
from outlay.agents.sight import Sight
from outlay.agents.watch.acting import listen
from outlay.clock import Clock
from outlay.errors import Cancelled, DiskProblem, Fenced, LedgerError, LimitReached, OutlayError, Paused
from outlay.gateway import Gateway
from outlay.gateway.day import used_pico
from outlay.ledger import Entry, Ledger, Transaction
from outlay.runs import gates
from outlay.runs.acceptance import Acceptance
from outlay.runs.checks import Checked, feedback, run_check
from outlay.runs.goal_types import Goal
from outlay.runs.lookup import worked_ms
from outlay.runs.notify import Notifier
from outlay.runs.outcome import Options, OutcomeName, Result
from outlay.runs.policing import open_guard
from outlay.runs.prepare import (
    Prepared,
    budget_of,
    day_of,
    open_upstreams,
    roles_of,
    rules_of,
)
from outlay.sandbox.types import Sandbox
from outlay.sandbox.workspace import Hub
from outlay.teams.briefing import Shown, Test, first_message
from outlay.teams.play import play

WATCH_S = 0.5
SHOWN_FILE_BYTES = 100_000
ROUNDS = 20
"""Failed rounds of checks before the main agent is no longer believed."""


@dataclass
class Pursuit:
    """One activation of a run: this process works on it until it ends or pauses."""

    run: str
    owner: str
    epoch: int
    prepared: Prepared
    options: Options
    ledger: Ledger
    sandbox: Sandbox
    hub: Hub | Sight
    clock: Clock
    rounds: int = 0
    rounds_before: int = 0
    """Rounds of checks in earlier activations."""
    last_checked: tuple[str, list[Checked]] | None = None
    gates_passed: set[str] = field(default_factory=set)
    """Names of the gates whose passing is written down."""
    acceptance: Acceptance = field(init=False)
    was_ended: bool = False
    """The run had an outcome before it was resumed."""
    crew: Crew = field(init=False)
    main: asyncio.Task[Ending] | None = None
    pursuit: asyncio.Task[Any] | None = None
    mail_read: int = 0
    """Messages from outside that have entered a session."""
    mail_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    concluded: bool = False
    """The outcome is certain and the result is being delivered: too late for a cancellation."""

    @property
    def goal(self) -> Goal:
        return self.prepared.goal

    async def pursue(self, instructions: str | None) -> Result:
        """Work until the run ends or pauses."""
        record = Path(self.options.record) if self.options.record else None
        guard = await self._guard()
        gateway = Gateway(
            self.ledger,
            self.prepared.endpoints,
            open_upstreams(self.prepared, record),
            budget_of(self.goal.limits),
            self.prepared.book,
            self.clock,
            self.goal.workspace.path,
            day_of(self.goal.limits, self.prepared.book, self.clock),
            guard.gate if guard else None,
        )
        main_role, subagent_roles = roles_of(self.goal)
        self.crew = Crew(
            run=self.run,
            owner=self.owner,
            ledger=self.ledger,
            gateway=gateway,
            sandbox=self.sandbox,
            hub=self.hub,
            roles=subagent_roles,
            rules=rules_of(self.goal),
            clock=self.clock,
            judge=self._judge,
            driven=self.prepared.driven,
            on_trouble=self._interrupt,
            guard=guard,
        )
        self.acceptance = Acceptance(self.goal, self.run, self.ledger, self._log)
        self.pursuit = asyncio.current_task()
        self.hub.at = self.goal.workspace.at
        async with self._attended(gateway):
            try:
                session = await self._main_session(main_role, instructions)
                return await self._conclude(session, session.ending or await self._until_done(session))
            except Paused:
                return await self._pause()
            except (Cancelled, asyncio.CancelledError):
                if self.crew.trouble is not None:
                    raise self._resumable(self.crew.trouble) from None
                if not self.crew.cancelled:
                    raise
                return await self._cancel()
            except (LedgerError, DiskProblem) as error:
                raise self._resumable(error) from None

    async def _guard(self) -> Guard | None:
        """The policy at work; from here on the sessions see the workspace through it."""
        policy, hub = self.prepared.policy, self.hub
        if policy is None or not isinstance(hub, Hub):
            return None
        guard = await open_guard(self.goal, policy, self.prepared.endpoints, self.run, self.ledger, self.owner, hub)
        self.hub = guard.sight
        return guard

    def _resumable(self, error: BaseException) -> BaseException:
        """What stops this process but not the run, with how to go on."""
        if isinstance(error, (LedgerError, DiskProblem)) and not isinstance(error, Fenced):
            return type(error)(f"{error}; go on with: outlay resume {self.run}")
        return error

    @asynccontextmanager
    async def _attended(self, gateway: Gateway) -> AsyncIterator[None]:
        """Signals, heartbeat and other processes' wishes, for as long as the run works."""
        loop = asyncio.get_running_loop()
        name = self.run if self.prepared.policy else self.options.name or self.goal.name
        notifier = Notifier(self.ledger, self.run, name, self.prepared.notify, self.owner)
        notifier.begin()
        works = (self.crew.heartbeat(), self._watch(), listen(self.crew), notifier.follow())
        tasks = [asyncio.create_task(work) for work in works]
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    loop.remove_signal_handler(number)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._halt()
            with contextlib.suppress(LedgerError):
                await notifier.tell()
            await self.crew.close()
            await gateway.close()

    async def _halt(self) -> None:
        """End whatever still works in this process (there is nothing unless something went wrong)."""
        for task in [*self.crew.tasks.values(), *([self.main] if self.main else [])]:
            task.cancel()
        await self.crew.settle()

    def _signalled(self) -> None:
        """Once: pause at the next safe point. Twice: cancel."""
        if self.crew.gateway.pausing.is_set():
            self._want_cancel()
        else:
            self.crew.gateway.pausing.set()

    def _want_cancel(self) -> None:
        if self.crew.cancelled or self.concluded:
            return
        self.crew.cancelled = True
        self.crew.stir()
        self._interrupt()

    def _interrupt(self) -> None:
        """Cut what is under way, whatever it is."""
        if self.pursuit is not None and not self.concluded:
            self.pursuit.cancel()

    async def _watch(self) -> None:
        """What another process asks of this run: `outlay cancel`, `outlay pause`."""
        while True:
            await asyncio.sleep(WATCH_S)
            wanted = self.ledger.reader.execute("SELECT wanted FROM runs WHERE id = ?", (self.run,)).fetchone()[0]
            if wanted == "cancel" and not self.crew.cancelled:
                self._want_cancel()
            elif wanted == "pause":
                self.crew.gateway.pausing.set()
            await self._deliver_mail()

    async def _deliver_mail(self) -> None:
        """Hand the sessions what people told them since."""
        async with self.mail_lock:
            for event in unread(self.ledger, self.run, self.mail_read):
                if self.concluded or not await hand_in(self.crew, event):
                    return  # nobody is there to read it; it waits for the run's resume
                self.mail_read = event.n + 1

    # ---- the main session

    async def _main_session(self, role: Role, instructions: str | None) -> Session:
        """Open the main session, or rebuild it and its subagents from the ledger."""
        known = self.ledger.rows("SELECT id, parent, status FROM sessions WHERE run = ? ORDER BY id", (self.run,))
        if not known:
            task = await self._first_message()
            return await self.crew.open("main", role, role.model, None, task, self.hub.base)
        self.mail_read = read_up_to(self.ledger.reader, self.run)
        self._count_what_was_used()
        self.crew.watch.restore(self.ledger, self.run)
        self.gates_passed = {e.head["name"] for e in self.ledger.events(self.run, types=["gate.passed"])}
        self.rounds = len({e.head["round"] for e in self.ledger.events(self.run, types=["check.started"])})
        self.rounds_before = self.rounds
        for row in sorted(known, key=lambda row: row["id"].count("/")):
            await self.crew.reopen(row["id"])
        main = self.crew.sessions["main"]
        await self._settle_endings()
        ended = main.history.status != "running"
        if ended and not self.was_ended and not instructions:  # a crash came between its end and the run's
            main.ending = Ending(main.history.status, main.history.answer)  # type: ignore[arg-type]
            return main
        if instructions or ended:
            await self.crew.tell(main, instructions or "The run was ended and is resumed now. Go on.")
        self.crew.reset(main)
        await self.crew.set_status(main, "running")
        await self._deliver_mail()
        for session in self.crew.sessions.values():
            if not session.is_main and session.history.status == "running":
                self.crew.launch(session)
        return main

    async def _first_message(self) -> str:
        checks = gates.open_checks(self.goal, set())
        tests = [Test(check.name, check.command, str(check.rule)) for check in checks]
        shown = []
        for path in self.goal.context:
            content = await self.hub.read(self.hub.base, path, SHOWN_FILE_BYTES)
            shown.append(Shown(path, content.decode(errors="replace")))
        return first_message(gates.with_rules(self.goal), tests, shown, self.goal.workspace.protect)

    async def _settle_endings(self) -> None:
        """A crash may leave projections behind their events: bring the rows in line."""
        for session in self.crew.sessions.values():
            if session.history.status != "running":
                await self.crew.set_status(session, session.history.status)

    def _count_what_was_used(self) -> None:
        budget = self.crew.gateway.budget
        for call in self.ledger.calls("run = ?", (self.run,)):
            spent = used_pico(call, self.prepared.book)
            budget.restore(
                call.session, spent, call.usage.net, int(call.status == "ok"), call.parent, call.role, call.usage.output
            )

    async def _until_done(self, session: Session) -> Ending:
        """Let the main session work; its ending, or `stopped` when the wall time is over."""
        self.main = asyncio.create_task(play(self.crew, session, self.goal.team), name="main")
        wall_s = self.goal.limits.wall_s
        left = None if wall_s is None else max(wall_s - self._worked_s(), 0.0)
        if wall_s is not None and left is not None:
            self.crew.wall = (self.clock.monotonic() - (wall_s - left), wall_s)
        done, _ = await asyncio.wait({self.main}, timeout=left)
        if done:
            return self.main.result()
        self.main.cancel()
        await asyncio.gather(self.main, return_exceptions=True)
        await self.crew.stop(session)
        ending = Ending("stopped", reason=f"limit wall of the run reached: {wall_s:g} s", limit="wall_s")
        await session.end(ending)
        return ending

    def _worked_s(self) -> float:
        """Seconds that earlier activations worked: pauses and crashes left out."""
        return sum(worked_ms(self.ledger, self.run)[:-1]) / 1000

    # ---- checks

    async def _judge(self, session: Session, _: str) -> str | None:
        """The main agent says it is done: run the checks. None when all pass, else what is to be mended."""
        results = await self._check(session)
        objection = None
        if all(result.passed for result in results):
            objection = await self.acceptance.objection(self.crew, session, await session.snapshot())
            if objection is None:
                return None
            self.rounds += 1
        if self.rounds - self.rounds_before >= ROUNDS:
            raise LimitReached("check_rounds", f"the checks failed {self.rounds} times")
        return objection or gates.said(self.goal, results) + feedback(results)

    async def _check(self, session: Session) -> list[Checked]:
        """Run every check on the present state; what the checks change in it does not count."""
        commit = await session.snapshot()
        if self.last_checked and self.last_checked[0] == commit:
            return self.last_checked[1]
        self.rounds += 1
        results: list[Checked] = []
        for check in gates.in_order(self.goal, results):
            self.crew.doing(session, f"check {check.name}")
            await self._log(Entry("check.started", {"name": check.name, "round": self.rounds, "commit": commit}))
            try:
                result = await run_check(
                    self.sandbox,
                    check,
                    session.workspace,
                    protected=self.goal.workspace.protect,
                    hosts=self.crew.hosts(session),
                    mounts=self.hub.mounts(self.crew.place(session.name)),
                )
            finally:  # also when it is cut: what a check leaves behind is nobody's work
                await self.hub.restore(self.crew.place(session.name), commit)
            results.append(result)
            await self._log(result.entry(self.rounds))
        for entry in gates.passed_entries(self.goal, results, self.gates_passed, commit, self.rounds):
            await self._log(entry)
        self.last_checked = (commit, results)
        return results

    # ---- endings

    async def _conclude(self, session: Session, ending: Ending) -> Result:
        """The outcome follows from the checks on the final state, whatever the main agent said."""
        if ending.limit:
            await self._log(_limit_entry(self.crew, ending, session))
        await self.crew.stop(session)
        results = await self._check(session)
        self.concluded = True
        why = ending.reason.partition("\n")[0].rstrip(":")  # the rest stands in the session's own end
        passed, checks = sum(result.passed for result in results), len(self.goal.checks)
        broken = self.acceptance.broken(self.crew, session.history.commit) if passed == checks else ""
        if passed == checks and not broken:
            outcome: OutcomeName = "succeeded"
            told = "the check passes" if passed == 1 else f"all {passed} checks pass"
            reason = told + (f" ({why})" if why else "")
        else:
            outcome = "stopped" if ending.status == "stopped" else "failed"
            told = broken or f"{checks - passed} of {checks} checks fail"
            reason = f"{why}; {told}" if why else told
        if self.goal.workspace.deliver == "always" or (
            outcome == "succeeded" and self.goal.workspace.deliver == "success"
        ):
            reason = await self._deliver(session, reason)
        return await self._end(outcome, reason, passed, checks)

    async def _deliver(self, session: Session, reason: str) -> str:
        """Bring the result into the user's folder; a file that was changed meanwhile is never overwritten."""
        commit = session.history.commit
        try:
            files = await self.hub.deliver(commit, self.goal.workspace.path, self.hub.base)
        except (OutlayError, OSError) as problem:
            said = str(problem).removesuffix("; nothing was delivered")
            return f"{reason}; not delivered: {said}; bring it out with: outlay deliver {self.run}"
        await self._log(Entry("run.delivered", {"commit": commit, "files": files}))
        return reason

    async def _end(self, outcome: OutcomeName, reason: str, passed: int, checks: int) -> Result:
        head = {"outcome": outcome, "passed": passed, "checks": checks}
        await self._close("ended", Entry("run.ended", head, reason.encode()), outcome=outcome, reason=reason)
        return Result(self.run, outcome, reason)

    async def _pause(self) -> Result:
        await self.crew.settle()
        if self.crew.trouble is not None:
            raise self._resumable(self.crew.trouble)
        for session in self.crew.sessions.values():
            if session.pending:
                await session.flush()
        reason = f"paused; go on with: outlay resume {self.run}"
        await self._close("paused", Entry("run.paused"), reason="paused")
        return Result(self.run, None, reason)

    async def _cancel(self) -> Result:
        main = self.crew.sessions.get("main")
        if self.main is not None:
            self.main.cancel()
            await asyncio.gather(self.main, return_exceptions=True)
        if main is not None:
            await self.crew.stop(main)
            if main.ending is None:
                await main.end(Ending("cancelled", reason="cancelled"))
        return await self._end("cancelled", "cancelled", 0, len(self.goal.checks))

    async def _log(self, entry: Entry) -> None:
        await self.ledger.commit(lambda t: t.append(self.run, self.run, self.epoch, [entry]))
        self.crew.watch.see_all(self.run, [entry])

    async def _close(self, status: str, entry: Entry, **columns: Any) -> None:
        now = self.clock.now_ms()

        def work(t: Transaction) -> None:
            t.append(self.run, self.run, self.epoch, [entry])
            t.update("runs", self.run, status=status, ended_ms=now, wanted=None, **columns)
            t.release(self.owner)

        await self.ledger.commit(work)


def _limit_entry(crew: Crew, ending: Ending, session: Session) -> Entry:
    account = crew.gateway.budget.run
    head = {
        "limit": ending.limit,
        "session": session.name,
        "spent_pico": account.spent_pico,
        "net_tokens": account.spent_net,
        "turns": account.turns,
    }
    return Entry("limit.reached", head)
