"""One agent's conversation: think, act, until it is done. Main agent and subagents are this same code.

A session is its events. What it does is written before it counts: tool results go into the ledger together with the
next call's intent, tool intents together with the reply that asked for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from outlay.agents.context.tending import next_turn
from outlay.agents.delegation import guarded
from outlay.agents.history import History, LastWords
from outlay.agents.role import Role
from outlay.agents.tool import Merged, Outcome, Refused, Tool, decode
from outlay.agents.watch.acting import act, before_turn
from outlay.agents.watch.watch import Trip
from outlay.errors import DiskProblem, EnvironmentProblem, InputError, LimitReached, OutlayError
from outlay.gateway import Caller
from outlay.gateway.budget import SMALLEST_OUTPUT_TOKENS
from outlay.ledger import Entry
from outlay.sandbox.files import FileProblem
from outlay.wires.types import Fault, Message, Reply, Request, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from outlay.agents.crew import Crew

Status = Literal["done", "failed", "cancelled", "timed_out", "stopped"]

NUDGES = 3
"""Empty or cut-off answers in a row before a session counts as failed."""
TURN_TOKENS = 8_000
"""Room for what a turn adds to the conversation: an eighth of the window where that is less."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a session was started with; its first event keeps it."""

    id: str
    run: str
    name: str
    role: Role
    model: str
    parent: str | None
    depth: int
    task: str
    system: str
    started_by: str = ""
    """Id of the tool call that started it, so that a repeated start finds it again."""


class Ending(msgspec.Struct, frozen=True):
    """How a session ended."""

    status: Status
    answer: str = ""
    reason: str = ""
    limit: str = ""
    """The limit that stopped it."""


