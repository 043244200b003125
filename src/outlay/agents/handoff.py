"""A fresh context for a session: a new chapter of the same session, which begins with what the last one handed over.

Written by the session's own model, at the end of its warm cache; where that fails, or when a breaker wants another
approach, taken from the record: the task, what was changed, the newest commands with their results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from outlay.agents.context.document import Handed, Replaced, shown
from outlay.agents.tool import Refused
from outlay.errors import OutlayError
from outlay.ledger import Entry
from outlay.wires.types import Message, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from outlay.agents.session import Session

SAID_CHARS = 1_500
SHOWN_STEPS = 6
STEP_CHARS = 400
SHOWN_FILES = 40
TOLD_CHARS = 8_000
"""Of what people told the session, at most so much is handed on, the newest first."""
FULL = "because its context was full. Go on from here."
PLAN = "todo"
"""The tool whose newest call holds the session's plan."""


async def hand_over(session: Session, why: str) -> None:
    """Replace the conversation of a session by a summary from the record. `why`: the reason, told to the agent. The old
    conversation stays in the ledger; the workspace stays as it is."""
    text = f"because {why}. Go on from here in another way than before."
    await _from_record(session, text, {"why": "breaker"})


async def fall_back(session: Session, head: dict[str, Any]) -> None:
    """Replace the conversation by a summary from the record, because the model gave none."""
    await _from_record(session, FULL, head)
    await session.flush()


async def _from_record(session: Session, why: str, head: dict[str, Any]) -> None:
    around, handed = await surroundings(session), session.history.handed
    session.write(replace(session, Replaced(begin(session, why, around, handed), handed), head))


def replace(session: Session, replaced: Replaced, head: dict[str, Any]) -> Entry:
    """Begin a new chapter: in memory, and as the event that says so."""
    history = session.history
    facts: dict[str, Any] = {
        "chapter": history.pace.chapter + 1,
        "messages": len(history.messages),
        "tokens": history.known_tokens,
    }
    if history.label:
        facts["label"] = sorted(history.label)
    by = head.get("by", "record")
    history.begin_chapter(replaced.message, replaced.handed)
    return Entry("context.replaced", head | {"by": by} | facts, msgspec.json.encode(replaced))


def begin(session: Session, why: str, around: list[str], handed: Handed | None, *, steps: bool = True) -> Message:
    """The first message of a chapter. why: how the sentence on the replacement ends. around: see `surroundings`.
    steps: with what can be told of the last turns."""
    messages = session.history.messages
    turns = session.history.pace.chapter_turns
    parts = [
        session.plan.task,
        "## Where you are",
        f"You worked on this for {turns} turns. Your conversation was replaced by this summary {why}",
        *around,
    ]
    if handed is not None:
        parts.append(shown(handed))
    if steps:
        if told := _texts(messages[1:], "user")[-2:]:
            parts.append("What you were told last:\n" + "\n".join(text[:SAID_CHARS] for text in told))
        if said := _texts(messages, "assistant")[-1:]:
            parts.append(f"What you said last:\n{said[0][:SAID_CHARS]}")
        if taken := _steps(messages):
            parts.append("Your last steps:\n" + "\n".join(taken))
    return Message("user", (Text("\n\n".join(parts)),))


async def surroundings(session: Session) -> list[str]:
    """What the record knows better than the model: files changed, subagents, plan, and what people said."""
    parts = [f"Files changed so far: {await _changed(session)}"]
    if children := session.crew.children(session):
        states = (f"{name} ({child.history.status})" for name, child in children.items())
        parts.append(f"Your subagents: {', '.join(states)}")
    if told := _told(session):
        parts.append("What you were told since, oldest first:\n" + "\n".join(f"- {text}" for text in told))
    if plan := _plan(session):
        parts.append(f"Your plan:\n{plan}")
    return parts


def _told(session: Session) -> list[str]:
    """Instructions of all chapters, word for word."""
    kept: list[str] = []
    room = TOLD_CHARS
    events = session.crew.ledger.events(session.plan.id, types=["message.added"])
    for event in reversed([event for event in events if event.head["kind"] == "instructions" and event.payload]):
        for text in _texts([msgspec.json.decode(event.payload or b"", type=Message)], "user"):
            room -= len(text)
            if room >= 0:
                kept.append(text)
    return kept[::-1]


def _plan(session: Session) -> str:
    for message in reversed(session.history.messages):
        for part in message.parts:
            if isinstance(part, ToolCall) and part.name == PLAN:
                return part.arguments
    return ""


async def _changed(session: Session) -> str:
    try:
        commit = await session.snapshot() if session.own_clone else session.history.commit
        base = session.crew.hub.base if session.is_main else session.history.synced
        changes = await session.crew.hub.diff(base, commit)
        if (guard := session.crew.guard) is not None:
            changes, _ = guard.told_changes(session, changes)
    except (Refused, OutlayError) as problem:
        return f"unknown ({problem})"
    names = [change.path for change in changes]
    return ", ".join(names[:SHOWN_FILES]) + (" ..." if len(names) > SHOWN_FILES else "") if names else "none"


def _texts(messages: list[Message], role: str) -> list[str]:
    return [
        part.text
        for message in messages
        if message.role == role
        for part in message.parts
        if isinstance(part, Text) and part.text.strip()
    ]


def _steps(messages: list[Message]) -> list[str]:
    """The newest tool calls, each with the beginning of its result."""
    calls: dict[str, ToolCall] = {}
    steps = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls[part.id] = part
            elif isinstance(part, ToolResult):
                asked = calls.get(part.call_id)
                arguments = asked.arguments[:STEP_CHARS] if asked else ""
                steps.append(f"- {part.name} {arguments}\n  {part.content[:STEP_CHARS]}")
    return steps[-SHOWN_STEPS:]
