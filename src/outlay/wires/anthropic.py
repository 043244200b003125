"""Anthropic Messages.

Source: the types of the `anthropic` package 2.11 and platform.claude.com/docs (streaming, prompt caching).
Cache marks: one on the last tool, one on the system prompt, and the top-level `cache_control` that marks the last
block by itself. It stands after the messages, so that no byte before the newest message ever changes.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from outlay.tokens import Usage
from outlay.wires import faults
from outlay.wires.counters import NOTHING, number, present
from outlay.wires.rendering import RenderedMessages, as_object, encode, merged, tool_objects
from outlay.wires.sse import EventData
from outlay.wires.types import Fault, Message, Part, Reply, Request, Stop, StreamReader, Text, ToolCall, ToolResult

VERSION = "2023-06-01"

_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tools",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
_OPEN = {"user": b'{"role":"user","content":[', "assistant": b'{"role":"assistant","content":['}
_TAIL = b']}],"cache_control":{"type":"ephemeral"'
_NO_MESSAGES_TAIL = _TAIL[2:]


class Anthropic:
    """The codec of Messages. `cache_ttl` is the life of what is written to the cache: `1h` costs more to write and
    pays where turns are slower than five minutes."""

    name = "anthropic"

    def __init__(self, cache_ttl: Literal["5m", "1h"] = "5m") -> None:
        self._mark: dict[str, str] = {"type": "ephemeral"} | ({"ttl": "1h"} if cache_ttl == "1h" else {})
        self._rendered = RenderedMessages(_render)

    def url(self, base_url: str, model: str) -> str:
        return f"{base_url.rstrip('/').removesuffix('/v1')}/v1/messages"

    def headers(self, key: str | None) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "text/event-stream", "anthropic-version": VERSION}
        if key:
            headers["x-api-key"] = key
        return headers

    def body(self, request: Request) -> bytes:
        head: dict[str, object] = {"model": request.model}
        if request.system.strip():
            head["system"] = [{"type": "text", "text": request.system, "cache_control": self._mark}]
        if request.tools:
            tools = tool_objects(request.tools, "input_schema")
            tools[-1]["cache_control"] = self._mark
            head["tools"] = tools
        messages = merged((_OPEN[message.role], self._rendered(message)) for message in request.messages)
        tail: dict[str, object] = {
            "cache_control": self._mark,
            "max_tokens": request.max_output_tokens,
            "stream": True,
        }
        if request.reasoning:
            tail["thinking"] = {"type": "adaptive"}
            tail["output_config"] = {"effort": request.reasoning}
        return b"".join((encode(head)[:-1], b',"messages":[', *messages, b"],", encode(tail)[1:]))

    def prefix_length(self, body: bytes) -> int:
        # The last message may grow by a part (neighbours of one role are merged): its end is not in the prefix.
        found = body.rfind(_TAIL)
        return found if found >= 0 else body.rindex(_NO_MESSAGES_TAIL)

    def reader(self) -> StreamReader:
        return _Reader()

    def read(self, body: bytes) -> Reply:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            blocks = msgspec.json.decode(answer.content, type=list[msgspec.Raw]) if present(answer.content) else []
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise _error(body) or Fault("bad_answer", f"not a Messages answer: {_excerpt(body)}") from None
        if answer.type != "message":
            raise _error(body) or Fault("bad_answer", f"not a Messages answer: {_excerpt(body)}")
        reader = _Reader()
        reader.take_answer(answer, blocks)
        return reader.finish()

    def fault(self, status: int, headers: dict[str, str], body: bytes) -> Fault:
        return faults.error_status(status, headers, body)


def _safe_id(call_id: str) -> str:
    """Ids of other APIs may hold characters that this one refuses."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id) or "_"


def _render(message: Message) -> bytes:
    """The content blocks of one message, comma-separated. Blank text is left out: the API refuses it."""
    if message.wire == Anthropic.name:
        native = bytes(message.native)
        opening = _OPEN["assistant"]
        if native.startswith(opening):
            return native[len(opening) : -2]
    blocks: list[bytes] = []
    for part in message.parts:
        if isinstance(part, Text):
            if part.text.strip():
                blocks.append(encode({"type": "text", "text": part.text}))
        elif isinstance(part, ToolCall):
            head = encode({"type": "tool_use", "id": _safe_id(part.id), "name": part.name})
            blocks.append(b"".join((head[:-1], b',"input":', as_object(part.arguments), b"}")))
        else:
            blocks.append(encode(_result(part)))
    return b",".join(blocks)


