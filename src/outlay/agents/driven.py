"""A session whose agent is another program: the same outside as our own, and another inside.

What it is told, its checks, its end and its workspace are as for every session. Its turns are its own; each model call
in them passes the gateway, and the team's tools reach it over MCP. Its conversation is kept in its home folder, so that
it goes on after a crash where it was; its workspace then stays as the crash left it, because that is what it remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from outlay.agents.guests import Guests
from outlay.agents.history import History, rebuild
from outlay.agents.seating import Seated
from outlay.agents.session import NUDGES, Ending, Plan, Session
from outlay.agents.tool import Outcome, Refused, Tool
from outlay.agents.toolbox import PLAIN
from outlay.agents.watch.acting import act
from outlay.agents.watch.notices import tell_budgets
from outlay.drivers import types as told
from outlay.drivers.model import DrivenModel
from outlay.drivers.process import spawner
from outlay.drivers.registry import driver_of
from outlay.errors import Cancelled, EnvironmentProblem, Paused
from outlay.gateway.door import through
from outlay.gateway.lost import unanswered
from outlay.ledger import Entry, Event
from outlay.sandbox.types import Use
from outlay.wires.types import Message, Text, ToolCall

if TYPE_CHECKING:
    from outlay.agents.crew import Crew

KEPT_CHARS = 100_000
"""Most of a tool's text that is written down; the agent has the whole."""
START_S = 300.0
"""Longest time until an agent takes messages."""
LOOK_S = 10.0
"""How often a silent agent is looked at."""
_GO_ON = "You were interrupted here. Go on where you left off; the files are as you left them."
_AGAIN = "\n\n(An earlier attempt at this was cut off. What it changed is in the files; look before you start.)"
_EMPTY = "Your answer was empty. Go on, or say what you found and did."
_OURS = ("session.started", "message.added", "merge", "session.ended")
"""Events of a driven session that make up its history; its calls and tools are the agent's own to remember."""


class _Finished(msgspec.Struct, frozen=True):
    """`finish` was called and accepted."""

    answer: str


class _Stop(msgspec.Struct, frozen=True):
    """A limit, or the run's pause."""


