"""One agent at work: from the ledger into memory, its messages, its session, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession

from outlay import home
from outlay.agents.crew import Crew
from outlay.agents.mail import hand_in, mail_of, posted, read_up_to, unread
from outlay.agents.session import Ending, Session
from outlay.agents.watch.acting import listen
from outlay.clock import Clock
from outlay.errors import DiskProblem, InputError, KeyMissing, LedgerError, OutlayError, Paused
from outlay.gateway import Gateway
from outlay.gateway.day import used_pico
from outlay.ledger import Entry, Event, Ledger, Transaction
from outlay.prices import book as price_book
from outlay.prices.book import PriceBook
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.runs.limits import change
from outlay.runs.prepare import (
    ALWAYS_LEFT_OUT,
    Prepared,
    budget_of,
    day_of,
    open_upstreams,
    prepare,
    roles_of,
    rules_of,
)
from outlay.sandbox.types import Sandbox
from outlay.sandbox.workspace import Hub
from outlay.service.keys import Keys
from outlay.service.registry import Registered, key_names, lack_key
from outlay.teams.play import play

OUTCOMES = {"done": "succeeded", "failed": "failed", "cancelled": "cancelled", "lost": "lost"}
"""State of an agent that has ended -> outcome of its run; `stopped` for the rest."""
BOOK_S = 600.0
MOST_TRIES = 10
"""Beginnings without getting on after which an agent counts as lost: something in it ends the worker."""


class Shared:
    """What all agents of a worker have in common."""

    def __init__(
        self, ledger: Ledger, sandbox: Sandbox, client: ClientSession, owner: str, clock: Clock, keys: Keys
    ) -> None:
        self.ledger = ledger
        self.sandbox = sandbox
        self.client = client
        self.owner = owner
        self.clock = clock
        self.keys = keys
        self.environ: Mapping[str, str] = os.environ
        self._book: PriceBook | None = None
        self._book_at = 0.0

    def book(self) -> PriceBook:
        """The price book in force, as it was at most `BOOK_S` seconds ago: it is much larger than a session."""
        now = self.clock.monotonic()
        if self._book is None or now - self._book_at > BOOK_S:
            self._book, self._book_at = price_book.load(), now
        return self._book


@dataclass
class Activation:
    """One stretch of an agent's work in this process."""

    row: Registered
    shared: Shared
    epoch: int = 0
    crew: Crew | None = None
    goal: Goal | None = None
    main: Session | None = None
    work: asyncio.Task[Ending] | None = None
    cut: Ending | None = None
    """How it is to end when it is cut from outside."""
    read: int = 0
    """Messages for it that it has been given."""
    worked_before_ms: int = 0
    """Time of earlier stretches since it was started or resumed."""
    parked: bool = False
    lacks: str = ""
    """The variable of the key without which it cannot go on."""
    worked_s: float = 0.0
    """Seconds of this stretch, waits for an answer left out."""
    _mail: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def run(self) -> str:
        return self.row.run

    @property
    def asking(self) -> bool:
        """Whether it waits for an answer and so holds no slot."""
        if self.main is None or self.main.history.answered is not None:
            return False
        cut_off = self.work is None and [call.name for call in self.main.history.unanswered[:1]] == ["ask"]
        return self.main.question is not None or cut_off

    @property
    def overdue(self) -> bool:
        wall_s = self.goal.limits.wall_s if self.goal is not None else None
        return wall_s is not None and self.worked_before_ms / 1000 + self.worked_s > wall_s

    def end_as(self, ending: Ending) -> None:
        """Cut it short; it ends as said."""
        if self.cut is None:
            self.cut = ending
            if self.crew is not None:
                self.crew.stir()
            if self.work is not None:
                self.work.cancel()

    def pause(self, *, park: bool = False) -> None:
        """Let it stop at its next safe point; another worker goes on with it. park: once it is told something."""
        self.parked = park
        if self.crew is not None:
            self.crew.gateway.pausing.set()

    async def pursue(self) -> None:
        """Work until the agent ends or pauses. Raises LedgerError and DiskProblem: it can be gone on with later."""
        shared = self.shared
        self.epoch = await shared.ledger.commit(self._begin)
        try:
            await self._pursue()
        finally:
            await shared.ledger.commit(self._leave)

    async def _pursue(self) -> None:
        if self.row.tries >= MOST_TRIES:
            words = f"its worker ended {self.row.tries} times while working on it, without getting on"
            await self._conclude(Ending("failed", reason=words), "lost")
            return
        try:
            self.main = await self._open()
        except (LedgerError, DiskProblem):
            raise
        except KeyMissing as missing:
            self.lacks = missing.variable
            return
        except OutlayError as error:
            lost = "the clone of its folder is gone" in str(error)
            await self._conclude(Ending("failed", reason=str(error)), "lost" if lost else "")
            return
        heart = self.crew
        assert heart is not None
        listening = asyncio.create_task(listen(heart)) if heart.roles else None
        try:
            while not await self._conclude(await self._until_ended(self.main)):
                pass
        except Paused:
            await heart.settle()
            for session in heart.sessions.values():
                if session.pending:
                    await session.flush()
        finally:
            for task in [*heart.tasks.values(), *(task for task in (self.work, listening) if task is not None)]:
                task.cancel()
            await heart.settle()
            await heart.close()

    async def lose(self, reason: str) -> None:
        """End it as lost, whatever state it is in."""
        self.epoch = await self.shared.ledger.commit(lambda t: t.claim(self.run, self.shared.owner))
        self.main = None
        await self._conclude(Ending("failed", reason=reason), "lost")
        await self.shared.ledger.commit(self._leave)

    # ---- into memory

    async def _open(self) -> Session:
        goal = self.goal = self._goal()
        shared = self.shared
        environ = shared.keys.environment(self.run, key_names(goal), shared.environ)
        prepared = prepare(goal, None, environ, checked=False, listed=shared.book())
        main_role = roles_of(goal)[0]
        reads = not main_role.writes and "agents" not in main_role.tools
        crew = self.crew = self._crew(prepared, await self._hub(goal, reads), goal.workspace.path if reads else None)
        known = self.shared.ledger.rows("SELECT id FROM sessions WHERE run = ? ORDER BY id", (self.run,))
        if not known:
            return await crew.open("main", main_role, main_role.model, None, goal.body, crew.hub.base)
        self._count_what_was_used(prepared, crew)
        crew.watch.restore(self.shared.ledger, self.run)
        for row in sorted(known, key=lambda row: str(row["id"]).count("/")):
            await crew.reopen(row["id"])
        for session in crew.sessions.values():
            if not session.is_main and session.history.status == "running":
                crew.launch(session)
            elif not session.is_main:
                await crew.set_status(session, session.history.status)
        return crew.sessions["main"]

    def _goal(self) -> Goal:
        ledger = self.shared.ledger
        first = next(ledger.events(self.run, types=["run.started"]))
        if first.payload is None:
            raise InputError("its task was redacted from the ledger")
        goal = parse(first.payload.decode(), Path(self.row.folder) / "agent", workspace=Path(self.row.folder))
        for event in ledger.events(mail_of(self.run)):
            if limits := event.head.get("limits"):
                goal = change(limits)(goal)
            self.worked_before_ms = self.row.worked_ms - int(event.head.get("worked_ms", 0))
        return goal

    async def _hub(self, goal: Goal, reads: bool) -> Hub:
        folder = home.ensure(home.home() / "runs" / self.run)
        if reads:
            return Hub(self.shared.sandbox, folder, "")
        begun = self.shared.ledger.rows("SELECT id FROM sessions WHERE run = ? LIMIT 1", (self.run,))
        if begun and not (folder / "hub.json").exists():
            raise InputError(f"the clone of its folder is gone: {folder}")
        return await Hub.create(
            self.shared.sandbox, folder, goal.workspace.path, (*ALWAYS_LEFT_OUT, *goal.workspace.exclude)
        )

    def _crew(self, prepared: Prepared, hub: Hub, reads: Path | None) -> Crew:
        import msgspec

        shared, goal = self.shared, prepared.goal
        gateway = Gateway(
            shared.ledger,
            prepared.endpoints,
            open_upstreams(prepared, None, shared.environ, shared.client),
            budget_of(goal.limits),
            prepared.book,
            shared.clock,
            goal.workspace.path,
            day_of(goal.limits, prepared.book, shared.clock),
        )
        return Crew(
            run=self.run,
            owner=shared.owner,
            ledger=shared.ledger,
            gateway=gateway,
            sandbox=shared.sandbox,
            hub=hub,
            roles=roles_of(goal)[1],
            rules=msgspec.structs.replace(rules_of(goal), answers=True, reads=reads),
            clock=shared.clock,
            judge=_accept,
            driven=prepared.driven,
            on_trouble=self._interrupt,
        )

    def _count_what_was_used(self, prepared: Prepared, crew: Crew) -> None:
        for call in self.shared.ledger.calls("run = ?", (self.run,)):
            spent = used_pico(call, prepared.book)
            crew.gateway.budget.restore(
                call.session, spent, call.usage.net, int(call.status == "ok"), call.parent, call.role, call.usage.output
            )

    def _interrupt(self) -> None:
        if self.work is not None:
            self.work.cancel()

    # ---- at work

    async def _until_ended(self, main: Session) -> Ending:
        """The session's work until it ends, is cut, or pauses (Paused)."""
        crew = self.crew
        assert crew is not None and self.goal is not None
        self.read = read_up_to(self.shared.ledger.reader, self.run)
        news = await self.deliver_mail()
        if main.history.status != "running" and not news and not main.inbox:  # a crash hid the end that it had
            return Ending(main.history.status, main.history.answer)  # type: ignore[arg-type]
        crew.reset(main)
        await crew.set_status(main, "running")
        if self.cut is None:
            self.work = asyncio.create_task(play(crew, main, self.goal.team), name=self.run)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({self.work})
            if not self.work.cancelled() and self.cut is None and crew.trouble is None:
                ending = await self.work
                await crew.stop(main)
                return ending
        return await self._cut_short(main, crew)

    async def _cut_short(self, main: Session, crew: Crew) -> Ending:
        if self.work is not None:
            self.work.cancel()
            await asyncio.gather(self.work, return_exceptions=True)
        if crew.trouble is not None:
            raise crew.trouble
        if self.cut is None:  # the worker itself is being ended
            raise asyncio.CancelledError
        await crew.stop(main)
        return main.ending or await main.end(self.cut)

    async def deliver_mail(self) -> bool:
        """Hand over what others have told it since; whether there was anything."""
        main, crew = self.main, self.crew
        if main is None or crew is None:
            return False
        async with self._mail:
            news = unread(self.shared.ledger, self.run, self.read)
            for event in news:
                await self._hand_over(main, crew, event)
                self.read = event.n + 1
            return bool(news)

    async def _hand_over(self, main: Session, crew: Crew, event: Event) -> None:
        if event.head.get("to", "main") != "main" and await hand_in(crew, event):
            return
        text = (event.payload or b"").decode(errors="replace")
        if self.asking:
            await crew.answer(main, text, mail=event.n)
        else:
            await crew.tell(main, text, mail=event.n)

    # ---- its end

    async def _conclude(self, ending: Ending, state: str = "") -> bool:
        """Write how it ended; False when a message came meanwhile, with which it goes on."""
        state = state or ending.status
        changed, delivered, trouble = await self._changes(ending) if state != "lost" else (None, 0, "")
        reason = "; ".join(part for part in (ending.reason, trouble) if part)
        outcome = OUTCOMES.get(state, "stopped")
        head = {"outcome": outcome, "state": state, "limit": ending.limit, "files": changed}

        def work(t: Transaction) -> bool:
            if self.main is not None and self.cut is None and (self.main.inbox or posted(t.conn, self.run) > self.read):
                return False
            t.append(self.run, self.run, self.epoch, [Entry("run.ended", head, reason.encode())])
            t.update("runs", self.run, status="ended", outcome=outcome, reason=reason, ended_ms=t.now_ms(), wanted=None)
            t.conn.execute(
                "UPDATE agents SET live = 0, ended = ?, changed_files = ?, delivered = ? WHERE run = ?",
                (state, changed, delivered, self.run),
            )
            return True

        async with self._mail:
            return await self.shared.ledger.commit(work)

    async def _changes(self, ending: Ending) -> tuple[int | None, int, str]:
        """Files that it changed, whether they were delivered, and why not."""
        main, crew, goal = self.main, self.crew, self.goal
        if main is None or crew is None or goal is None or not main.own_clone:
            return None, 0, ""
        commit = main.history.commit
        changed = len(await crew.hub.diff(crew.hub.base, commit))
        wanted = goal.workspace.deliver
        if not changed or wanted == "never" or (wanted == "success" and ending.status != "done"):
            return changed, 0, ""
        try:
            await crew.hub.deliver(commit, goal.workspace.path, crew.hub.base)
        except (OutlayError, OSError) as problem:
            return changed, 0, f"not delivered: {problem}"
        entry = Entry("run.delivered", {"commit": commit, "files": changed})
        await self.shared.ledger.commit(lambda t: t.append(self.run, self.run, self.epoch, [entry]))
        return changed, 1, ""

    # ---- the ledger's side of it

    def _begin(self, t: Transaction) -> int:
        epoch = t.claim(self.run, self.shared.owner)
        if t.conn.execute("SELECT 1 FROM sessions WHERE run = ? LIMIT 1", (self.run,)).fetchone():
            t.append(self.run, self.run, epoch, [Entry("run.resumed", {"pid": os.getpid()})])
        t.update("runs", self.run, status="running", pid=os.getpid())
        t.conn.execute("UPDATE agents SET begun_ms = ?, tries = tries + 1 WHERE run = ?", (t.now_ms(), self.run))
        return epoch

    def _leave(self, t: Transaction) -> None:
        # The key may have come meanwhile: whoever brings it makes it known first, and wakes those that lack it then.
        if lacks := bool(self.lacks) and not self.shared.keys.has(self.run, self.lacks):
            lack_key(t, self.run, self.lacks)
        leave(t, self.run, t.now_ms(), "paused" if self.parked or lacks else "queued")
        t.conn.execute(
            "UPDATE streams SET owner = NULL, lease_until_ms = 0 WHERE owner = ? AND id >= ? AND id < ?",
            (self.shared.owner, self.run, f"{self.run};"),  # `;` follows `:`
        )


