"""OpenAI Responses, without state at the provider: `store` is false, reasoning comes back encrypted and is replayed.

Source: the types of the `openai` package 3.52. An assistant's message is the list of output items, as they came in
`response.output_item.done`. Reasoning that carries neither encrypted content nor text cannot be replayed (the
provider has not stored it) and is left out.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from outlay.tokens import Usage
from outlay.wires import faults
from outlay.wires.counters import NOTHING, counters, number, present, text_of
from outlay.wires.rendering import RenderedMessages, encode
from outlay.wires.sse import EventData
from outlay.wires.types import Fault, Message, Part, Reply, Request, Stop, StreamReader, Text, ToolCall, ToolResult

_TAIL = b'],"stream":true,"max_output_tokens":'


class _Content(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct):
    """The fields of an output item that are read; the item itself is kept as it came."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    encrypted_content: str | None = None
    content: list[_Content] | None = None
    action: dict[str, Any] | None = None


class _Reason(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    object: str | None = None
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    incomplete_details: _Reason | None = None
    service_tier: str | None = None


class _Event(msgspec.Struct):
    type: str
    output_index: int | None = None
    item: msgspec.Raw = NOTHING
    response: _Response | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_item = msgspec.json.Decoder(_Item).decode


class OpenAIResponses:
    """The codec of Responses."""

    name = "openai-responses"

    def __init__(self) -> None:
        self._rendered = RenderedMessages(_render)

    def url(self, base_url: str, model: str) -> str:
        return f"{base_url.rstrip('/')}/responses"

    def headers(self, key: str | None) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        return headers

    def body(self, request: Request) -> bytes:
        head: dict[str, object] = {"model": request.model}
        if request.system:
            head["instructions"] = request.system
        if request.tools:
            # `strict` is true by default here and refuses schemas with optional arguments.
            head["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.schema,
                    "strict": False,
                }
                for tool in request.tools
            ]
        head |= {"store": False, "include": ["reasoning.encrypted_content"]}
        items = b",".join([item for message in request.messages if (item := self._rendered(message))])
        effort = f',"reasoning":{{"effort":"{request.reasoning}"}}' if request.reasoning else ""
        tail = f"{request.max_output_tokens}{effort}}}".encode()
        return b"".join((encode(head)[:-1], b',"input":[', items, _TAIL, tail))

    def prefix_length(self, body: bytes) -> int:
        return body.rindex(_TAIL)

    def reader(self) -> StreamReader:
        return _Reader()

    def read(self, body: bytes) -> Reply:
        reader = _Reader()
        reader.take_whole(body)
        return reader.finish()

    def fault(self, status: int, headers: dict[str, str], body: bytes) -> Fault:
        return faults.error_status(status, headers, body)


