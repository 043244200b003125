"""A handoff: what the one who goes on must know, as the session's own model wrote it."""

from __future__ import annotations

import msgspec

from outlay.wires.types import Message, Text

LONGEST_CHARS = 40_000
"""A longer answer is no handoff."""

REQUEST = """\
Your context is replaced by a fresh one now: whoever goes on has the task, your workspace, what you were told since, \
and what you write here; nothing else of this conversation. Answer with one JSON object and nothing else, no tool call:
{"goal": "what is to be reached, as you understand it by now",
 "state": "what is done and works, what you were in the middle of",
 "decisions": ["what was decided, and why"],
 "open": ["what is left to do, in order"],
 "files": [{"path": "...", "what": "why it matters"}],
 "failed": ["what was tried, and how it failed"],
 "facts": ["names, numbers, commands, findings that were costly to learn, word for word"],
 "dropped": [numbers of earlier facts that no longer hold]}"""

AGAIN = "That was no handoff: {problem}. Answer with the JSON object alone."


class File(msgspec.Struct, frozen=True):
    path: str
    what: str = ""


class Handed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A handoff."""

    goal: str = ""
    state: str = ""
    decisions: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    failed: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


class Replaced(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of `context.replaced`."""

    message: Message
    """With which the new context begins."""
    handed: Handed | None = None
    """What is known for a fact from here on, for the next handoff."""


def first_words(payload: bytes) -> str:
    """What a `context.replaced` begins the new context with, as text."""
    parts = msgspec.json.decode(payload, type=Replaced).message.parts
    return "\n".join(part.text for part in parts if isinstance(part, Text))


class _Answer(Handed, frozen=True):
    """As the model writes it."""

    dropped: tuple[int, ...] = ()


class NoHandoff(Exception):
    """An answer is none; the text says why, for the model."""


def read(text: str, before: Handed | None) -> Handed:
    """The handoff that an answer holds. What earlier handoffs knew for a fact, decided and saw fail stays, word
    for word, unless the answer drops a fact by its number. Raises NoHandoff."""
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin:
        raise NoHandoff("there is no JSON object in it")
    if end - begin > LONGEST_CHARS:
        raise NoHandoff(f"it is longer than {LONGEST_CHARS} characters")
    try:
        answer = msgspec.json.decode(text[begin : end + 1], type=_Answer, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NoHandoff(str(error)) from None
    if not answer.state.strip():
        raise NoHandoff("`state` is empty")
    known = before or Handed()
    kept = [fact for number, fact in enumerate(known.facts, 1) if number not in answer.dropped]
    return Handed(
        answer.goal or known.goal,
        answer.state,
        _joined(known.decisions, answer.decisions),
        answer.open,
        answer.files,
        _joined(known.failed, answer.failed),
        _joined(kept, answer.facts),
    )


def _joined(before: tuple[str, ...] | list[str], now: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*before, *(each.strip() for each in now if each.strip()))))


def shown(handed: Handed) -> str:
    """The handoff as the one who goes on reads it. Facts have the numbers by which they can be dropped."""
    files = [f"{file.path}: {file.what}" if file.what else file.path for file in handed.files]
    parts = [
        f"What is to be reached: {handed.goal}" if handed.goal else "",
        f"State: {handed.state}" if handed.state else "",
        _list("Decided", handed.decisions),
        _list("Left to do", handed.open),
        _list("Files that matter", files),
        _list("Tried, and failed", handed.failed),
        _list("Facts", [f"{number}. {fact}" for number, fact in enumerate(handed.facts, 1)], mark=""),
    ]
    return "\n\n".join(part for part in parts if part)


def _list(title: str, lines: tuple[str, ...] | list[str], mark: str = "- ") -> str:
    return "\n".join((f"{title}:", *(f"{mark}{line}" for line in lines))) if lines else ""
