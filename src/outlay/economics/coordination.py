"""What a team spent on telling each other things. Definition: docs/reference/coordination.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from outlay.economics.contexts import growth
from outlay.economics.spend import class_costs
from outlay.ledger import Call, Event
from outlay.prices.book import PriceBook

EVENTS = ("session.started", "message.added", "call.result", "tool.result")
"""Types of the events that `coordination` reads."""
_ASKING = frozenset({"start", "send", "ask"})
_HEARING = frozenset({"start", "wait", "look", "send", "ask"})
_CHARS_PER_TOKEN = 4
"""Of a first message, which stands beside prompt and tools in a session's first call."""


class Coordination(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens spent on telling each other things, and what they cost when they were written and first read."""

    said_tokens: int = 0
    """Output: tasks for subagents, messages and questions to them, and what sessions answered to whoever asked."""
    heard_tokens: int = 0
    """Input, counted once where it entered a context: the same texts as the others read them."""
    cost_pico: int | None = 0
    """None when a call that carried some of it has no price."""

    @property
    def tokens(self) -> int:
        return self.said_tokens + self.heard_tokens


@dataclass
class _Context:
    """A session as its events pass by."""

    is_main: bool
    before: Call | None = None
    """The last answered call."""
    others: int = 0
    """Characters that others' words brought in since that call's answer."""
    all: int = 0
    """Characters that entered in all."""


@dataclass
class _Sum:
    book: PriceBook
    said: float = 0.0
    heard: float = 0.0
    cost: float | None = 0.0
    sessions: dict[str, _Context] = field(default_factory=dict)

    def add_cost(self, call: Call, output_tokens: float, input_tokens: float) -> None:
        """Add the price of these tokens as this call paid for them: output, and fresh or newly cached input."""
        classes, why = class_costs(call, self.book)
        usage = call.usage
        new = usage.fresh + usage.cache_write_5m + usage.cache_write_1h
        if why:
            self.cost = None
        elif self.cost is not None:
            paid = classes.fresh + classes.cache_write_5m + classes.cache_write_1h
            self.cost += classes.output * output_tokens / usage.output if usage.output else 0
            self.cost += paid * min(input_tokens, new) / new if new else 0


def coordination(events: Iterable[Event], calls: Sequence[Call], book: PriceBook) -> Coordination:
    """Of one run. `events`: those of types EVENTS with their payloads, in order."""
    by_key = {call.key: call for call in calls}
    found = _Sum(book)
    for event in events:
        head = event.head
        if event.type == "session.started":
            found.sessions[event.stream] = _Context(is_main=head.get("parent") is None)
            continue
        context = found.sessions.get(event.stream)
        if context is None:
            continue
        if event.type == "message.added":
            told = head["kind"] in ("task", "instructions") and not context.is_main
            _enter(context, len(_text(event.payload)), others=told)
        elif event.type == "tool.result":
            _enter(context, head["chars"], others=head["name"] in _HEARING)
        elif (call := by_key.get(head.get("key", ""))) is not None and call.status == "ok":
            _heard(found, context, call)
            _said(found, context, call, event.payload)
            context.before, context.others, context.all = call, 0, 0
    cost = None if found.cost is None else round(found.cost)
    return Coordination(said_tokens=round(found.said), heard_tokens=round(found.heard), cost_pico=cost)


def _enter(context: _Context, chars: int, *, others: bool) -> None:
    context.all += chars
    context.others += chars if others else 0


def _heard(found: _Sum, context: _Context, call: Call) -> None:
    """What others' words brought into the context with this call."""
    if not context.others:
        return
    if context.before is None:
        tokens = min(context.others / _CHARS_PER_TOKEN, float(call.usage.input))
    else:
        tokens = growth(context.before, call) * context.others / context.all
    found.heard += tokens
    found.add_cost(call, 0, tokens)


def _said(found: _Sum, context: _Context, call: Call, payload: bytes | None) -> None:
    """The part of an answer that was meant for other sessions, by characters."""
    if not payload:
        return
    parts = msgspec.json.decode(payload).get("parts", [])
    asked = [part for part in parts if "arguments" in part]
    sizes = [(part.get("name", ""), len(part.get("arguments") or part.get("text") or "")) for part in parts]
    whole = sum(size for _, size in sizes)
    meant = sum(size for name, size in sizes if name in _ASKING or (name == "finish" and not context.is_main))
    if not asked and not context.is_main:  # an answer in plain words is the end of a subagent's work
        meant = whole
    if meant:
        tokens = call.usage.output * meant / whole
        found.said += tokens
        found.add_cost(call, tokens, 0)


def _text(payload: bytes | None) -> str:
    """The words of a message that was added; of an answer to a question, which stands there as a text, none: the
    tool's result has them."""
    if not payload:
        return ""
    message = msgspec.json.decode(payload)
    parts = message.get("parts", []) if isinstance(message, dict) else []
    return "\n".join(part.get("text", "") for part in parts)
