"""A session's dialog for reading: what was said to it, what it said, which tools it called."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from outlay.agents.context.document import first_words
from outlay.agents.history import last_words
from outlay.agents.watch.words import symptom
from outlay.ledger import Event, Ledger
from outlay.wires.types import Message, Text, ToolCall

_REDACTED = "(redacted)"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in a dialog."""

    at_ms: int
    kind: str
    """`task`, `instructions`, `check`, `nudge`, `answer`: our messages; `model`, `tool_call`, `tool_result`, `fault`,
    `ended`; what the machine did: `breaker`, `denied`, `refused`, `fresh_context`, `cleaned`,
    `model_replaced`."""
    text: str
    tool: str = ""
    is_error: bool = False


TYPES = (
    "message.added", "call.result", "tool.result", "call.failed", "call.lost", "session.ended", "breaker.tripped",
    "policy.denied", "agent.denied", "limit.refused", "rule.refused", "context.replaced", "context.cleaned",
    "model.replaced",
)  # fmt: skip
"""Events in which something is said."""


def dialog(ledger: Ledger, session_id: str) -> Iterator[Said]:
    """What was said in a session, in order."""
    for event in ledger.events(session_id, types=TYPES):
        yield from said(event)


def said(event: Event) -> Iterator[Said]:
    """What is said in one event; nothing in those of other types."""
    head, at = event.head, event.at_ms
    match event.type:
        case "message.added":
            yield Said(at_ms=at, kind=head.get("kind", "message"), text=_text(event.payload))
        case "call.result":
            yield from _reply(event)
        case "tool.result":
            text = _REDACTED if event.payload is None else event.payload.decode(errors="replace")
            error = bool(head.get("is_error"))
            yield Said(at_ms=at, kind="tool_result", text=text, tool=head["name"], is_error=error)
        case "call.failed" | "call.lost":
            text = (event.payload or b"").decode(errors="replace") or event.type.replace("call.", "call ")
            yield Said(at_ms=at, kind="fault", text=text, is_error=True)
        case "session.ended":
            reason = last_words(event).reason
            reason = f": {reason}" if reason else ""
            yield Said(at_ms=at, kind="ended", text=f"{head['status']}{reason}")
        case _:
            yield from _done_to(event)


def _done_to(event: Event) -> Iterator[Said]:
    """What the machine did to the session, by its rules."""
    head, at = event.head, event.at_ms
    match event.type:
        case "breaker.tripped":
            text = f"{head['breaker']}: {symptom(head['breaker'], head['numbers'])}; {head['action'].replace('_', ' ')}"
            yield Said(at_ms=at, kind="breaker", text=text, is_error=True)
        case "policy.denied" | "agent.denied":
            yield Said(at_ms=at, kind="denied", text=_text(event.payload), tool=head.get("name", ""), is_error=True)
        case "limit.refused" | "rule.refused":
            bound = f"{head.get('limit') or head['rule']}, bound {head['bound']:g}"
            yield Said(at_ms=at, kind="refused", text=bound.replace("_", " "), is_error=True)
        case "context.replaced":
            text = _REDACTED if event.payload is None else first_words(event.payload)
            yield Said(at_ms=at, kind="fresh_context", text=f"{head['why']}\n{text}")
        case "context.cleaned":
            results = f"{head['results']} old results" if head["results"] > 1 else "an old result"
            yield Said(at_ms=at, kind="cleaned", text=f"{head['why']}: {results}, {head['chars']:,} characters")
        case "model.replaced":
            yield Said(at_ms=at, kind="model_replaced", text=f"{head['from']} → {head['to']}")


def _reply(event: Event) -> Iterator[Said]:
    if event.payload is None:
        yield Said(at_ms=event.at_ms, kind="model", text=_REDACTED)
        return
    try:
        parts = msgspec.json.decode(event.payload, type=Message).parts
    except msgspec.DecodeError:
        parts = ()
    for part in parts:
        if isinstance(part, Text):
            yield Said(at_ms=event.at_ms, kind="model", text=part.text)
        elif isinstance(part, ToolCall):
            yield Said(at_ms=event.at_ms, kind="tool_call", text=part.arguments, tool=part.name)


def _text(payload: bytes | None) -> str:
    """The words of a message."""
    if payload is None:
        return _REDACTED
    try:
        message = msgspec.json.decode(payload, type=Message | str)
    except msgspec.DecodeError:
        return payload.decode(errors="replace")
    if isinstance(message, str):
        return message
    return "\n".join(part.text for part in message.parts if isinstance(part, Text))