@dataclass
class Session:
    """A live session."""

    crew: Crew
    plan: Plan
    epoch: int
    workspace: Path
    tools: dict[str, Tool]
    history: History
    own_clone: bool
    """Whether the workspace is this session's own, or its parent's to read only."""
    pending: list[Entry] = field(default_factory=list)
    nudges: int = 0
    inbox: list[Message] = field(default_factory=list)
    """Messages that are in the ledger already and enter the conversation after the present turn."""
    question: str | None = None
    """What it is asking its parent right now."""
    ending: Ending | None = None
    began_s: float | None = None
    """When its present work began, on the clock of this process, for a subagent with a limit on wall time."""
    cut: Trip | None = None
    """The breaker for which its present turn is being cut."""

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def is_main(self) -> bool:
        return self.plan.parent is None

    @property
    def caller(self) -> Caller:
        plan = self.plan
        return Caller(plan.run, plan.id, plan.name, plan.role.name, plan.parent, self.epoch, self.history.label)

    async def run(self) -> Ending:
        """Work until the session ends, and write its end. Raises Paused and Cancelled as they come."""
        try:
            ending = await self._work()
        except LimitReached as limit:
            ending = Ending("stopped", reason=str(limit), limit=limit.limit)
        except Fault as fault:
            ending = Ending("failed", reason=f"model {self.plan.model}: {fault}")
        except DiskProblem:
            raise
        except (InputError, EnvironmentProblem) as error:
            ending = Ending("failed", reason=str(error))
        return await self.end(ending)

    async def _work(self) -> Ending:
        if self.history.unanswered:
            outcome = await self._act(list(self.history.unanswered), interrupted=True)
            if outcome is not None:
                return outcome
        self.drain()
        while True:
            self.crew.checkpoint()
            await before_turn(self)
            reply = await next_turn(self)
            calls = [part for part in reply.message.parts if isinstance(part, ToolCall)]
            ending = await self._act(calls) if calls else None
            news = self.drain()
            if ending is None and not calls:
                ending = await self._conclude(reply)
            if ending is not None and not news:
                return ending

    def drain(self) -> bool:
        """Let what has arrived into the conversation; at the one place where a rebuilt session has it too."""
        news, self.inbox = self.inbox, []
        self.history.messages += news
        self.history.late += news
        return bool(news)

    async def think(self) -> Reply:
        """The model's next answer. Raises Fault, and LimitReached when a budget or the context is used up."""
        self.crew.doing(self, "thinking")
        return await self.ask_model(self._hear)

    async def ask_model(self, hear: Callable[[Reply], list[Entry]], *, most_output_tokens: int | None = None) -> Reply:
        """Send the conversation. hear: takes the answer as it is written down, with the entries that it gives."""
        endpoint = self.crew.gateway.endpoints[self.plan.model]
        history = self.history
        room = endpoint.window_tokens - history.known_tokens - min(TURN_TOKENS, endpoint.window_tokens // 8)
        if room < 0:
            raise LimitReached("context", f"the context of {self.name} is full ({history.known_tokens:,} tokens)")
        most = min(endpoint.max_output_tokens, most_output_tokens or endpoint.max_output_tokens)
        request = Request(
            model=endpoint.model,
            system=self.plan.system,
            tools=tuple(tool.spec for tool in self.tools.values()),
            messages=tuple(history.messages),
            max_output_tokens=min(most, max(room, SMALLEST_OUTPUT_TOKENS)),
            reasoning=endpoint.reasoning,
        )

        def take(reply: Reply) -> list[Entry]:
            history.heard(reply.usage)
            return hear(reply)

        return await self.crew.gateway.call(
            self.caller,
            self.plan.model,
            request,
            self.pending,
            then=take,
            known_tokens=history.known_tokens,
            note=lambda text: self.crew.doing(self, text),
        )

    def _hear(self, reply: Reply) -> list[Entry]:
        """Take an answer into the conversation and give the intents of the tools that it asks for.

        Called as it is written down, so that a cancellation at this moment cannot leave one without the other. Tool
        intents stand in the ledger together with the reply, before any of the tools runs.
        """
        history = self.history
        calls = [part for part in reply.message.parts if isinstance(part, ToolCall)]
        history.messages.append(reply.message)
        history.unanswered, history.results = list(calls), []
        return [Entry("tool.intent", {"call_id": c.id, "name": c.name}, c.arguments.encode()) for c in calls]

    async def _act(self, calls: list[ToolCall], *, interrupted: bool = False) -> Ending | None:
        """Run the tools that were asked for, in order, and add their results to the conversation."""
        ending = None
        for number, call in enumerate(calls):
            if ending is not None:
                break
            outcome = await self._run_tool(call, cut=interrupted and number == 0)
            if outcome.answer is not None:
                ending = Ending("done", outcome.answer)
        self._close_turn("not run: the session had ended")
        self.nudges = 0
        return ending

    def _close_turn(self, why: str) -> None:
        """Answer the tool calls that are still open, so that the conversation can go on later, and end the turn."""
        history = self.history
        for call in list(history.unanswered):
            self._note(call, Outcome(text=why, is_error=True), 0)
        if history.results:
            history.messages.append(Message("user", tuple(history.results)))
            history.results = []

    async def _run_tool(self, call: ToolCall, *, cut: bool) -> Outcome:
        tool = self.tools.get(call.name)
        started = self.crew.clock.monotonic()
        self.crew.doing(self, f"{call.name} {_gist(call.arguments)}")
        try:
            if tool is None:
                raise Refused(f"there is no tool {call.name!r}; there are {', '.join(self.tools)}")
            if cut and tool.effect == "outside":
                raise Refused("interrupted by a crash: whether it had an effect is unknown. Find out before repeating.")
            sent = call if self.crew.guard is None else await self.crew.guard.sending(self, call)
            asked, run = (sent, decode(sent.arguments, tool.arguments)), tool.run
            outcome = await guarded(self, call, lambda: run(self, asked))
        except Refused as refusal:
            outcome = Outcome(text=str(refusal), is_error=True)
        except (FileProblem, EnvironmentProblem, OSError) as problem:
            if is_disk_full(str(problem)):
                raise DiskProblem(f"{call.name} of {self.name}: {problem}; free some space, then resume") from None
            if isinstance(problem, EnvironmentProblem):
                raise
            outcome = Outcome(text=str(problem), is_error=True)
        if self.crew.guard is not None:
            outcome = await self.crew.guard.received(self, call, outcome)
        self._note(call, outcome, int((self.crew.clock.monotonic() - started) * 1000))
        if tool is not None and tool.effect == "outside":
            await self.flush()
        return outcome

    def _note(self, call: ToolCall, outcome: Outcome, wall_ms: int) -> None:
        """A tool's result: to be written with the next call's intent, and a part of the turn's answer."""
        head: dict[str, Any] = {
            "call_id": call.id,
            "name": call.name,
            "is_error": outcome.is_error,
            "chars": len(outcome.text),
            "wall_ms": wall_ms,
            **msgspec.structs.asdict(outcome.use),
            "commit": outcome.commit,
        }
        if outcome.label:
            head["label"] = sorted(outcome.label)
            self.history.label |= outcome.label
        self.write(*(merge_entry(merged) for merged in outcome.merges))
        self.write(Entry("tool.result", head, outcome.text.encode()))
        if outcome.commit:
            self.history.commit = outcome.commit
        self.history.unanswered.remove(call)
        self.history.results.append(ToolResult(call.id, call.name, outcome.text, outcome.is_error))

    async def _conclude(self, reply: Reply) -> Ending | None:
        """An answer that asks for no tool: the end, unless it is empty, cut off or the checks say otherwise."""
        text = "\n".join(part.text for part in reply.message.parts if isinstance(part, Text)).strip()
        if reply.stop == "refusal":
            return Ending("failed", reason=f"the model refused: {text[:200]}")
        if reply.stop == "length" or not text:
            self.nudges += 1
            if self.nudges >= NUDGES:
                return Ending("failed", reason=f"{NUDGES} answers in a row were cut off or empty")
            why = "Your answer was cut off at the output limit." if reply.stop == "length" else "Your answer was empty."
            await self.say("nudge", f"{why} Go on in smaller steps, with a tool call, or call finish.")
            return None
        refusal = await self.crew.may_end(self, text)
        if refusal is None:
            return Ending("done", text)
        await self.say("check", refusal)
        return None

    async def say(self, kind: str, text: str, **facts: Any) -> None:
        """Add a message of ours to the conversation. `facts` go into the head of its event."""
        message = Message("user", (Text(text),))
        self.history.messages.append(message)
        head = {"kind": kind} | facts
        if self.history.label:
            head["label"] = sorted(self.history.label)
        self.write(Entry("message.added", head, msgspec.json.encode(message)))

    def write(self, *entries: Entry) -> None:
        """Events to be written with the next intent, or at the next flush."""
        self.pending += entries
        self.crew.watch.see_all(self.plan.id, entries)

    def change_model(self, model: str) -> None:
        """Go on with another model."""
        self.plan = msgspec.structs.replace(self.plan, model=model)

    async def recover(self, trip: Trip) -> Ending | None:
        """Go on after a turn that was cut: None, or the ending when the breaker ends the session."""
        self._close_turn("cut off")
        try:
            await act(self, trip)
        except LimitReached as limit:
            return await self.end(Ending("stopped", reason=str(limit), limit=limit.limit))
        return None

    async def flush(self) -> None:
        """Write what is pending now."""
        entries, self.pending = self.pending, []
        await self.crew.ledger.commit(lambda t: t.append(self.plan.run, self.plan.id, self.epoch, entries))

    async def snapshot(self) -> str:
        """Commit of the workspace as it is; raises Refused when it holds what cannot be kept."""
        try:
            commit = await self.crew.hub.snapshot(self.crew.place(self.name))
        except OutlayError as error:
            if is_disk_full(str(error)):
                raise DiskProblem(f"{error}; free some space, then resume") from None
            raise Refused(str(error)) from None
        return commit

    async def end(self, ending: Ending) -> Ending:
        """Write the end of the session with the last state of its workspace; the ending as it was written."""
        self._close_turn("not finished: the session was ended here")
        commit = None
        if self.own_clone:
            try:
                commit = await self.snapshot()
            except Refused as problem:
                ending = msgspec.structs.replace(ending, status="failed", reason=str(problem))
        head = {"status": ending.status, "limit": ending.limit, "commit": commit}
        words = LastWords(ending.answer, ending.reason)
        self.write(Entry("session.ended", head, msgspec.json.encode(words)))
        entries, self.pending = self.pending, []
        now = self.crew.clock.now_ms()

        def work(t: Any) -> None:
            t.append(self.plan.run, self.plan.id, self.epoch, entries)
            t.update("sessions", self.plan.id, status=ending.status, ended_ms=now, last_action=ending.reason[:200])

        if commit:
            self.history.commit = commit
        self.ending = ending
        self.history.status, self.history.answer = ending.status, ending.answer
        self.history.ends += 1
        await self.crew.ledger.commit(work)  # cancelled meanwhile it is written all the same
        return ending


def is_disk_full(words: str) -> bool:
    """Whether an error message, ours or git's, says that a disk takes nothing more."""
    return any(sign in words for sign in ("No space left on device", "disk is full", "uota exceeded", "Read-only file"))


def merge_entry(merged: Merged) -> Entry:
    """The event that records a merge."""
    head = msgspec.structs.asdict(merged) | {"conflicts": len(merged.conflicts)}
    return Entry("merge", head, msgspec.json.encode(merged.conflicts))


def _gist(arguments: str) -> str:
    """The first words of a tool's arguments, for the live view."""
    try:
        decoded = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return "(malformed)"
    first = next(iter(decoded.values()), "") if isinstance(decoded, dict) else decoded
    return " ".join(str(first).split())[:60]