def _result(part: ToolResult) -> dict[str, object]:
    block: dict[str, object] = {
        "type": "tool_result",
        "tool_use_id": _safe_id(part.call_id),
        "content": part.content,
    }
    if part.is_error:
        block["is_error"] = True
        # An error without a text is refused.
        block["content"] = part.content or "error"
    return block


class _Answer(msgspec.Struct):
    """The `message` of a whole answer or of `message_start`."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: msgspec.Raw = NOTHING
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Answer | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Event).decode


class _Block:
    """A content block while its deltas arrive."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.pieces: dict[str, list[str]] = {}
        self.citations: list[Any] = []

    def add(self, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        field = {
            "text_delta": "text",
            "thinking_delta": "thinking",
            "signature_delta": "signature",
            "input_json_delta": "partial_json",
        }.get(str(kind))
        if field is not None:
            piece = delta.get(field)
            if isinstance(piece, str):
                self.pieces.setdefault(field, []).append(piece)
        elif kind == "citations_delta" and delta.get("citation") is not None:
            self.citations.append(delta["citation"])

    @property
    def arguments(self) -> str:
        """The input of a tool, as generated."""
        streamed = "".join(self.pieces.get("partial_json", ()))
        if streamed.strip():
            return streamed
        return encode(self.start.get("input") or {}).decode()

    def native(self) -> bytes | None:
        """The block as it is sent back. None for an empty text, which the API refuses."""
        block = dict(self.start)
        for field in ("text", "thinking", "signature"):
            if field in self.pieces:
                block[field] = str(block.get(field) or "") + "".join(self.pieces[field])
        if self.citations:
            block["citations"] = self.citations
        if block.get("type") == "text":
            if not str(block.get("text") or "").strip():
                return None
            if not block.get("citations"):
                block.pop("citations", None)
        if "input" not in block and "partial_json" not in self.pieces:
            return encode(block)
        block.pop("input", None)
        return b"".join((encode(block)[:-1], b',"input":', as_object(self.arguments), b"}"))

    def part(self) -> Part | None:
        kind = self.start.get("type")
        if kind == "text":
            text = str(self.start.get("text") or "") + "".join(self.pieces.get("text", ()))
            return Text(text) if text else None
        if kind == "tool_use":
            return ToolCall(str(self.start.get("id") or ""), str(self.start.get("name") or ""), self.arguments)
        return None


class _Reader:
    def __init__(self) -> None:
        self._events = EventData()
        self._blocks: dict[int, _Block] = {}
        self._stop: str | None = None
        self._id: str | None = None
        self._model = ""
        self._usage: dict[str, Any] = {}

    @property
    def usage_so_far(self) -> Usage | None:
        return _usage(self._usage)

    @property
    def raw_usage_so_far(self) -> str | None:
        return encode(self._usage).decode() if self._usage else None

    def feed(self, chunk: bytes) -> None:
        try:
            events = self._events.feed(chunk)
        except ValueError as error:
            raise self._fault("bad_answer", str(error)) from None
        for data in events:
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            event = _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            fault = _error(data, self.usage_so_far, self.raw_usage_so_far)
            raise fault or self._fault("bad_answer", f"not a Messages event: {_excerpt(data)}") from None
        if event.type == "error":
            fault = _error(data, self.usage_so_far, self.raw_usage_so_far)
            raise fault or self._fault("bad_answer", f"an error without a description: {_excerpt(data)}")
        if event.type == "message_start" and event.message is not None:
            self._take_head(event.message)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._begin(event.index, event.content_block, data)
        elif event.type == "content_block_delta" and event.delta is not None:
            if event.index not in self._blocks:
                raise self._fault("bad_answer", f"a delta of block {event.index}, which was never begun")
            self._blocks[event.index].add(event.delta)
        elif event.type == "message_delta":
            reason = (event.delta or {}).get("stop_reason")
            self._stop = str(reason) if reason else self._stop
            self._take_usage(event.usage)

    def _take_head(self, answer: _Answer) -> None:
        self._id = answer.id
        self._model = answer.model or ""
        self._take_usage(answer.usage)

    def take_answer(self, answer: _Answer, blocks: list[msgspec.Raw]) -> None:
        """A whole answer that was not streamed."""
        self._take_head(answer)
        self._stop = answer.stop_reason or "end_turn"
        for index, raw in enumerate(blocks):
            try:
                fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
                start = {name: msgspec.json.decode(value) for name, value in fields.items()}
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise self._fault("bad_answer", f"not a content block: {_excerpt(bytes(raw))}") from None
            block = self._begin(index, start, bytes(raw))
            if "input" in fields:
                # The input stays as the model generated it, byte for byte.
                block.pieces["partial_json"] = [bytes(fields["input"]).decode("utf-8", "replace")]

    def _begin(self, index: int, start: dict[str, Any], data: bytes) -> _Block:
        if not isinstance(start.get("type"), str):
            raise self._fault("bad_answer", f"a content block without a type: {_excerpt(data)}")
        self._blocks[index] = block = _Block(start)
        return block

    def _take_usage(self, usage: dict[str, Any] | None) -> None:
        """Input counters are cumulative: the larger one holds (proxies send zeros at the end). Of `output_tokens`,
        which starts as a placeholder, and of other fields the newer one holds."""
        for name, value in (usage or {}).items():
            old = self._usage.get(name)
            fell = isinstance(old, int | float) and isinstance(value, int | float) and old > value
            if value is None or (fell and name != "output_tokens"):
                continue
            self._usage[name] = value

    def finish(self) -> Reply:
        for data in self._events.flush():
            try:
                self._take(data)
            except Fault as fault:
                if fault.kind != "bad_answer":
                    raise
        if self._stop is None:
            raise self._fault("cut", "the answer ended before it was whole")
        blocks = [block for _, block in sorted(self._blocks.items())]
        native = [rendered for block in blocks if (rendered := block.native()) is not None]
        parts = tuple(part for block in blocks if (part := block.part()) is not None)
        tier = str(self._usage.get("service_tier") or "")
        if self._usage.get("speed") == "fast":
            tier = "fast"
        return Reply(
            message=Message(
                "assistant",
                parts,
                Anthropic.name,
                msgspec.Raw(b"".join((_OPEN["assistant"], b",".join(native), b"]}"))),
            ),
            stop=_STOPS.get(self._stop, "other"),
            model=self._model,
            usage=self.usage_so_far,
            raw_usage=self.raw_usage_so_far,
            request_id=self._id,
            tier="" if tier == "standard" else tier,
        )

    def _fault(self, kind: Literal["bad_answer", "cut"], message: str) -> Fault:
        return Fault(kind, faults.short(message), usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)


def _error(data: bytes, usage: Usage | None = None, raw_usage: str | None = None) -> Fault | None:
    """The fault of an error body or event; None when `data` is none."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if isinstance(document, dict) and (document.get("error") or document.get("type") == "error"):
        return faults.error_fault(document, usage=usage, raw_usage=raw_usage)
    return None


def _excerpt(data: bytes) -> str:
    return data[:120].decode("utf-8", "replace")


def _usage(usage: dict[str, Any]) -> Usage | None:
    """Counters: the classes of input are disjoint. Where the split of cache writes is missing or does not reach their
    total, the rest is of the 5-minute kind."""
    if "input_tokens" not in usage and "output_tokens" not in usage:
        return None
    written_1h = number(usage, "cache_creation", "ephemeral_1h_input_tokens")
    written_5m = number(usage, "cache_creation", "ephemeral_5m_input_tokens")
    written = max(number(usage, "cache_creation_input_tokens"), written_1h + written_5m)
    output = number(usage, "output_tokens")
    return Usage(
        fresh=number(usage, "input_tokens"),
        cache_read=number(usage, "cache_read_input_tokens"),
        cache_write_5m=written - written_1h,
        cache_write_1h=written_1h,
        output=output,
        reasoning=min(output, number(usage, "output_tokens_details", "thinking_tokens")),
        web_searches=number(usage, "server_tool_use", "web_search_requests"),
    )
