"""What a session's tools were asked for and gave back, read from its transcripts when a report wants to know.

Calls are in the ledger; results are long and stay where they are. A transcript that is gone gives nothing.
"""

from __future__ import annotations

import bisect
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from outlay.ledger import Call, Ledger
from outlay.readers import opencode, opencode_db, reading
from outlay.readers.reading import Problem

IMAGE_CHARS = 6_000
"""What a picture in a result counts for, in characters: about 1,500 tokens."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call with its result."""

    session: str
    call: str
    """Key of the call that asked for it."""
    tool: str
    target: str
    """The file, the command or the pattern that it was about: the same target is the same work."""
    chars: int
    """Length of the result."""
    failed: bool
    answered: bool = True


class Trace(msgspec.Struct):
    """What the transcripts of a session and its subagents show, in order within each session."""

    uses: list[Use] = []
    compactions: list[tuple[str, str]] = []
    """(session, key of the last call before its context was compacted)"""
    problems: list[Problem] = []


def trace(ledger: Ledger, root: str) -> Trace:
    """The tool calls of a main agent's session and of all that it started."""
    found = Trace()
    rows = ledger.reader.execute(
        "SELECT DISTINCT source, session, file FROM callers WHERE root = ? AND file <> '' ORDER BY file", (root,)
    ).fetchall()
    done: set[tuple[str, str]] = set()
    for source, session, file in rows:
        one = (file, session if source == "opencode" else "")
        if one in done or source not in _READERS:
            continue
        done.add(one)
        calls = list(ledger.calls("session = ? AND source = ?", (session, source)))
        try:
            _READERS[source](Path(file), session, calls, found)
        except (OSError, sqlite3.Error, msgspec.DecodeError) as error:
            found.problems.append(Problem(file, f"the transcript is gone ({error}): its tools are not known"))
    return found


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for offset, piece, length, _ in reading.chunks(path, 0):
        begin = 0
        for line in bytes(piece[:length]).split(b"\n"):
            try:
                value = msgspec.json.decode(line) if line.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                value = None
            if isinstance(value, dict):
                yield offset + begin, value
            begin += len(line) + 1


# ---- Claude Code


def _claude(path: Path, session: str, calls: Sequence[Call], found: Trace) -> None:
    own = {call.key for call in calls}
    asked: dict[str, tuple[str, str, str]] = {}
    last = ""
    for _, line in _json_lines(path):
        if line.get("type") == "system" and line.get("subtype") == "compact_boundary" and last:
            found.compactions.append((session, last))
        message = line.get("message")
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if not isinstance(block, dict):
                continue
            if block.get("type") == "tool_use" and message.get("id") in own:
                last = message["id"]
                asked[str(block.get("id"))] = (last, str(block.get("name")), _target(block.get("input")))
            elif block.get("type") == "tool_result" and (use := asked.pop(str(block.get("tool_use_id")), None)):
                failed = bool(block.get("is_error"))
                found.uses.append(
                    Use(session=session, call=use[0], tool=use[1], target=use[2], chars=_chars(block.get("content")),
                        failed=failed)
                )  # fmt: skip
    for key, tool, target in asked.values():
        found.uses.append(
            Use(session=session, call=key, tool=tool, target=target, chars=0, failed=False, answered=False)
        )


def _chars(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list):
        return sum(_chars(part) for part in content)
    if isinstance(content, dict):
        if content.get("type") == "image":
            return IMAGE_CHARS
        return len(content["text"]) if isinstance(content.get("text"), str) else len(msgspec.json.encode(content))
    return 0


_TARGETS = (
    "file_path", "filePath", "absolute_path", "path", "notebook_path", "command", "cmd", "pattern", "url", "query",
    "description", "input",
)  # fmt: skip


def _target(given: Any) -> str:
    if isinstance(given, str):
        text = given
        try:
            given = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text[:500]
    if not isinstance(given, dict):
        return ""
    parts: list[Any] = [given[name] for name in _TARGETS if given.get(name)]
    parts += [f"{name}={given[name]}" for name in ("offset", "limit") if given.get(name) is not None]
    texts = [part if isinstance(part, str) else msgspec.json.encode(part).decode() for part in parts]
    return " ".join(texts)[:500]


# ---- Codex


