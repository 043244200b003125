"""OpenCode's steps: one `step-finish` part is one call. Layouts: JSON gen0 and gen1, SQLite gen2.

A call is known by when its message was created (and which it was of several of that moment), its place in the message,
its model and its counters, because imports keep ids while `--fork` copies messages under new ones. A subagent's calls
are not copied, so they are known by their session, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from outlay.ledger.calls import Caller, Service
from outlay.readers import bounds
from outlay.readers.reading import Draft, Name
from outlay.readers.stamps import millis

_AGENT = re.compile(r"\s*\(@[^)]*\)\s*$")
_FORK = re.compile(r"\(fork #\d+\)")
COPY = 1


class Session(msgspec.Struct):
    """One conversation, from whichever layout."""

    id: str
    parent: str | None
    title: str
    version: str
    directory: str
    root: str = ""


class Part(msgspec.Struct):
    """A step's end, or a tool call. `at_ms` is when it was written, where that is known."""

    id: str
    kind: str
    tokens: dict[str, Any] | None = None
    cost: Any = None
    tool: str = ""
    at_ms: int | None = None


class Message(msgspec.Struct):
    """An assistant's message with its parts in order."""

    id: str
    data: dict[str, Any]
    parts: list[Part]


def roots(sessions: dict[str, Session]) -> None:
    """Find every session's main agent."""
    for session in sessions.values():
        seen = {session.id}
        top = session
        while top.parent and top.parent not in seen:
            seen.add(top.parent)
            above = sessions.get(top.parent)
            if above is None:
                session.root = top.parent
                break
            top = above
        session.root = session.root or top.id


def calls(
    session: Session, messages: Iterable[Message], machine: str, file: str, names: dict[str, str]
) -> tuple[list[Draft], list[Name]]:
    """The calls of one session. `names` gives what an orchestrator calls its sessions."""
    drafts: list[Draft] = []
    given = names.get(session.id)
    label = given or (_AGENT.sub("", session.title) if session.parent else session.title)
    parent = session.parent or (f"registry:{session.directory}" if given else None)
    begun: Counter[int] = Counter()
    for message in sorted(messages, key=lambda m: m.id):
        data = message.data
        if data.get("role") != "assistant":
            continue
        role = str(data.get("agent") or data.get("mode") or ("subagent" if parent else "main"))
        agent = given or (session.id if session.parent else "main")
        path = data.get("path")
        project = session.directory or (str(path.get("cwd") or "") if isinstance(path, dict) else "")
        caller = Caller("opencode", machine, None, session.root, session.id, parent, agent, role, project, file)
        created = created_ms(data)
        found = _steps(message, created, begun[created], caller, session)
        begun[created] += bool(found)
        drafts += found
    return drafts, [Name(session.id, label)] if label else []


def moment_of(created: int, twin: int) -> str:
    """How a call's key begins: when its message was begun, and how many of the same moment came before it."""
    return f"{created}.{twin}" if twin else str(created)


def created_ms(data: dict[str, Any]) -> int:
    """When a message was begun; 0 where that is unknown."""
    times = data.get("time")
    return _time(times.get("created")) if isinstance(times, dict) else 0


def _steps(message: Message, created: int, twin: int, caller: Caller, session: Session) -> list[Draft]:
    """twin: how many messages of the same moment came before it."""
    data = message.data
    times = data.get("time")
    completed = _time(times.get("completed")) if isinstance(times, dict) else 0
    moment = moment_of(created, twin)
    whose = f":{session.id}" if session.parent and not _FORK.search(session.title) else ""
    service = Service(str(data.get("modelID") or "unknown"), "", str(data.get("providerID") or ""))
    steps = [part for part in message.parts if part.kind == "step-finish" and part.tokens is not None]
    if not steps and isinstance(data.get("tokens"), dict):
        steps = [Part(message.id, "step-finish", data["tokens"], data.get("cost"))]
    drafts: list[Draft] = []
    tools: list[str] = []
    for part in message.parts if any(p.kind == "step-finish" for p in message.parts) else steps:
        if part.kind == "tool":
            tools.append(part.tool)
            continue
        fresh, read, write, output, reasoning = counters(part.tokens or {}, session.version)
        if fresh + read + write + output == 0:
            continue
        number = len(drafts)
        ended = _time_of(part.id, created) or part.at_ms or completed or created
        key = f"{moment}:{number}:{service.provider}/{service.model}:{fresh}:{read}:{write}:{output}:{reasoning}{whose}"
        recorded = bounds.cost_pico(part.cost)
        counts = (fresh, read, write, 0, output, reasoning, 0)
        drafts.append(Draft(key, caller, service, ended, *counts, True, 0, _rank(session), tools, recorded))
        tools = []
    return drafts


def counters(tokens: dict[str, Any], version: str) -> tuple[int, int, int, int, int]:
    """Fresh, read, written, output and reasoning of a step. The meaning of `input` and `output` changed with the
    version; where `total` stands, it decides (298 of 298 steps seen)."""
    cache = tokens.get("cache") if isinstance(tokens.get("cache"), dict) else {}
    assert isinstance(cache, dict)
    given, output, reasoning = _n(tokens.get("input")), _n(tokens.get("output")), _n(tokens.get("reasoning"))
    read, write = _n(cache.get("read")), _n(cache.get("write"))
    total = _n(tokens.get("total"))
    if total:
        return given, read, write, max(total - given - read - write, 0), reasoning
    if _release(version) < (0, 6):
        given = max(given - read - write, 0)
    if _release(version) >= (1, 14, 41):
        output += reasoning
    return given, read, write, output, min(reasoning, output)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def _rank(session: Session) -> int:
    """A fork's copy is the worse witness, then the session that was begun later (ids fall with time)."""
    fork = COPY if _FORK.search(session.title) else 0
    digits = re.match(r"ses_([0-9a-f]{12})", session.id)
    begun = (1 << 48) - 1 - int(digits[1], 16) if digits else 0
    return fork << 58 | begun


def _time_of(part_id: str, created: int) -> int | None:
    """Ids begin with the low 36 bits of their time in milliseconds (and a counter); `created` has the rest."""
    digits = re.match(r"prt_([0-9a-f]{12})", part_id)
    if digits is None or not created:
        return None
    low = int(digits[1], 16) >> 12
    time = created & ~((1 << 36) - 1) | low
    return time if time >= created else time + (1 << 36)


def _n(value: Any) -> int:
    return bounds.counter(value)


def _time(value: Any) -> int:
    """Milliseconds since the epoch; 0 for what is no time."""
    return millis(value if isinstance(value, int | float) else None) or 0
