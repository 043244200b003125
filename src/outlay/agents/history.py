"""A session rebuilt from its events: the ledger is the truth for resume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from outlay.agents.context.cleaning import MOST_CHARS_PER_TOKEN, Edit, apply
from outlay.agents.context.document import Handed, Replaced
from outlay.agents.context.pace import Pace
from outlay.ledger import Event
from outlay.tokens import ZERO, Usage
from outlay.wires.types import Message, ToolCall, ToolResult


class LastWords(msgspec.Struct, frozen=True):
    """Payload of `session.ended`: texts, which may hold anything."""

    answer: str = ""
    reason: str = ""


def last_words(event: Event) -> LastWords:
    """The texts of a session's end; empty ones when they were redacted."""
    return msgspec.json.decode(event.payload, type=LastWords) if event.payload else LastWords()


@dataclass
class History:
    """What a session's events say."""

    messages: list[Message] = field(default_factory=list)
    unanswered: list[ToolCall] = field(default_factory=list)
    """Tool calls of the last answer that have no result yet, in order."""
    results: list[ToolResult] = field(default_factory=list)
    """Results of the last answer's other tool calls."""
    label: frozenset[str] = frozenset()
    """Data names of all that entered the conversation; only a run with a policy knows any."""
    commit: str = ""
    """The last snapshot of the workspace."""
    rewrites: list[ToolCall] = field(default_factory=list)
    """Successful tool calls since that snapshot."""
    synced: str = ""
    """The commit from which the session's present work started: the base of its next merge."""
    merged: dict[str, str] = field(default_factory=dict)
    """Subagent -> the commit of it that was merged last."""
    open_intent: Event | None = None
    """A call whose end was never written."""
    known_tokens: int = 0
    answered: str | None = None
    """The parent's answer to a question that was being asked."""
    status: str = "running"
    answer: str = ""
    started: Event | None = None
    ends: int = 0
    model: str = ""
    """The model that took the place of the plan's; empty: none did."""
    thinking: bool = False
    """A request is under way: what arrives now enters the conversation after the turn."""
    held: list[Message] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    handing: dict[str, Any] | None = None
    """Why a handoff was asked of the model, until a fresh context began; see `context.tending`."""
    handed: Handed | None = None
    """What the last handoff knew."""

    late: list[Message] = field(default_factory=list)
    """What others told it since its last answer: a fresh context begins with that, too."""

    def heard(self, usage: Usage | None) -> None:
        """Count an answer."""
        used = usage or ZERO
        self.known_tokens = used.input + used.output or self.known_tokens
        self.pace.heard(used.input, used.cache_read, used.output)
        self.late = []

    def clean(self, edits: Sequence[Edit], removed_chars: int) -> None:
        """Take parts of the conversation out."""
        apply(self.messages, edits)
        self.known_tokens = max(self.known_tokens - removed_chars // MOST_CHARS_PER_TOKEN, 1)
        self.pace.cleaned()

    def hear_handoff(self, message: Message) -> None:
        """Take an answer to the request for a handoff: its tool calls are not run."""
        self.messages.append(message)
        self.unanswered, self.results = [], []

    def begin_chapter(self, message: Message, handed: Handed | None) -> None:
        """A fresh context begins."""
        self.messages = [message, *self.late]
        self.known_tokens = 0
        self.handing, self.handed = None, handed
        self.pace.begin()


def rebuild(events: Iterable[Event]) -> History:
    """Fold the events of one session, oldest first."""
    history = History()
    for event in events:
        _apply(history, event)
    if not history.unanswered:
        _release(history)
    return history


def _release(history: History) -> None:
    history.messages += history.held
    history.late += history.held
    history.held = []


def _apply(history: History, event: Event) -> None:
    head, payload = event.head, event.payload or b""
    if label := head.get("label"):
        history.label |= frozenset(label)
    match event.type:
        case "session.started":
            history.started = event
            history.commit = history.synced = head.get("commit") or ""
        case "message.added":
            if head["kind"] == "answer":
                history.answered = msgspec.json.decode(payload, type=str)
                return
            message = msgspec.json.decode(payload, type=Message)
            history.handing = head.get("handing", history.handing)
            busy = head["kind"] == "instructions" and (history.thinking or history.unanswered)
            (history.held if busy else history.messages).append(message)
            if head["kind"] == "instructions" and not busy:
                history.late.append(message)
            if head.get("commit"):
                history.commit = history.synced = head["commit"]
                history.rewrites.clear()
            history.status = "running"
        case "call.intent":
            history.open_intent = event
            history.thinking = True
        case "call.failed" | "call.lost":
            history.open_intent = None
        case "call.result":
            history.open_intent = None
            message = msgspec.json.decode(payload, type=Message)
            if history.handing is not None:
                history.hear_handoff(message)
            else:
                history.messages.append(message)
                history.unanswered = [part for part in message.parts if isinstance(part, ToolCall)]
                history.results = []
            given, cached = head["input"], head["cache_read"]
            history.heard(Usage(fresh=given - cached, cache_read=cached, output=head["tokens"] - given))
            history.thinking = False
            if not history.unanswered and history.handing is None:
                _release(history)
        case "tool.result":
            _result(history, event)
        case "merge":
            history.merged[head["agent"]] = head["theirs"]
            history.commit = head["result"]
            history.rewrites.clear()
        case "context.replaced":
            replaced = msgspec.json.decode(payload, type=Replaced)
            history.begin_chapter(replaced.message, replaced.handed)
            _release(history)
        case "context.cleaned":
            edits = msgspec.json.decode(payload, type=list[Edit])
            history.clean(edits, head["chars"])
        case "model.replaced":
            history.model = head["to"]
        case "session.ended":
            history.status = head["status"]
            history.answer = last_words(event).answer
            history.commit = head.get("commit") or history.commit
            history.rewrites.clear()
            history.thinking = False
            history.ends += 1
            _release(history)


def _result(history: History, event: Event) -> None:
    head = event.head
    call = next(call for call in history.unanswered if call.id == head["call_id"])
    history.unanswered.remove(call)
    content = (event.payload or b"").decode()
    history.results.append(ToolResult(call.id, call.name, content, head["is_error"]))
    history.answered = None
    if head.get("commit"):
        history.commit = head["commit"]
        history.rewrites.clear()
    elif not head["is_error"]:
        history.rewrites.append(call)
    if not history.unanswered:
        history.messages.append(Message("user", tuple(history.results)))
        history.results = []
        _release(history)