def _codex(path: Path, session: str, calls: Sequence[Call], found: Trace) -> None:
    places = sorted(
        (int(call.origin.rpartition(":")[2]), call.key) for call in calls if call.origin.startswith(str(path))
    )
    offsets = [place for place, _ in places]
    asked: dict[str, tuple[str, str, str]] = {}
    if not places:
        return
    for offset, line in _json_lines(path):
        payload = line.get("payload")
        if not isinstance(payload, dict):
            continue
        kind = str(payload.get("type"))
        at = bisect.bisect_left(offsets, offset)
        if line.get("type") == "compacted" and at:
            found.compactions.append((session, places[at - 1][1]))
        elif kind.endswith("_call") and line.get("type") == "response_item":
            key = places[min(at, len(places) - 1)][1]
            given = payload.get("arguments") or payload.get("input") or payload.get("action")
            name = str(payload.get("name") or kind.removesuffix("_call"))
            asked[str(payload.get("call_id"))] = (key, name, _target(given))
        elif kind.endswith("_call_output") and (use := asked.pop(str(payload.get("call_id")), None)):
            output = payload.get("output")
            found.uses.append(
                Use(session=session, call=use[0], tool=use[1], target=use[2], chars=_chars(output),
                    failed=_codex_failed(output))
            )  # fmt: skip


def _codex_failed(output: Any) -> bool:
    if isinstance(output, dict):
        return output.get("success") is False
    text = output if isinstance(output, str) else ""
    head = text[:400]
    if "exit_code" in head or "exited with code" in head:
        return not any(mark in head for mark in ('"exit_code":0', '"exit_code": 0', "exited with code 0"))
    return head.startswith(("Error", "error:", "failed", "aborted"))


# ---- Gemini CLI


def _gemini(path: Path, session: str, calls: Sequence[Call], found: Trace) -> None:
    own = {call.key for call in calls}
    messages: dict[str, dict[str, Any]] = {}
    if path.suffix == ".json":
        document = msgspec.json.decode(path.read_bytes())
        lines: list[Any] = document.get("messages") or []
    else:
        lines = [line for _, line in _json_lines(path)]
    for message in lines:
        if isinstance(message, dict) and message.get("id") in own:
            messages[message["id"]] = message
    for key, message in messages.items():
        for use in message.get("toolCalls") or ():
            if isinstance(use, dict):
                found.uses.append(
                    Use(session=session, call=key, tool=str(use.get("name")), target=_target(use.get("args")),
                        chars=_chars(use.get("result")), failed=use.get("status") in ("error", "cancelled"))
                )  # fmt: skip


# ---- OpenCode


def _opencode(path: Path, session: str, calls: Sequence[Call], found: Trace) -> None:
    keys = {":".join(call.key.split(":", 2)[:2]): call.key for call in calls}
    messages = _opencode_db(path, session) if path.is_file() else _opencode_files(path, session)
    begun: Counter[int] = Counter()
    for message, parts in messages:
        created = opencode.created_ms(message)
        moment = opencode.moment_of(created, begun[created])
        step = 0
        last = ""
        for part in parts:
            kind = part.get("type")
            key = keys.get(f"{moment}:{step}", "")
            if kind == "tool" and key:
                state = part.get("state")
                state = state if isinstance(state, dict) else {}
                failed = state.get("status") == "error"
                result = state.get("error") if failed else state.get("output")
                found.uses.append(
                    Use(session=session, call=key, tool=str(part.get("tool")), target=_target(state.get("input")),
                        chars=_chars(result), failed=failed)
                )  # fmt: skip
            elif kind == "step-finish" and key:
                last, step = key, step + 1
        begun[created] += bool(last)
        if last and message.get("summary") is True:
            found.compactions.append((session, last))


_Messages = Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]


def _opencode_db(path: Path, session: str) -> _Messages:
    with opencode_db.opened(path) as conn:
        parts: dict[str, list[dict[str, Any]]] = {}
        for message, text in conn.execute(
            "SELECT message_id, data FROM part WHERE session_id = ? ORDER BY id", (session,)
        ):
            parts.setdefault(message, []).append(_object(text))
        for id, text in conn.execute("SELECT id, data FROM message WHERE session_id = ? ORDER BY id", (session,)):
            yield _object(text), parts.get(id, [])


def _opencode_files(path: Path, session: str) -> _Messages:
    by_session = path.parent.parent.name == "session"
    where = path.parent.parent / "part" / (session if by_session else "")
    for file in sorted(path.glob("*.json")):
        parts = [_object(part.read_bytes()) for part in sorted((where / file.stem).glob("*.json"))]
        yield _object(file.read_bytes()), parts


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


_READERS = {"claude": _claude, "codex": _codex, "gemini": _gemini, "opencode": _opencode}