def end_queued(t: Transaction, run: str, owner: str) -> None:
    """End an agent that is cancelled before it is worked on."""
    epoch = t.claim(run, owner)
    t.append(run, run, epoch, [Entry("run.ended", {"outcome": "cancelled", "state": "cancelled"}, b"cancelled")])
    t.release(owner, run)
    now = t.now_ms()
    t.update("runs", run, status="ended", outcome="cancelled", reason="cancelled", ended_ms=now, wanted=None)
    t.conn.execute("UPDATE agents SET live = 0, ended = 'cancelled' WHERE run = ?", (run,))
    t.conn.execute(
        "UPDATE sessions SET status = 'cancelled', ended_ms = ? "
        "WHERE run = ? AND status IN ('queued', 'running', 'waiting')",
        (now, run),
    )


def leave(t: Transaction, run: str, until_ms: int, status: str = "queued") -> None:
    """Nobody works on an agent any more since `until_ms`; one that has not ended is queued again, or `paused` until
    it is told something."""
    t.conn.execute(
        "UPDATE agents SET worked_ms = worked_ms + max(coalesce(? - begun_ms, 0), 0), begun_ms = NULL WHERE run = ?",
        (until_ms, run),
    )
    t.conn.execute("UPDATE runs SET pid = NULL WHERE id = ?", (run,))
    t.conn.execute("UPDATE runs SET status = ? WHERE id = ? AND status = 'running'", (status, run))


async def _accept(session: Session, answer: str) -> None:
    """No checks decide about an agent's answer: the one who asked does."""
