"""Calls whose end was never written, because what made them was killed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from outlay.clock import Clock
from outlay.gateway.door import Caller
from outlay.ledger import Call, Event
from outlay.tokens import ZERO

CALL_EVENTS = ("call.intent", "call.result", "call.failed", "call.lost")


def unanswered(events: Iterable[Event]) -> list[Event]:
    """Intents without an end, oldest first. A session of another agent may have several calls under way at once."""
    waiting: dict[str, Event] = {}
    for event in events:
        if event.type == "call.intent":
            waiting[f"{event.stream}#{event.n}"] = event
        elif event.type in CALL_EVENTS:
            waiting.pop(event.head["key"], None)
    return list(waiting.values())


def lost_call(caller: Caller, intent: Event, conn: Any, clock: Clock) -> Call:
    """The row of a call that nobody knows the end of."""
    project = conn.execute("SELECT workspace FROM runs WHERE id = ?", (caller.run,)).fetchone()[0]
    return Call(
        source="outlay", key=f"{caller.session}#{intent.n}", run=caller.run, session=caller.session,
        parent=caller.parent, agent=caller.name, role=caller.role, project=project, model=intent.head["model"],
        started_ms=intent.at_ms, ended_ms=clock.now_ms(), usage=ZERO, quality="unmeasured", status="lost",
        attempt=intent.head["attempt"], possible_cost_pico=intent.head["reserved_pico"],
    )  # fmt: skip
