"""What is done when a breaker trips, between two turns of a session: warn, hand over, replace the model, stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from outlay.agents.handoff import hand_over
from outlay.agents.watch import words
from outlay.agents.watch.notices import tell_budgets
from outlay.agents.watch.settings import Action
from outlay.agents.watch.watch import Trip
from outlay.errors import LimitReached
from outlay.ledger import Entry

if TYPE_CHECKING:
    from outlay.agents.crew import Crew
    from outlay.agents.session import Ending, Session

WATCH_S = 1.0
"""How often silent subagents are looked for."""


async def before_turn(session: Session) -> None:
    """Act on what the breakers of a session say. Raises LimitReached when one stops it."""
    for trip in session.crew.watch.trips(session.plan.id):
        await act(session, trip)
    await tell_budgets(session)


async def act(session: Session, trip: Trip) -> None:
    """Do what the breaker says, or the next best where that cannot be done, and write it down."""
    model = next_model(session) if trip.action == "replace" else None
    done: Action = "handover" if trip.action == "replace" and model is None else trip.action
    _log(session, trip, done)
    said = words.symptom(trip.breaker, trip.numbers)
    if done == "stop":
        raise LimitReached(f"breakers.{trip.breaker}", f"breaker {trip.breaker} stopped {session.name}: {said}")
    if model is not None:
        use_model(session, model)
    if done == "handover":
        await hand_over(session, said)
    else:
        await session.say("breaker", words.warning(trip.breaker, trip.numbers))


def _log(session: Session, trip: Trip, done: Action) -> None:
    """The event with the numbers that caused it and what the session had used by then."""
    account = session.crew.gateway.budget.session(session.plan.id, session.plan.parent, session.plan.role.name)
    head = {
        "breaker": trip.breaker,
        "action": done,
        "wanted": trip.action,
        "times_before": trip.earlier,
        "numbers": trip.numbers,
        "session_turns": account.turns,
        "session_net_tokens": account.spent_net,
        "session_pico": account.spent_pico,
        "context_tokens": session.history.known_tokens,
    }
    session.write(Entry("breaker.tripped", head))


def next_model(session: Session) -> str | None:
    """The model of the role's menu that comes after the present one and whose window holds the conversation."""
    role = session.plan.role
    menu = list(dict.fromkeys((role.model, *role.models)))
    at = menu.index(session.plan.model) if session.plan.model in menu else -1
    endpoints = session.crew.gateway.endpoints
    for name in menu[at + 1 :]:
        if endpoints[name].window_tokens * 3 // 4 <= session.history.known_tokens:
            continue
        if (guard := session.crew.guard) is None or guard.cleared(session.plan.model) <= guard.cleared(name):
            return name
    return None


def use_model(session: Session, model: str) -> None:
    """Let a session go on with another model."""
    session.write(Entry("model.replaced", {"from": session.plan.model, "to": model}))
    session.change_model(model)


# ---- silent subagents


async def run_through(session: Session) -> Ending:
    """Let a subagent work to its end, through the cuts that end a silence."""
    session.began_s = session.crew.clock.monotonic()
    while True:
        session.crew.watch.heard(session.plan.id, session.crew.clock.monotonic())
        try:
            return await session.run()
        except asyncio.CancelledError:
            trip, session.cut = session.cut, None
            task = asyncio.current_task()
            if trip is None or session.ending is not None or task is None or session.crew.cancelled:
                raise
            task.uncancel()
            ending = await session.recover(trip)
            if ending is not None:
                return ending


async def listen(crew: Crew) -> None:
    """Cut the turns of subagents that have been silent for too long, for as long as the run works."""
    while True:
        await asyncio.sleep(WATCH_S)
        now_s = crew.clock.monotonic()
        for name, task in list(crew.tasks.items()):
            session = crew.sessions[name]
            if session.cut is None and not task.done() and crew.slots.held_by(session.name):
                session.cut = crew.watch.silence(session.plan.id, now_s)
                if session.cut is not None:
                    task.cancel()
