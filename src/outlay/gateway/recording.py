"""Recordings: what each session was asked and what the model answered, and playing them back.

A JSONL file. First line: `Header`; then one `Entry` per call. Only what is new in a request is kept, since every
request extends the one before it. Playing back, a request that differs from the recorded one is an error.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import msgspec

from outlay.errors import InputError
from outlay.gateway.upstream import Answer, Upstream
from outlay.wires.types import Message, Reply, Request, Text, ToolCall, ToolResult, ToolSpec

FORMAT = 1


class Header(msgspec.Struct, frozen=True):
    """The first line: what this recording is and how it was made."""

    outlay_recording: int
    made: str
    """How the answers came about, for whoever reads a report of a replay."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of one session."""

    session: str
    n: int
    """Number of the session's calls before this one."""
    new: tuple[Message, ...]
    """The messages since the last answer."""
    reply: Reply
    quality: str
    system: str = ""
    """With the tools, in a session's first entry only."""
    tools: tuple[ToolSpec, ...] = ()


def position(request: Request) -> tuple[int, tuple[Message, ...]]:
    """How many answers the conversation has, and the messages since the last."""
    answers = [index for index, message in enumerate(request.messages) if message.role == "assistant"]
    return len(answers), request.messages[answers[-1] + 1 if answers else 0 :]


def in_words(messages: tuple[Message, ...]) -> str:
    """Messages as text for people and for diffs."""
    lines = []
    for message in messages:
        for part in message.parts:
            match part:
                case Text(text):
                    lines.append(f"[{message.role}]\n{text}")
                case ToolCall(_, name, arguments):
                    lines.append(f"[call {name}]\n{arguments}")
                case ToolResult(_, name, content, is_error):
                    lines.append(f"[result of {name}{', error' if is_error else ''}]\n{content}")
    return "\n".join(lines)


class Recorder:
    """Passes calls on and appends each answer to a file."""

    def __init__(self, inner: Upstream, path: Path, made: str) -> None:
        self._inner = inner
        self._path = path
        if not path.exists() or path.stat().st_size == 0:
            path.write_bytes(msgspec.json.encode(Header(FORMAT, made)) + b"\n")
        else:
            _read(path)

    async def send(self, session: str, request: Request) -> Answer:
        answer = await self._inner.send(session, request)
        n, new = position(request)
        first = {"system": request.system, "tools": request.tools} if n == 0 else {}
        entry = Entry(session, n, new, answer.reply, answer.quality, **first)  # type: ignore[arg-type]
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
        return answer

    async def close(self) -> None:
        await self._inner.close()


class Recorded:
    """Plays a recording."""

    def __init__(self, path: Path) -> None:
        """Raises InputError when the file is missing or no recording."""
        self._path = path
        self.header, entries = _read(path)
        self._entries = {(entry.session, entry.n): entry for entry in entries}

    async def send(self, session: str, request: Request) -> Answer:
        """The recorded answer. Raises InputError with the difference when the request is another one."""
        n, new = position(request)
        entry = self._entries.get((session, n))
        if entry is None:
            raise InputError(f"{self._path.name} has no call {n} of session {session}: the run took another course")
        wanted, got = in_words(entry.new), in_words(new)
        if n == 0:
            wanted = f"{entry.system}\n{_names(entry.tools)}\n{wanted}"
            got = f"{request.system}\n{_names(request.tools)}\n{got}"
        if wanted != got:
            lines = difflib.unified_diff(wanted.splitlines(), got.splitlines(), "recorded", "now", n=1, lineterm="")
            shown = "\n".join(list(lines)[:40])
            raise InputError(f"{self._path.name}: call {n} of session {session} differs from the recording:\n{shown}")
        return Answer(entry.reply, entry.quality)

    async def close(self) -> None:
        pass


def _names(tools: tuple[ToolSpec, ...]) -> str:
    return "\n".join(f"tool {tool.name}: {tool.description} {bytes(tool.schema).decode()}" for tool in tools)


def _read(path: Path) -> tuple[Header, list[Entry]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read the recording {path}: {error.strerror}") from None
    try:
        header = msgspec.json.decode(lines[0], type=Header)
        return header, [msgspec.json.decode(line, type=Entry) for line in lines[1:]]
    except (IndexError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is no recording of outlay: {error}") from None