def _render(message: Message) -> bytes:
    """One message as comma-separated input items."""
    if message.wire == OpenAIResponses.name:
        return bytes(message.native).strip()[1:-1]
    items: list[dict[str, object]] = []
    for part in message.parts:
        if isinstance(part, Text):
            if part.text:
                items.append({"type": "message", "role": message.role, "content": part.text})
        elif isinstance(part, ToolResult):
            items.append({"type": "function_call_output", "call_id": part.call_id, "output": part.content})
        else:
            items.append({"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments})
    return b",".join(encode(item) for item in items)


class _Reader:
    def __init__(self) -> None:
        self._events = EventData()
        self._items: dict[int, bytes] = {}
        self._response: _Response | None = None
        self._usage: msgspec.Raw = NOTHING
        self._ended = False

    @property
    def usage_so_far(self) -> Usage | None:
        return _usage(self._usage, 0) if present(self._usage) else None

    @property
    def raw_usage_so_far(self) -> str | None:
        return text_of(self._usage) if present(self._usage) else None

    def feed(self, chunk: bytes) -> None:
        try:
            events = self._events.feed(chunk)
        except ValueError as error:
            raise self._fault("bad_answer", str(error)) from None
        for data in events:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            return
        try:
            event = _decode_event(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._raise_if_error(data)
            raise self._fault("bad_answer", f"not a Responses event: {_excerpt(data)}") from None
        if event.type == "error":
            self._raise_if_error(data)
        elif event.type == "response.output_item.done" and present(event.item):
            index = len(self._items) if event.output_index is None else event.output_index
            self._items[index] = bytes(event.item)
        elif event.response is not None:
            self._take_response(event.response, event.type)

    def _take_response(self, response: _Response, kind: str) -> None:
        self._response = response
        if present(response.usage):
            self._usage = msgspec.Raw(bytes(response.usage))
        if kind == "response.failed" or response.status == "failed":
            error = msgspec.json.decode(response.error) if present(response.error) else None
            raise faults.error_fault(error, usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)
        self._ended = kind in ("response.completed", "response.incomplete")
        if self._ended and not self._items:
            # Some servers send no `output_item.done` events.
            self._items = {index: bytes(item) for index, item in enumerate(response.output or ())}

    def take_whole(self, body: bytes) -> None:
        """A whole answer that was not streamed."""
        try:
            response = msgspec.json.decode(body, type=_Response)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._raise_if_error(body)
            raise self._fault("bad_answer", f"not a Responses answer: {_excerpt(body)}") from None
        if response.output is None:
            self._raise_if_error(body)
            raise self._fault("bad_answer", f"not a Responses answer: {_excerpt(body)}")
        self._take_response(response, f"response.{response.status or 'completed'}")
        if response.status in ("cancelled", "in_progress", "queued"):
            raise self._fault("cut", f"the answer is {response.status}")

    def _raise_if_error(self, data: bytes) -> None:
        try:
            document = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if not isinstance(document, dict):
            return
        if document.get("error") or document.get("type") == "error":
            # In a stream the fields stand at the top, beside a `type` that says only `error`.
            inner = document if document.get("error") else {k: v for k, v in document.items() if k != "type"}
            raise faults.error_fault(inner, usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)

    def finish(self) -> Reply:
        for data in self._events.flush():
            try:
                self._take(data)
            except Fault as fault:
                if fault.kind != "bad_answer":
                    raise
        if not self._ended or self._response is None:
            raise self._fault("cut", "the answer ended before it was whole")
        items: list[tuple[_Item, bytes]] = []
        for _, raw in sorted(self._items.items()):
            try:
                items.append((_decode_item(raw), raw))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise self._fault("bad_answer", f"not an output item: {_excerpt(raw)}") from None
        parts = tuple(part for item, _ in items for part in _parts(item))
        native = b"[" + b",".join(raw for item, raw in items if _replayable(item)) + b"]"
        searches = sum(1 for item, _ in items if item.type == "web_search_call" and _is_search(item))
        tier = self._response.service_tier or ""
        return Reply(
            message=Message("assistant", parts, OpenAIResponses.name, msgspec.Raw(native)),
            stop=self._stop([item for item, _ in items]),
            model=self._response.model or "",
            usage=_usage(self._usage, searches) if present(self._usage) else None,
            raw_usage=self.raw_usage_so_far,
            request_id=self._response.id,
            tier="" if tier in ("default", "auto", "standard") else tier,
        )

    def _stop(self, items: list[_Item]) -> Stop:
        response = self._response
        if response is not None and response.status == "incomplete":
            reason = response.incomplete_details.reason if response.incomplete_details else None
            if reason == "content_filter":
                return "refusal"
            return "length" if reason in ("max_output_tokens", None) else "other"
        if any(item.type == "function_call" for item in items):
            return "tools"
        if any(content.refusal for item in items for content in item.content or ()):
            return "refusal"
        return "end"

    def _fault(self, kind: Literal["bad_answer", "cut"], message: str) -> Fault:
        return Fault(kind, faults.short(message), usage=self.usage_so_far, raw_usage=self.raw_usage_so_far)


def _parts(item: _Item) -> list[Part]:
    if item.type == "function_call":
        arguments = item.arguments or ""
        return [ToolCall(item.call_id or item.id or "", item.name or "", arguments if arguments.strip() else "{}")]
    if item.type == "message":
        text = "".join(content.text or content.refusal or "" for content in item.content or ())
        return [Text(text)] if text else []
    return []


def _replayable(item: _Item) -> bool:
    return item.type != "reasoning" or bool(item.encrypted_content) or bool(item.content)


def _is_search(item: _Item) -> bool:
    """Opening and searching within a page that was found is not billed as a search."""
    return bool((item.action or {}).get("type", "search") == "search")


def _excerpt(data: bytes) -> str:
    return data[:120].decode("utf-8", "replace")


def _usage(raw: msgspec.Raw, searches: int) -> Usage | None:
    """Counters: cached and written tokens are inside `input_tokens`, reasoning inside `output_tokens`. What is written
    for 12 hours is of the long class, the rest (30 minutes) of the short one."""
    usage = counters(raw)
    if usage is None or ("input_tokens" not in usage and "output_tokens" not in usage):
        return None
    total, output = number(usage, "input_tokens"), number(usage, "output_tokens")
    cached = min(total, number(usage, "input_tokens_details", "cached_tokens"))
    written = min(total - cached, number(usage, "input_tokens_details", "cache_write_tokens"))
    long = min(written, number(usage, "input_tokens_details", "cache_write_tokens_details", "ttl_12h_tokens"))
    return Usage(
        fresh=total - cached - written,
        cache_read=cached,
        cache_write_5m=written - long,
        cache_write_1h=long,
        output=output,
        reasoning=min(output, number(usage, "output_tokens_details", "reasoning_tokens")),
        web_searches=searches,
    )
