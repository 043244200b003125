"""Subagents that a driven agent started by itself: sessions of the run, opened by the gateway with their first call and
ended by what the agent tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from outlay.agents.history import LastWords
from outlay.agents.seating import Seated
from outlay.agents.session import Plan, Status
from outlay.drivers.types import ChildEnded, ChildStarted
from outlay.gateway.door import Caller
from outlay.gateway.lost import lost_call, unanswered
from outlay.ledger import Entry, Event, Transaction

if TYPE_CHECKING:
    from outlay.agents.crew import Crew
    from outlay.agents.driven import DrivenSession


class Guests:
    """The subagents of one driven session in this process."""

    def __init__(self, crew: Crew, plan: Plan, seated: Seated) -> None:
        self._crew = crew
        self._plan = plan
        self._seated = seated
        self._ended: set[str] = set()

    async def note(self, event: ChildStarted | ChildEnded) -> None:
        """Take what the agent tells of a subagent; one that never called a model has no session."""
        if isinstance(event, ChildStarted):
            await self._seated.seats.introduce(self._seated.token, event.native, event.kind)
            return
        caller = self._seated.seats.child(self._seated.token, event.native)
        if caller is not None and caller.session not in self._ended:
            await self._end(caller, event.status, event.answer)

    async def write(self, session: DrivenSession, child: str, entry: Entry) -> None:
        """Write an event of a subagent, or of the session itself, into the stream that it belongs to."""
        caller = self._seated.seats.child(self._seated.token, child) if child else None
        if caller is None:
            session.write(entry)
            await session.flush()
            return
        self._crew.watch.see_all(caller.session, [entry])
        await self._crew.ledger.commit(lambda t: t.append(caller.run, caller.session, caller.epoch, [entry]))

    async def end_all(self) -> None:
        """Their agent has ended, and so have they."""
        for caller in self._seated.seats.children(self._seated.token):
            if caller.session not in self._ended:
                await self._end(caller, "cancelled", "")

    async def _end(self, caller: Caller, status: Status, answer: str) -> None:
        self._ended.add(caller.session)
        words = msgspec.json.encode(LastWords(answer, ""))
        entry = Entry("session.ended", {"status": status, "limit": "", "commit": None}, words)
        now = self._crew.clock.now_ms()

        def work(t: Transaction) -> None:
            t.append(caller.run, caller.session, caller.epoch, [entry])
            t.update("sessions", caller.session, status=status, ended_ms=now)

        await self._crew.ledger.commit(work)


async def end_lost_guest(crew: Crew, session_id: str, events: list[Event]) -> None:
    """End a subagent whose agent was killed: what it called without an end is counted as lost."""
    head = events[0].head
    now = crew.clock.now_ms()
    ended = events[-1].type == "session.ended"

    def work(t: Transaction) -> None:
        epoch = t.claim(session_id, crew.owner)
        caller = Caller(crew.run, session_id, head["name"], head["role"], head["parent"], epoch)
        calls = [lost_call(caller, intent, t.conn, crew.clock) for intent in unanswered(events)]
        entries: list[Any] = [
            Entry("call.lost", {"key": call.key, "possible_cost_pico": call.possible_cost_pico}) for call in calls
        ]
        if not ended:
            words = msgspec.json.encode(LastWords("", "its agent was killed"))
            entries.append(Entry("session.ended", {"status": "cancelled", "limit": "", "commit": None}, words))
            t.update("sessions", session_id, status="cancelled", ended_ms=now)
        t.append(crew.run, session_id, epoch, entries)
        t.record_calls(calls)

    await crew.ledger.commit(work)
