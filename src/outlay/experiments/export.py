"""A run as other programs' formats want it: sessions with their steps, in order, each with what it used and cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from outlay.agents.context.document import first_words
from outlay.agents.history import last_words
from outlay.economics.spend import Spend, spend_of, total
from outlay.errors import InputError
from outlay.experiments.export_policy import Gate, open_gate
from outlay.ledger import Call, Event, Ledger
from outlay.prices.book import PriceBook
from outlay.runs.lookup import worked_ms
from outlay.wires.types import Message, Text, ToolCall

REDACTED = "(redacted)"
"""What stands for a text that was removed from the ledger."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that an agent called, and what came back."""

    id: str
    name: str
    arguments: dict[str, Any]
    """Empty when they were withheld; `{"text": ...}` when they were no JSON object."""
    result: str | None = None
    """None when there is none: the session ended first."""
    is_error: bool = False
    result_ms: int | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a session."""

    at_ms: int
    source: Literal["user", "agent"]
    text: str
    kind: str = ""
    """Of a message to the agent: `task`, `check`, `nudge` and so on (docs/reference/events.md)."""
    asked: tuple[Asked, ...] = ()
    call: Call | None = None
    """The call that was answered; None for a step of another agent's own, and for what the agent was told."""
    cost_pico: int | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session of the run."""

    id: str
    name: str
    role: str
    model: str
    parent: str | None
    started_by: str
    """Id of the tool call of the parent that started it; empty: it was not started by one."""
    status: str
    reason: str
    system: str
    started_ms: int
    ended_ms: int | None
    steps: tuple[Step, ...]
    spend: Spend
    """Of this session alone, failed and lost calls too."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    run: str
    name: str
    status: str
    outcome: str | None
    reason: str
    started_ms: int
    ended_ms: int | None
    wall_ms: int
    """Time in which it was worked on."""
    checks: dict[str, bool]
    sessions: tuple[Session, ...]
    """The main one first, then by start."""
    by_model: dict[str, Spend]
    spend: Spend
    withheld: int
    """Texts that the run's policy keeps from the file."""


def trace_of(ledger: Ledger, run: str, book: PriceBook, to: str | None = None) -> Trace:
    """The run with all its texts, as far as its policy lets them go to the recipient `to` (a model or tool that the
    policy knows). With a policy and without a recipient no text is let out.

    book: with the run's own prices in it. Raises InputError for a recipient that the policy does not know, or one
    named for a run without a policy.
    """
    row = ledger.rows("SELECT * FROM runs WHERE id = ?", (run,))[0]
    calls = list(ledger.calls("run = ?", (run,)))
    gate = open_gate(ledger, run, to)
    by_key = {call.key: call for call in calls}
    rows = ledger.rows("SELECT * FROM sessions WHERE run = ? ORDER BY parent IS NOT NULL, started_ms, id", (run,))
    by_session: dict[str, list[Call]] = {}
    by_model: dict[str, list[Call]] = {}
    for call in calls:
        by_session.setdefault(call.session, []).append(call)
        by_model.setdefault(call.model, []).append(call)
    sessions = tuple(
        _session(ledger, row, by_key, book, gate, total(by_session.get(row["id"], ()), book)) for row in rows
    )
    return Trace(
        run=run,
        name=row["name"],
        status=row["status"],
        outcome=row["outcome"],
        reason=gate.always(row["reason"] or ""),
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        wall_ms=sum(worked_ms(ledger, run)),
        checks={e.head["name"]: e.head["passed"] for e in ledger.events(run, types=["check.finished"])},
        sessions=sessions,
        by_model={model: total(made, book) for model, made in by_model.items()},
        spend=total(calls, book),
        withheld=gate.withheld,
    )


class _Plan(msgspec.Struct):
    """What of a session's plan is shown."""

    system: str = ""
    started_by: str = ""


