"""What happened in a session, as far as breakers need to know: read from the same entries that stand in the ledger,
live and after a crash. Sessions of other agents give the entries that their gateway sees."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from outlay.tokens import ZERO, Usage
from outlay.wires.types import Message, Text, ToolCall

CHECKS = frozenset({"finish"})
"""Tools whose answer says whether the work is accepted."""
LOOKS = frozenset({"look", "TaskOutput", "AgentOutputTool", "BashOutput"})
"""Tools that look at work which goes on, ours and other agents'."""
WAITS = frozenset({"wait"})
EDITS = frozenset({"write", "edit", "Write", "Edit", "MultiEdit", "NotebookEdit"})
"""Tools that change the file they name."""
SHORT_CHARS = 40
"""Failures with so little text are told apart by the call, too: `exit 1` alone is no signature."""
SIGNATURE_CHARS = 3_000

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_VARYING = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?\S*|\b\d\d:\d\d:\d\d\S*|0x[0-9a-f]+"
    r"|\b\d+(?:\.\d+)?\s?(?:s|ms|us|seconds?|minutes?)\b|/tmp/\S+|\bpid \d+"
)
_EXIT = re.compile(r"\A(?:exit|Exit code) (\d+)\b")


class Answered(msgspec.Struct, frozen=True):
    """The model answered."""

    usage: Usage
    tools: int
    """Tool calls that it asked for."""


class Returned(msgspec.Struct, frozen=True):
    """A tool gave its result."""

    tool: str
    call: str
    """Hash of the tool's name and arguments."""
    path: str
    """The file that it wrote; empty for other tools."""
    failure: str
    """Signature of the failure; empty when it did not fail."""
    changed: bool
    """Whether the workspace is another one than before."""
    poll: bool
    """Whether it only saw that others are still at work."""


class Rejected(msgspec.Struct, frozen=True):
    """The session said that it is done, and the checks said no."""

    failure: str


class Advanced(msgspec.Struct, frozen=True):
    """A check passed that had not passed before, or a subagent finished."""

    subagent: bool


class Told(msgspec.Struct, frozen=True):
    """Instructions came, or a fresh context began: what was done before may be done again."""


class Tripped(msgspec.Struct, frozen=True):
    """A breaker tripped, and something was done about it."""

    breaker: str


Fact = Answered | Returned | Rejected | Advanced | Told | Tripped


def signature(text: str, call: str = "") -> str:
    """Hash of a failure's text without what varies from time to time (durations, addresses, times, temporary files)."""
    masked = " ".join(_VARYING.sub("#", _ANSI.sub("", text))[-SIGNATURE_CHARS:].split())
    return _hash(masked + (call if len(masked) < SHORT_CHARS else ""))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


@dataclass
class _Known:
    """What must be remembered of a session to read its next entry."""

    commit: str = ""
    dirty: bool = False
    """A file was written since that commit was taken."""
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Id of a tool call -> its name and arguments."""


class Reader:
    """Turns ledger entries into facts."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Known] = {}
        self._passed: set[str] = set()

    def read(
        self, stream: str, kind: str, head: Mapping[str, Any], payload: bytes | None, usage: Usage | None = None
    ) -> list[tuple[str, Fact]]:
        """Facts of one entry with the session that each concerns (empty: every session). `usage` goes with
        `call.result`."""
        known = self._sessions.setdefault(stream, _Known())
        match kind:
            case "session.started":
                known.commit = head.get("commit") or ""
            case "call.result":
                return [(stream, Answered(usage or ZERO, head["tools"] if "tools" in head else _tools(payload)))]
            case "tool.intent":
                known.asked[head["call_id"]] = (head["name"], (payload or b"").decode("utf-8", "replace"))
            case "tool.result":
                return [(stream, self._returned(known, head, (payload or b"").decode("utf-8", "replace")))]
            case "message.added" if head["kind"] == "check":
                return [(stream, Rejected(signature(_text(payload))))]
            case "message.added" if head["kind"] in ("instructions", "answer"):
                known.commit = head.get("commit") or known.commit
                return [(stream, Told())]
            case "merge":
                known.commit = head.get("result") or known.commit
                return [(stream, Advanced(subagent=False))]
            case "session.ended":
                parent = stream.rpartition("/")[0]
                return [(parent, Advanced(subagent=True))] if parent else []
            case "check.finished" if head["passed"] and head["name"] not in self._passed:
                self._passed.add(head["name"])
                return [("", Advanced(subagent=False))]
            case "context.replaced" if head["why"] != "breaker":
                return [(stream, Told())]
            case "breaker.tripped":
                return [(stream, Tripped(head["breaker"]))]
        return []

    def _returned(self, known: _Known, head: Mapping[str, Any], text: str) -> Fact:
        name, arguments = known.asked.pop(head["call_id"], (head["name"], ""))
        call = _hash(f"{name} {arguments}")
        if name in CHECKS and text != "done":
            return Rejected(signature(text))
        ended = _EXIT.match(text)
        failed = head["is_error"] or (ended is not None and ended[1] != "0")
        path = _path(arguments) if name in EDITS and not failed else ""
        commit = head.get("commit")
        changed = bool(path) or bool(commit and commit != known.commit and not known.dirty)
        known.commit, known.dirty = commit or known.commit, bool(path) or (known.dirty and not commit)
        poll = name in LOOKS or (name in WAITS and "still at work" in text)
        return Returned(name, call, path, signature(text, call) if failed else "", changed, poll)


def _tools(payload: bytes | None) -> int:
    """Tool calls that an answer asks for."""
    if payload is None:  # redacted
        return 1
    return sum(isinstance(part, ToolCall) for part in msgspec.json.decode(payload, type=Message).parts)


def _path(arguments: str) -> str:
    try:
        decoded = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return "?"
    found = decoded.get("path") or decoded.get("file_path") if isinstance(decoded, dict) else None
    return str(found or "?")


def _text(payload: bytes | None) -> str:
    """The text of a message of ours."""
    if payload is None:
        return ""
    return "\n".join(part.text for part in msgspec.json.decode(payload, type=Message).parts if isinstance(part, Text))
