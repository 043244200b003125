"""All sessions of one run: starting them, the slots in which they work, waiting, answering, cancelling, resuming."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from outlay.agents.guard import Guard
from outlay.agents.history import History, rebuild
from outlay.agents.mcp_server import Connection
from outlay.agents.prompt import system_prompt
from outlay.agents.role import Role
from outlay.agents.rules import Rules
from outlay.agents.session import Ending, Plan, Session
from outlay.agents.sight import Sight
from outlay.agents.skill import skill_list
from outlay.agents.slots import Slots
from outlay.agents.tool import Refused, Tool, decode
from outlay.agents.toolbox import Offer, toolbox
from outlay.agents.watch.acting import run_through
from outlay.agents.watch.watch import Watch
from outlay.clock import Clock
from outlay.errors import Cancelled, DiskProblem, LedgerError, OutlayError, Paused
from outlay.gateway import Gateway
from outlay.gateway.door import through
from outlay.ledger import Entry, Ledger, Transaction
from outlay.sandbox.types import Sandbox
from outlay.sandbox.workspace import Hub
from outlay.tokens import ZERO
from outlay.wires.types import Message, Text

if TYPE_CHECKING:
    from outlay.agents.seating import Seating
    from outlay.drivers.model import DrivenModel

HEARTBEAT_S = 1.0


@dataclass
class Crew:
    """The live sessions of a run and what they share."""

    run: str
    owner: str
    ledger: Ledger
    gateway: Gateway
    sandbox: Sandbox
    hub: Hub | Sight
    roles: Mapping[str, Role]
    rules: Rules
    clock: Clock
    judge: Callable[[Session, str], Awaitable[str | None]]
    """Asked when the main agent says that it is done: None to accept, else what is still wrong."""
    driven: Mapping[str, DrivenModel] = field(default_factory=dict)
    """Models that are other agents."""
    guard: Guard | None = None
    """The policy of the run; None: it has none."""
    sessions: dict[str, Session] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[Ending]] = field(default_factory=dict)
    cancelled: bool = False
    wall: tuple[float, float] | None = None
    """When the run's wall time began, on the clock of this process, and how many seconds it may last."""
    trouble: BaseException | None = None
    """What ended a subagent that is no answer to its parent: a ledger that cannot be written, a defect of Outlay."""
    on_trouble: Callable[[], None] = lambda: None
    watch: Watch = field(init=False)
    slots: Slots = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: dict[str, Connection] = field(default_factory=dict)
    _seating: Seating | None = None
    _actions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = Slots(self.rules.concurrent)
        self.watch = Watch(self.rules.breakers)
        self.gateway.on_answer = self.watch.answered

    @property
    def seating(self) -> Seating:
        """Where driven sessions meet the run; opened with the first of them."""
        if self._seating is None:
            from outlay.agents.seating import Seating

            self._seating = Seating(self, self.driven)
        return self._seating

    # ---- opening sessions

    def place(self, name: str) -> str:
        """Name of a session's working directory in the hub."""
        return name.replace("/", ".")

    async def open(
        self,
        name: str,
        role: Role,
        model: str,
        parent: Session | None,
        task: str,
        commit: str,
        by: str = "",
        handed: frozenset[str] = frozenset(),
    ) -> Session:
        """Write the session's first event and lay out its workspace: wholly, also when it is cancelled meanwhile.

        handed: the label of files whose contents stand in the task.
        """
        session, cancelled = await through(self._open(name, role, model, parent, task, commit, by, handed))
        if cancelled:
            raise asyncio.CancelledError
        return session

    async def _open(
        self,
        name: str,
        role: Role,
        model: str,
        parent: Session | None,
        task: str,
        commit: str,
        by: str,
        handed: frozenset[str],
    ) -> Session:
        depth = parent.plan.depth + 1 if parent else 0
        label: frozenset[str] = frozenset()
        if self.guard is not None:
            task, label = await self.guard.brief(parent, model, task, handed)
        plan = Plan(
            id=f"{self.run}:{name}",
            run=self.run,
            name=name,
            role=role,
            model=model,
            parent=parent.plan.id if parent else None,
            depth=depth,
            task=task,
            system=self._system(role, depth, model),
            started_by=by,
        )
        window = self.gateway.endpoints[model].window_tokens
        head = {
            "name": name,
            "role": role.name,
            "model": model,
            "parent": plan.parent,
            "window_tokens": window,
            "commit": commit,
        } | ({"label": sorted(label)} if label else {})
        now = self.clock.now_ms()

        def work(t: Transaction) -> int:
            t.open_stream(plan.id, "session")
            epoch = t.claim(plan.id, self.owner)
            t.append(self.run, plan.id, epoch, [Entry("session.started", head, msgspec.json.encode(plan))])
            t.put(
                "sessions",
                id=plan.id,
                run=self.run,
                parent=plan.parent,
                name=name,
                role=role.name,
                model=model,
                status="queued" if parent else "running",
                window_tokens=window,
                started_ms=now,
            )
            return epoch

        epoch = await self.ledger.commit(work)
        self.watch.see(plan.id, "session.started", head)
        session = await self.seat(plan, epoch, History(commit=commit, synced=commit, label=label))
        await session.say("task", task)
        return session

    async def reopen(self, session_id: str) -> None:
        """Rebuild a session from its events, take its lease, settle a lost call and restore its workspace."""
        events = list(self.ledger.events(session_id))
        if events[0].payload is None:  # a subagent of another agent, opened by the gateway
            from outlay.agents.guests import end_lost_guest

            return await end_lost_guest(self, session_id, events)
        plan = msgspec.json.decode(events[0].payload or b"", type=Plan)
        epoch = await self.ledger.commit(lambda t: t.claim(session_id, self.owner))
        if plan.model in self.driven:
            from outlay.agents.driven import take_up

            return await take_up(self, plan, epoch, events)
        history = rebuild(events)
        plan = msgspec.structs.replace(plan, model=history.model or plan.model)
        works = history.status == "running" or plan.parent is None
        session = await self.seat(plan, epoch, history, lay_out=works)
        if history.open_intent is not None:
            await self.count_lost(session)
        if session.own_clone and works:
            for call in history.rewrites:
                tool = session.tools.get(call.name)
                if tool is not None and tool.replayed:
                    await tool.run(session, (call, decode(call.arguments, tool.arguments)))
        if not history.messages:  # cut between its first event and its task
            await session.say("task", plan.task)

    async def seat(self, plan: Plan, epoch: int, history: History, *, lay_out: bool = True) -> Session:
        """A session at its place: its own clone at the last snapshot, or, when it only reads, its parent's."""
        parent = self.sessions.get(plan.name.rpartition("/")[0])
        own_clone = self.rules.reads is None if parent is None else plan.role.writes or "agents" in plan.role.tools
        if self.guard is not None:  # it may see other files than its parent
            own_clone = True
            self.guard.seat(self.place(plan.name), plan.model, history)
        if parent is None and self.rules.reads is not None and not own_clone:
            workspace = self.rules.reads
        elif own_clone or parent is None:
            place = self.place(plan.name)
            workspace = await self.hub.checkout(place, history.commit) if lay_out else self.hub.path(place)
        else:
            workspace = parent.workspace
        kind = Session
        if plan.model in self.driven:
            from outlay.agents.driven import DrivenSession as kind
        session = kind(self, plan, epoch, workspace, self._tools(plan), history, own_clone)
        self.sessions[plan.name] = session
        return session

    def _leads(self, role: Role, depth: int) -> bool:
        return "agents" in role.tools and depth < self.rules.depth and len(self.roles) > 0

    def _system(self, role: Role, depth: int, model: str) -> str:
        skills = skill_list(self.rules.skills.values())
        return system_prompt(
            role,
            main=depth == 0 and not self.rules.answers,
            leads=self._leads(role, depth),
            hosts=self.rules.hosts,
            answer_tokens=self.rules.answer_tokens,
            skills=skills,
            driven=model in self.driven,
        )

    def _tools(self, plan: Plan) -> dict[str, Tool]:
        models = sorted({name for role in self.roles.values() for name in (role.model, *role.models)})
        offer = Offer(
            names=plan.role.tools,
            main=plan.parent is None and not self.rules.answers,
            roles=tuple(self.roles.values()) if self._leads(plan.role, plan.depth) else (),
            models=tuple(models),
            skills=tuple(sorted(self.rules.skills)),
            mcp=tuple(sorted(self.rules.mcp)),
            databases=tuple(sorted(self.rules.databases)),
            releases=self.guard.releases() if self.guard else (),
        )
        return toolbox(offer)

    async def count_lost(self, session: Session) -> None:
        """A call whose end was never written: it may have been paid; say so, with the most it may have cost."""
        intent = session.history.open_intent
        assert intent is not None
        head = intent.head
        endpoint = self.gateway.endpoints.get(head["model"]) or self.gateway.endpoints[session.plan.model]
        key = f"{session.plan.id}#{intent.n}"
        possible = head["reserved_pico"]
        row = self.gateway.call_row(
            session.caller, endpoint, key, ZERO, "unmeasured", "lost", intent.at_ms, head["attempt"],
            possible_cost_pico=possible,
        )  # fmt: skip
        entry = Entry("call.lost", {"key": key, "possible_cost_pico": possible})

        def work(t: Transaction) -> None:
            t.append(self.run, session.plan.id, session.epoch, [entry])
            t.record_calls([row])

        await self.ledger.commit(work)
        self.gateway.budget.restore(session.plan.id, possible or 0, 0, 0, session.plan.parent, session.plan.role.name)

    # ---- running them

    def launch(self, session: Session) -> None:
        """Let a subagent work in the background, as soon as there is a slot."""
        self.tasks[session.name] = asyncio.create_task(self._work(session), name=session.name)

    async def _work(self, session: Session) -> Ending:
        try:
            async with self.slots.on_duty(session.name):
                await self.set_status(session, "running")
                async with asyncio.timeout(self.rules.session_wall_s):
                    ending = await run_through(session)
                await self._stop_below(session)
                return ending
        except TimeoutError:
            ending = Ending("timed_out", reason=f"took longer than {self.rules.session_wall_s:.0f} s")
        except asyncio.CancelledError:
            if session.ending is not None:  # its end was being written
                return session.ending
            if not self.cancelled and session.history.status != "cancelled":
                raise
            ending = Ending("cancelled", reason="cancelled")
        except Cancelled:
            ending = Ending("cancelled", reason="cancelled")
        except Paused:
            raise
        except (LedgerError, DiskProblem) as error:
            self._give_up(error)
            raise
        except OutlayError as error:  # a child's trouble is an answer, not its parent's crash
            ending = Ending("failed", reason=str(error))
        except Exception as error:
            self._give_up(error)
            raise
        finally:
            self._changed.set()
        return await self._end(session, ending)

    async def _end(self, session: Session, ending: Ending) -> Ending:
        """Write an ending that the session could not write itself; nobody is left at work below it. Whoever cancels
        meanwhile waits for it."""
        try:
            await through(self._stop_below(session))
            ended, _ = await through(session.end(ending))
            return ended
        except Exception as error:
            self._give_up(error)
            raise
        finally:
            self._changed.set()

    def _give_up(self, error: BaseException) -> None:
        """The run cannot go on in this process."""
        if self.trouble is None:
            self.trouble = error
            self.on_trouble()

    def checkpoint(self) -> None:
        """The safe point between turns. Raises Cancelled or Paused when that was asked for."""
        if self.cancelled:
            raise Cancelled("the run was cancelled")
        if self.gateway.pausing.is_set():
            raise Paused("paused")

    def walls(self, session: Session) -> Iterator[tuple[str, float, float]]:
        """Whose wall time is bounded, what is used of it, and the bound, in seconds."""
        now_s = self.clock.monotonic()
        if self.wall is not None:
            yield "the run", now_s - self.wall[0], self.wall[1]
        if self.rules.session_wall_s is not None and session.began_s is not None:
            yield "this session", now_s - session.began_s, self.rules.session_wall_s

    async def change(self, timeout_s: float | None) -> bool:
        """Wait until some session has ended or asks something; False on timeout. Raises Paused at a pause."""
        self._changed.clear()
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self.gateway.pausing.wait())]
        try:
            done, _ = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        self.checkpoint()
        return bool(done)

    def stir(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()

    def children(self, session: Session) -> dict[str, Session]:
        """A session's own subagents by their last name."""
        prefix = f"{session.name}/"
        return {
            name.removeprefix(prefix): child
            for name, child in self.sessions.items()
            if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
        }

    def at_work(self, session: Session) -> bool:
        """Whether a subagent has not ended: it works, waits for a slot, or pauses with the run."""
        task = self.tasks.get(session.name)
        return task is not None and (not task.done() or session.ending is None)

    async def stop(self, session: Session) -> None:
        """Cancel a session and all below it."""
        task = self.tasks.get(session.name)
        if task is not None and not task.done():
            session.history.status = "cancelled"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif session.history.status == "running" and not session.is_main:  # it pauses, or was never launched
            await session.end(Ending("cancelled", reason="cancelled"))
        await self._stop_below(session)

    async def _stop_below(self, session: Session) -> None:
        """Cancel all subagents of a session."""
        await asyncio.gather(*(self.stop(child) for child in self.children(session).values()))

    def hosts(self, session: Session) -> tuple[str, ...]:
        """The hosts that a session's commands may reach."""
        if self.guard is None:
            return self.rules.hosts
        driven = session.plan.model in self.driven
        return self.guard.hosts_for_good(session) if driven else self.guard.hosts(session)

    async def tell(self, session: Session, text: str, commit: str | None = None, **marks: int) -> None:
        """Give a session new instructions; it reads them after its present turn, or when it is resumed.

        marks: more for the event's head, by which the one who sends knows what has arrived.
        """
        message = Message("user", (Text(text),))
        head: dict[str, object] = {"kind": "instructions", **marks}
        if commit:
            head["commit"] = commit
        if session.history.label:
            head["label"] = sorted(session.history.label)
        entry = Entry("message.added", head, msgspec.json.encode(message))
        plan = session.plan
        await self.ledger.commit(lambda t: t.append(self.run, plan.id, session.epoch, [entry]))
        session.inbox.append(message)
        if commit:
            session.history.commit = session.history.synced = commit

    async def answer(self, session: Session, text: str, **marks: int) -> None:
        """Answer the question that a session is asking. marks: as of `tell`."""
        head: dict[str, object] = {"kind": "answer", **marks}
        if session.history.label:
            head["label"] = sorted(session.history.label)
        entry = Entry("message.added", head, msgspec.json.encode(text))
        plan = session.plan
        await self.ledger.commit(lambda t: t.append(self.run, plan.id, session.epoch, [entry]))
        session.history.answered = text
        self.stir()

    async def resume(self, session: Session, text: str, commit: str | None) -> None:
        """Set an ended subagent to work again. `commit`: the state of the workspace it starts from now."""
        await self.tell(session, text, commit)
        self.reset(session)
        plan = session.plan

        def work(t: Transaction) -> None:
            t.conn.execute(
                "UPDATE sessions SET status = 'queued', resumed = resumed + 1, ended_ms = NULL WHERE id = ?", (plan.id,)
            )

        await self.ledger.commit(work)
        self.launch(session)

    def reset(self, session: Session) -> None:
        """An ended session may work again."""
        session.history.status, session.ending, session.nudges = "running", None, 0

    def mcp_server(self, name: str) -> Connection:
        """The connection to an MCP server of the goal."""
        if name not in self.rules.mcp:
            raise Refused(f"there is no MCP server {name!r}; there are {', '.join(self.rules.mcp)}")
        if name not in self._connections:
            self._connections[name] = Connection(
                name, self.rules.mcp[name], self.hub.folder / f"mcp-{len(self._connections)}.log"
            )
        return self._connections[name]

    async def close(self) -> None:
        for connection in self._connections.values():
            await connection.close()
        if self._seating is not None:
            await self._seating.close()

    def output_folder(self, session: Session) -> Path:
        """Folder of the host for a session's long outputs; it sees it as /output, read-only."""
        folder = self.hub.folder / "output" / self.place(session.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def settle(self) -> None:
        """Wait for every subagent to reach its own safe point or end (after a pause or a cancellation)."""
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def may_end(self, session: Session, answer: str) -> str | None:
        """Whether a session may end now: None, or what stands against it."""
        busy = [name for name, child in self.children(session).items() if self.at_work(child)]
        if busy:
            return f"Still at work: {', '.join(busy)}. Wait for them or cancel them first."
        judged = session.is_main or session.plan.role.name == self.rules.judged
        return await self.judge(session, answer) if judged else None

    # ---- what others see

    def doing(self, session: Session, action: str) -> None:
        """Note what a session is doing; the heartbeat writes it down, unless the session has ended meanwhile."""
        self._actions[session.plan.id] = action
        self.watch.heard(session.plan.id, self.clock.monotonic())

    def take_actions(self) -> list[tuple[str, str]]:
        """What sessions began to do since this was last asked: action, session id."""
        actions, self._actions = [(action, id) for id, action in self._actions.items()], {}
        return actions

    async def set_status(self, session: Session, status: str) -> None:
        live = {"ended_ms": None} if status in ("running", "waiting") else {}
        await self.ledger.commit(lambda t: t.update("sessions", session.plan.id, status=status, **live))

    async def heartbeat(self) -> None:
        """Renew the leases and write down what the sessions are doing, for as long as the run works."""
        beats = 0
        while True:
            actions = self.take_actions()
            renew = beats % 5 == 0

            def work(t: Transaction, actions: Sequence[tuple[str, str]] = actions, renew: bool = renew) -> None:
                if renew:
                    t.renew(self.owner)
                t.conn.executemany("UPDATE sessions SET last_action = ? WHERE id = ? AND ended_ms IS NULL", actions)

            if renew or actions:
                with contextlib.suppress(LedgerError):  # whoever writes next will meet it and say so
                    await self.ledger.commit(work)
            beats += 1
            await asyncio.sleep(HEARTBEAT_S)


def child_name(parent: Session, name: str) -> str:
    """Full name of a subagent. Raises Refused when `name` cannot be one."""
    if not name or len(name) > 40 or not all(c.isalnum() or c in "-_" for c in name):
        raise Refused(f"{name!r} is no name for a subagent: letters, digits, - and _, at most 40")
    return f"{parent.name}/{name}"
