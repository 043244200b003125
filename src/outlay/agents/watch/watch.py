"""The watch of a run: every session's detectors, fed with what is written into the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from outlay.agents.watch.detectors import Detector, Numbers, detectors
from outlay.agents.watch.facts import EDITS, Fact, Reader, Returned, Tripped
from outlay.agents.watch.settings import Action, Breakers
from outlay.ledger import Entry, Ledger
from outlay.tokens import Usage
from outlay.wires.types import Reply, ToolCall

TYPES = (
    "session.started", "call.result", "tool.intent", "tool.result", "message.added", "merge", "session.ended",
    "check.finished", "breaker.tripped", "context.replaced",
)  # fmt: skip
"""Events that hold what breakers need to know."""


class Trip(msgspec.Struct, frozen=True):
    """A breaker that trips."""

    session: str
    breaker: str
    action: Action
    earlier: int
    """How often it has tripped in this session before."""
    numbers: Numbers


@dataclass
class _Watched:
    """One session."""

    detectors: dict[str, Detector]
    trips: Counter[str] = field(default_factory=Counter)
    edits: int = 0
    """Changes of the workspace by its own tools."""
    noticed: set[str] = field(default_factory=set)
    """Budgets of which the agent has been told that they are nearly used up."""
    heard_s: float | None = None
    """When something of it was heard last, on the clock of this process."""


class Watch:
    """Sees every entry as it is written and says which breakers trip. Holds nothing that the ledger does not."""

    def __init__(self, settings: Breakers) -> None:
        self.settings = settings
        self._reader = Reader()
        self._sessions: dict[str, _Watched] = {}

    def see(
        self,
        stream: str,
        kind: str,
        head: Mapping[str, Any],
        payload: bytes | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Take an entry of a session's or the run's stream. `usage` goes with `call.result`."""
        if kind not in TYPES:
            return
        if kind == "message.added" and head["kind"] == "budget":
            self._watched(stream).noticed.update(head["told"])
        for session, fact in self._reader.read(stream, kind, head, payload, usage):
            for watched in [self._watched(session)] if session else self._sessions.values():
                _take(watched, fact)

    def see_all(self, stream: str, entries: Iterable[Entry]) -> None:
        """`see` for entries as they go into the ledger."""
        for entry in entries:
            self.see(stream, entry.type, entry.head, entry.payload)

    def answered(self, session: str, reply: Reply, intents: Sequence[Entry]) -> None:
        """`see` for an answer and, where they are known with it, the intents of the tools that it asks for."""
        tools = sum(isinstance(part, ToolCall) for part in reply.message.parts)
        self.see(session, "call.result", {"tools": tools}, None, reply.usage)
        self.see_all(session, intents)

    def restore(self, ledger: Ledger, run: str) -> None:
        """Rebuild everything from the events of a run."""
        usage = {call.key: call.usage for call in ledger.calls("run = ?", (run,))}
        for event in ledger.events(run=run, types=TYPES):
            used = usage.get(event.head["key"]) if event.type == "call.result" else None
            self.see(event.stream, event.type, event.head, event.payload, used)

    def _watched(self, session: str) -> _Watched:
        if session not in self._sessions:
            self._sessions[session] = _Watched(detectors(self.settings))
        return self._sessions[session]

    def trips(self, session: str) -> list[Trip]:
        """The breakers whose symptoms a session shows now, those that end it first."""
        found = [
            self._trip(session, name, numbers)
            for name, detector in self._watched(session).detectors.items()
            if (numbers := detector.symptom()) is not None
        ]
        return sorted(found, key=lambda trip: trip.action != "stop")

    def _trip(self, session: str, breaker: str, numbers: Numbers) -> Trip:
        earlier = self._watched(session).trips[breaker]
        return Trip(session, breaker, getattr(self.settings, breaker).nth(earlier), earlier, numbers)

    def noticed(self, session: str) -> set[str]:
        """Budgets of which the agent has been told that they are nearly used up."""
        return self._watched(session).noticed

    def edits(self, session: str) -> int:
        """How often a session changed the workspace with its own tools."""
        return self._watched(session).edits

    # ---- silence

    def heard(self, session: str, now_s: float) -> None:
        """A sign of life of a session."""
        self._watched(session).heard_s = now_s

    def silence(self, session: str, now_s: float) -> Trip | None:
        """The trip of a session of which nothing was heard for too long."""
        settings, heard_s = self.settings.silent, self._watched(session).heard_s
        if settings == "off" or heard_s is None or now_s - heard_s < settings.after_s:
            return None
        return self._trip(session, "silent", {"silent_s": round(now_s - heard_s, 1), "bound": settings.after_s})


def _take(watched: _Watched, fact: Fact) -> None:
    if isinstance(fact, Tripped):
        watched.trips[fact.breaker] += 1
        if fact.breaker in watched.detectors:
            watched.detectors[fact.breaker].clear()
        return
    if isinstance(fact, Returned) and fact.changed and fact.tool in (*EDITS, "shell"):
        watched.edits += 1
    for detector in watched.detectors.values():
        detector.see(fact)