@dataclass
class DrivenSession(Session):
    """A live session of another agent."""

    native: str = ""
    """The agent's own id of the conversation; empty: there is none yet."""
    sent: int = 0
    """How many of our messages it has been given."""
    _queue: asyncio.Queue[told.Event | _Finished | _Stop | BaseException | None] = field(default_factory=asyncio.Queue)
    _again: bool = False
    """Its conversation was lost, and a new one begins with everything that it was told."""
    _own_calls: int = 0
    """Calls of the team's tools under way."""

    @property
    def driven(self) -> DrivenModel:
        return self.crew.driven[self.plan.model]

    @property
    def team_tools(self) -> dict[str, Tool]:
        """The tools that Outlay serves to it; for files and commands it has its own."""
        return {name: tool for name, tool in self.tools.items() if name not in PLAIN}

    def recall(self, events: Iterable[Event]) -> None:
        """Take up what earlier processes wrote down."""
        for event in events:
            if event.type == "agent.started":
                self.native = event.head["native"]
            elif event.type == "agent.sent":
                self.sent = event.head["messages"]

    # ---- its work

    async def _work(self) -> Ending:
        self.history.unanswered, self.history.results = [], []
        self._queue = asyncio.Queue()
        try:
            await self._hold()
            return await self._drive()
        except Refused as refusal:  # by the policy
            return Ending("failed", reason=str(refusal))

    async def _hold(self) -> None:
        """Take what lies in its workspace into its label."""
        if self.crew.guard is None:
            return
        before = self.history.label
        await self.crew.guard.mounted(self)
        if self.history.label != before:
            await self._write(Entry("agent.holds", {"label": sorted(self.history.label)}))

    async def _drive(self) -> Ending:
        async with self.crew.seating.seated(self) as seated:
            guests = Guests(self.crew, self.plan, seated)
            self.crew.doing(self, f"starting {self.driven.agent.title}")
            conversation = await self._start(seated)
            helpers = [
                asyncio.create_task(self._listen(conversation)),
                asyncio.create_task(self._stop_at(seated.seat.limited)),
                asyncio.create_task(self._stop_at(self.crew.gateway.pausing)),
            ]
            try:
                return await self._converse(conversation, seated, guests)
            finally:
                await through(self._leave(conversation, helpers, guests))

    async def _start(self, seated: Seated) -> told.Conversation:
        """Start the agent: in its conversation, or, when it knows nothing of that, in a new one."""
        try:
            return await self._begin(seated)
        except EnvironmentProblem:
            if not self.native:
                raise
        self.native, self.sent, self._again = "", 0, True
        return await self._begin(seated)

    async def _begin(self, seated: Seated) -> told.Conversation:
        agent = self.driven.agent
        try:
            async with asyncio.timeout(START_S):
                return await driver_of(agent).start(self._launch(seated), spawner(seated.place))
        except TimeoutError:
            raise EnvironmentProblem(f"{agent.title} did not start within {START_S:g} s") from None

    def _launch(self, seated: Seated) -> told.Launch:
        tools = self.plan.role.tools
        if "start" in self.tools:  # subagents are the team's, each with its role and model
            tools = tuple(name for name in tools if name != "agents")
        return told.Launch(
            session=self.name,
            instructions=self.plan.system,
            model=self.driven.model,
            tools=tools,
            home=seated.place.home,
            gateway=seated.gateway,
            key=seated.key,
            mcp=seated.team,
            native=self.native,
            program=self.driven.program.argv,
            window_tokens=self.driven.endpoint.window_tokens,
            max_output_tokens=self.driven.endpoint.max_output_tokens,
            only_model=self.crew.guard is not None,
        )

    async def _leave(self, conversation: told.Conversation, helpers: list[asyncio.Task[None]], guests: Guests) -> None:
        await conversation.stop()
        for task in helpers:
            task.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await guests.end_all()

    async def _listen(self, conversation: told.Conversation) -> None:
        try:
            async for event in conversation.events():
                self._queue.put_nowait(event)
            self._queue.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            self._queue.put_nowait(error)

    async def _stop_at(self, event: asyncio.Event) -> None:
        await event.wait()
        self._queue.put_nowait(_Stop())

    async def _converse(self, conversation: told.Conversation, seated: Seated, guests: Guests) -> Ending:
        self.crew.checkpoint()
        self.drain()
        await self._give(conversation)
        while True:
            event = await self._next(seated)
            if event is None:
                return Ending("timed_out", reason=f"no sign of life for {self.driven.silence_s:g} s")
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, _Stop):
                if seated.seat.limit is not None:
                    raise seated.seat.limit
                await self.flush()
                raise Paused("paused")
            if isinstance(event, _Finished):
                return Ending("done", event.answer)
            ending = await self._hear_of(event, conversation, seated, guests)
            if ending is not None:
                return ending

    async def _next(self, seated: Seated) -> told.Event | _Finished | _Stop | BaseException | None:
        """What comes next; None when nothing does and nothing is under way that could explain it."""
        clock, watch = self.crew.clock, self.crew.watch
        heard_s = clock.monotonic()
        while True:
            try:
                event = await asyncio.wait_for(self._queue.get(), min(self.driven.silence_s, LOOK_S))
                return told.Failed("it ended") if event is None else event
            except TimeoutError:
                if self._own_calls or seated.seat.busy:
                    heard_s = clock.monotonic()
                    watch.heard(self.plan.id, heard_s)
                elif clock.monotonic() - heard_s >= self.driven.silence_s:
                    return None

    async def _hear_of(
        self, event: told.Event, conversation: told.Conversation, seated: Seated, guests: Guests
    ) -> Ending | None:
        title = self.driven.agent.title
        match event:
            case told.Started():
                self.native = event.native
                head = {"agent": self.driven.agent.name, "version": event.version, "native": event.native}
                await self._write(Entry("agent.started", head | {"model": event.model}))
            case told.Said() if not event.child:
                self.history.messages.append(Message("assistant", (Text(event.text),)))
                self.crew.doing(self, " ".join(event.text.split())[:60])
            case told.ToolAsked() | told.ToolDone():
                self.crew.doing(self, event.name)
                await guests.write(self, event.child, _tool_entry(event))
                if isinstance(event, told.ToolDone) and not event.child:
                    await self._between_steps(conversation)
            case told.PermissionAsked():
                if event.denial:
                    head = {"name": event.name, "child": event.child}
                    await self._write(Entry("agent.denied", head, event.denial.encode()))
            case told.ChildStarted() | told.ChildEnded():
                await guests.note(event)
            case told.UsageReported():
                usage = {k: v for k, v in msgspec.structs.asdict(event.usage).items() if v}
                await self._write(Entry("agent.usage", {"model": event.model, "usd": event.usd} | usage))
            case told.Failed():
                if seated.seat.limit is not None:
                    raise seated.seat.limit
                return Ending("failed", reason=f"{title}: {event.reason}")
            case told.TurnEnded():
                await self._write(Entry("agent.turn", {"status": event.status}, event.answer[:KEPT_CHARS].encode()))
                return await self._turn_ended(event, conversation, seated)
        return None

    async def _between_steps(self, conversation: told.Conversation) -> None:
        """Breakers may stop it here or have it told something; what it can read while it works, it is given now. Its
        context and its model are its own: a breaker that would change those warns."""
        for trip in self.crew.watch.trips(self.plan.id):
            done = trip if trip.action == "stop" else msgspec.structs.replace(trip, action="warn")
            await act(self, done)
        await tell_budgets(self)
        self.drain()
        if self.driven.agent.steers and self._unsent:
            await self._give(conversation)

    @property
    def _unsent(self) -> list[Message]:
        """Our messages that it has not been given."""
        return [message for message in self.history.messages if message.role == "user"][self.sent :]

    async def _turn_ended(
        self, event: told.TurnEnded, conversation: told.Conversation, seated: Seated
    ) -> Ending | None:
        """It waits for a message: news, what the checks say, or nothing, and it is done."""
        if seated.seat.limit is not None:
            raise seated.seat.limit
        if self.drain():
            await self._give(conversation)
            return None
        if event.status == "failed":
            return Ending("failed", reason=f"{self.driven.agent.title}: {event.reason or 'no reason given'}")
        if not event.answer.strip():
            self.nudges += 1
            if self.nudges >= NUDGES:
                return Ending("failed", reason=f"{NUDGES} answers in a row were empty")
            await self.say("nudge", _EMPTY)
        else:
            self.nudges = 0
            refusal = await self.crew.may_end(self, event.answer)
            if refusal is None and not self.drain():
                return Ending("done", event.answer)
            if refusal is not None:
                await self.say("check", refusal)
        await self._give(conversation)
        return None

    # ---- what it is told, and what is written down

    async def _give(self, conversation: told.Conversation) -> None:
        """Give it the messages that it has not had."""
        unsent = self._unsent
        texts = [part.text for message in unsent for part in message.parts if isinstance(part, Text)]
        if self._again:
            texts[-1:] = [text + _AGAIN for text in texts[-1:]]
            self._again = False
        self.sent += len(unsent)
        await self._write(Entry("agent.sent", {"messages": self.sent}))
        self.crew.doing(self, "thinking")
        await conversation.send("\n\n".join(texts) or _GO_ON)

    async def _write(self, entry: Entry) -> None:
        self.write(entry)
        await self.flush()

    # ---- the team's tools

    async def call_tool(self, name: str, arguments: str) -> Outcome:
        """Run one of the team's tools for it."""
        call = ToolCall(self.crew.clock.new_id(), name, arguments)
        self._own_calls += 1
        try:
            await self._write(Entry("tool.intent", {"call_id": call.id, "name": name}, arguments.encode()))
            self.history.unanswered.append(call)
            outcome = await self._run_tool(call, cut=False)
            await self._hold()
            await self.flush()
        except Refused as refusal:
            self._queue.put_nowait(refusal)
            return Outcome(text=str(refusal), is_error=True)
        except (Paused, Cancelled) as error:
            return Outcome(text=f"the run stops here: {error}", is_error=True)
        except Exception as error:
            self._queue.put_nowait(error)
            raise
        finally:
            self._own_calls -= 1
            with contextlib.suppress(ValueError):
                self.history.unanswered.remove(call)
            self.history.results = []
        if outcome.answer is not None:
            self._queue.put_nowait(_Finished(outcome.answer))
        return outcome


