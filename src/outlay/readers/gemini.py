"""Gemini CLI's chats: one message of type `gemini` with tokens is one call; of the lines of an id the largest holds.

0.61 writes lines (header, messages, `$set` patches), with a file per subagent; 0.20 to 0.33 one JSON document.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgspec

from outlay.ledger.calls import Caller, Service
from outlay.readers import bounds, salvage
from outlay.readers.reading import Draft, Mark, Problem, Result, Source
from outlay.readers.stamps import millis


class Head(msgspec.Struct):
    """Who the chat belongs to."""

    session: str = ""
    kind: str = "main"
    project: str = ""


def read(source: Source, mark: Mark | None = None, buffer: bytearray | None = None) -> Result:
    """Calls of one chat. Chats are small: a changed one is read whole."""
    del mark, buffer
    raw = source.path.read_bytes()
    head = Head(source.path.stem, "subagent" if _parent(source.path) else "main", _project(source.path))
    messages: dict[str, tuple[int, dict[str, Any]]] = {}
    problems: list[Problem] = []
    if source.path.suffix == ".json":
        _document(raw, head, messages, problems)
    else:
        _lines(raw, head, messages, problems)
    caller = _caller(source, head)
    tail = zlib.crc32(str(source.path).encode()) & 0xFFFF
    calls = [draft for at, m in messages.values() if (draft := _call(m, at, caller, tail)) is not None]
    for draft in calls:
        if not draft.ended_ms:
            draft.ended_ms = source.mtime_ns // 1_000_000
            if all(problem.what != bounds.NO_TIME for problem in problems):
                problems.append(Problem(str(draft.offset), bounds.NO_TIME))
    return Result(calls, Mark(source.size, source.mtime_ns, 0, 0, None), problems)


def _document(raw: bytes, head: Head, messages: dict[str, tuple[int, dict[str, Any]]], problems: list[Problem]) -> None:
    try:
        document = msgspec.json.decode(raw)
        _take(document, 0, head, messages)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem("0", f"the chat is damaged ({error}); its whole messages were read"))
        for value in salvage.objects(raw):
            _take(value, 0, head, messages)


def _lines(raw: bytes, head: Head, messages: dict[str, tuple[int, dict[str, Any]]], problems: list[Problem]) -> None:
    at = 0
    for line in raw.split(b"\n"):
        if line.strip():
            try:
                _take(msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf")), at, head, messages)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                whole = list(salvage.objects(line))
                for value in whole:
                    _take(value, at, head, messages)
                if not whole and at + len(line) < len(raw):  # a torn last line is whole the next time
                    problems.append(Problem(str(at), f"a line is damaged ({error}); the rest was read"))
        at += len(line) + 1


def _take(value: Any, at: int, head: Head, messages: dict[str, tuple[int, dict[str, Any]]]) -> None:
    if not isinstance(value, dict):
        return
    if isinstance(value.get("$set"), dict):
        value = value["$set"]
    if isinstance(value.get("sessionId"), str):
        head.session = value["sessionId"]
        head.kind = str(value.get("kind") or head.kind)
        places = value.get("directories")
        if isinstance(places, list) and places and isinstance(places[0], str):
            head.project = head.project or places[0]
    if value.get("type") == "gemini" and isinstance(value.get("id"), str):
        before = messages.get(value["id"])
        if before is None or _size(value) >= _size(before[1]):  # the largest holds, of equals the last
            messages[value["id"]] = (before[0] if before else at, value)
    if isinstance(value.get("messages"), list):
        for message in value["messages"]:
            _take(message, at, head, messages)


def _size(message: dict[str, Any]) -> int:
    tokens = message.get("tokens")
    return sum(bounds.counter(count) for count in tokens.values()) if isinstance(tokens, dict) else -1


def _call(message: dict[str, Any], at: int, caller: Caller, rank: int) -> Draft | None:
    tokens = message.get("tokens")
    if not isinstance(tokens, dict):
        return None
    given, cached, output = _n(tokens, "input"), _n(tokens, "cached"), _n(tokens, "output")
    thoughts, tool = _n(tokens, "thoughts"), _n(tokens, "tool")
    outside = _n(tokens, "total") == given + cached + output + thoughts + tool != given + output + thoughts + tool
    fresh = (given if outside else max(given - cached, 0)) + tool
    stamp = message.get("timestamp")
    ended = millis(stamp if isinstance(stamp, str | int | float) else None)
    asked = message.get("toolCalls")
    names = [str(t["name"]) for t in asked if isinstance(t, dict) and t.get("name")] if isinstance(asked, list) else []
    return Draft(
        message["id"], caller, Service(str(message.get("model") or "unknown"), "", "google"),
        ended or 0, fresh, cached if outside else min(cached, given), 0, 0, output + thoughts, thoughts, 0, True, at,
        rank, names,
    )  # fmt: skip


def _n(tokens: dict[str, Any], name: str) -> int:
    return bounds.counter(tokens.get(name))


def _parent(path: Path) -> str | None:
    """The main agent's session, for a subagent's file: `chats/<session>/<subagent>.jsonl`."""
    return path.parent.name if path.parent.name != "chats" else None


def _caller(source: Source, head: Head) -> Caller:
    parent = _parent(source.path)
    sub = head.kind == "subagent" or parent is not None
    return Caller(
        "gemini", source.machine, None, parent or head.session, head.session, parent,
        head.session if sub else "main", "subagent" if sub else "main", head.project, str(source.path),
    )  # fmt: skip


def _project(path: Path) -> str:
    """The folder that a chat is about; its slug or hash where only that is known."""
    chats = next((p for p in path.parents if p.name == "chats"), path.parent)
    slug = chats.parent
    try:
        return (slug / ".project_root").read_text().strip()
    except (OSError, UnicodeDecodeError):
        pass
    try:
        known = msgspec.json.decode((slug.parent.parent / "projects.json").read_bytes())
        return next((p for p, name in known["projects"].items() if name == slug.name), slug.name)
    except (OSError, msgspec.DecodeError, KeyError, AttributeError, TypeError):
        return slug.name
