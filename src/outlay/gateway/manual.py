"""`manual:DIR`: each request becomes a file, and a person (or any program) answers with a file.

For people without an API, and for making recordings. A request is `<session>-<n>.request.json`; its answer is
`<session>-<n>.answer.json`: {"text": "...", "tool_calls": [{"name": "read", "arguments": {"path": "x"}}]}.
Token counts are estimated from the length of the texts (4 characters a token) with a cache that never expires,
and are labelled `estimated`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import EnvironmentProblem
from outlay.gateway.recording import in_words, position
from outlay.gateway.upstream import Answer
from outlay.tokens import Usage
from outlay.wires.types import Message, Reply, Request, Text, ToolCall

CHARACTERS_PER_TOKEN = 4
POLL_S = 0.2


class AskedTool(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, Any] | str
    """An object, or the text itself (to try malformed arguments)."""


class ManualAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written into an answer file."""

    text: str = ""
    tool_calls: tuple[AskedTool, ...] = ()
    usage: Usage | None = None
    """The true counters, when the answer came from a model that told them."""
    model: str = ""


class Manual:
    """Asks through files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentProblem(f"cannot create {folder}: {error.strerror}") from None

    async def send(self, session: str, request: Request) -> Answer:
        """Write the request, wait for its answer. An answer that cannot be read is renamed `.invalid`."""
        n, new = position(request)
        stem = f"{session.replace('/', '.')}-{n:03}"
        asked = {
            "session": session,
            "n": n,
            "model": request.model,
            "new": in_words(new),
            "tools": [tool.name for tool in request.tools],
            "system": request.system,
            "tool_specs": request.tools,
            "messages": request.messages,
            "answer_file": f"{stem}.answer.json",
        }
        _write(self._folder / f"{stem}.request.json", msgspec.json.format(msgspec.json.encode(asked)))
        answer = await self._answer(self._folder / f"{stem}.answer.json")
        parts: list[Text | ToolCall] = [Text(answer.text)] if answer.text else []
        for index, call in enumerate(answer.tool_calls):
            text = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode()
            parts.append(ToolCall(f"call_{n}_{index}", call.name, text))
        message = Message("assistant", tuple(parts))
        usage = answer.usage or _estimate(request, message)
        reply = Reply(message, "tools" if answer.tool_calls else "end", answer.model or request.model, usage)
        return Answer(reply, "exact" if answer.usage else "estimated")

    async def _answer(self, path: Path) -> ManualAnswer:
        while True:
            if path.exists():
                try:
                    return msgspec.json.decode(path.read_bytes(), type=ManualAnswer)
                except msgspec.DecodeError as error:
                    path.rename(path.with_suffix(".invalid"))
                    path.with_suffix(".problem").write_text(f"{error}\n")
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        pass


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.rename(path)


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _estimate(request: Request, answer: Message) -> Usage:
    """What the request before this one held is read from the cache; the last answer and what is new are written."""
    answers = [index for index, message in enumerate(request.messages) if message.role == "assistant"]
    known = answers[-1] if answers else 0
    fixed = _tokens(request.system + "".join(t.description + bytes(t.schema).decode() for t in request.tools))
    before = _tokens(in_words(request.messages[:known]))
    after = _tokens(in_words(request.messages[known:]))
    read, written = (fixed + before, after) if answers else (0, fixed + after)
    return Usage(cache_read=read, cache_write_5m=written, output=_tokens(in_words((answer,))))