def _tool_entry(event: told.ToolAsked | told.ToolDone) -> Entry:
    """A tool of the agent's own, as ours are written down."""
    if isinstance(event, told.ToolAsked):
        return Entry("tool.intent", {"call_id": event.id, "name": event.name}, event.arguments[:KEPT_CHARS].encode())
    head = {
        "call_id": event.id,
        "name": event.name,
        "is_error": event.is_error,
        "chars": len(event.text),
        "wall_ms": None,
        **msgspec.structs.asdict(Use()),
        "commit": None,
    }
    return Entry("tool.result", head, event.text[:KEPT_CHARS].encode())


# ---- after a crash


def history_of(events: list[Event]) -> History:
    """A driven session's history: what it was told and how it ended."""
    history = rebuild(event for event in events if event.type in _OURS)
    for event in events:
        if event.type == "tool.result" and event.head.get("commit"):
            history.commit = event.head["commit"]
        history.label |= frozenset(event.head.get("label", ()))
    return history


async def take_up(crew: Crew, plan: Plan, epoch: int, events: list[Event]) -> None:
    """Go on with a session that another process left. Its calls without an end are counted as lost; its workspace stays
    as it is."""
    history = history_of(events)
    works = history.status == "running" or plan.parent is None
    kept = crew.hub.is_laid_out(crew.place(plan.name))
    session = await crew.seat(plan, epoch, history, lay_out=works and not kept)
    assert isinstance(session, DrivenSession)
    session.recall(events)
    for intent in unanswered(events):
        history.open_intent = intent
        await crew.count_lost(session)
    history.open_intent = None
    if not history.messages:  # cut between its first event and its task
        await session.say("task", plan.task)