def _session(
    ledger: Ledger, row: dict[str, Any], by_key: dict[str, Call], book: PriceBook, gate: Gate, spend: Spend
) -> Session:
    plan, steps, reason = _Plan(), _Steps(by_key, book), ""
    gate.begin()
    for event in ledger.events(row["id"]):
        gate.see(event.head.get("label"))
        if event.type == "session.started" and event.payload:
            plan = msgspec.json.decode(event.payload, type=_Plan)
            plan.system = gate.text(plan.system)
        elif event.type == "session.ended":
            reason = gate.text(last_words(event).reason)
        else:
            steps.take(event, gate.text)
    return Session(
        id=row["id"],
        name=row["name"],
        role=row["role"],
        model=row["model"],
        parent=row["parent"],
        started_by=plan.started_by,
        status=row["status"],
        reason=reason,
        system=plan.system,
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        steps=tuple(steps.done),
        spend=spend,
    )


class _Steps:
    """The steps of a session, gathered from its events."""

    def __init__(self, by_key: dict[str, Call], book: PriceBook) -> None:
        self.done: list[Step] = []
        self._by_key = by_key
        self._book = book
        self._where: dict[str, tuple[int, int]] = {}
        """Tool call -> its step, and its place there."""

    def take(self, event: Event, let_out: Callable[[str], str]) -> None:
        match event.type:
            case "context.replaced":
                text = let_out(REDACTED if event.payload is None else first_words(event.payload))
                self.done.append(Step(at_ms=event.at_ms, source="user", kind="context", text=text))
            case "message.added":
                kind = event.head.get("kind", "message")
                if kind != "answer":  # it stands in the result of the tool that asked
                    text = let_out(_words(event.payload))
                    self.done.append(Step(at_ms=event.at_ms, source="user", kind=kind, text=text))
            case "call.result":
                self._answer(event, let_out)
            case "tool.intent":
                if event.head["call_id"] not in self._where:  # another agent's own
                    text = (event.payload or b"{}").decode(errors="replace")
                    asked = Asked(id=event.head["call_id"], name=event.head["name"], arguments=_object(text, let_out))
                    self._add(Step(at_ms=event.at_ms, source="agent", text="", asked=(asked,)))
            case "tool.result":
                self._result(event, let_out)

    def _answer(self, event: Event, let_out: Callable[[str], str]) -> None:
        call = self._by_key.get(event.head.get("key", ""))
        parts = msgspec.json.decode(event.payload, type=Message).parts if event.payload else (Text(REDACTED),)
        asked = tuple(
            Asked(id=part.id, name=part.name, arguments=_object(part.arguments, let_out))
            for part in parts
            if isinstance(part, ToolCall)
        )
        text = let_out("\n".join(part.text for part in parts if isinstance(part, Text)))
        cost = None if call is None else spend_of(call, self._book).cost_pico
        self._add(Step(at_ms=event.at_ms, source="agent", text=text, asked=asked, call=call, cost_pico=cost))

    def _add(self, step: Step) -> None:
        for place, asked in enumerate(step.asked):
            self._where[asked.id] = (len(self.done), place)
        self.done.append(step)

    def _result(self, event: Event, let_out: Callable[[str], str]) -> None:
        found = self._where.get(event.head["call_id"])
        if found is None:
            return
        step = self.done[found[0]]
        text = REDACTED if event.payload is None else let_out(event.payload.decode(errors="replace"))
        asked = list(step.asked)
        asked[found[1]] = msgspec.structs.replace(
            asked[found[1]], result=text, is_error=bool(event.head.get("is_error")), result_ms=event.at_ms
        )
        self.done[found[0]] = msgspec.structs.replace(step, asked=tuple(asked))


def _words(payload: bytes | None) -> str:
    if payload is None:
        return REDACTED
    try:
        message = msgspec.json.decode(payload, type=Message | str)
    except msgspec.DecodeError:
        return payload.decode(errors="replace")
    if isinstance(message, str):
        return message
    return "\n".join(part.text for part in message.parts if isinstance(part, Text))


def _object(text: str, let_out: Callable[[str], str]) -> dict[str, Any]:
    """Arguments of a tool as an object; a model may have written anything."""
    shown = let_out(text)
    if shown != text:
        return {"text": shown}
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = None
    return found if isinstance(found, dict) else {"text": text}


def find_runs(ledger: Ledger, runs: Iterable[str]) -> list[str]:
    """Those of the runs that this ledger has. Raises InputError when it has none."""
    wanted = list(runs)
    known = {row["id"] for row in ledger.rows("SELECT id FROM runs")}
    found = [run for run in wanted if run in known]
    if not found:
        raise InputError("this ledger has none of the experiment's runs; was it run with another OUTLAY_HOME?")
    return found
